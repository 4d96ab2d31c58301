"""Recall of clip retrieval by text on the screen: `python -m experiments.bench.screen_text --out FILE.json`.

Generated slide talks have words on their slides and nowhere else. Recall at k counts the queries whose slide overlaps
one of the best k intervals. The time is that of reading every screen once, on the CPU. Needs the extra
`ocr`.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments.bench.fixtures.slide_talk import TalkForm, TextSlide, draw_slides, write_talk
from experiments.runs.provenance import machine, package_version
from experiments.runs.run_dir import Stopwatch, write_json
from vt_env.config import MediaConfig
from vt_env.media.library import TextModels, Video, VideoLibrary
from vt_env.media.search.encoders import ColourNameEncoder
from vt_env.media.text.rapid_ocr import RapidOcr
from vt_env.media.text.read_screen import ScreenOcr
from vt_env.media.text.screen_text import PictureText
from vt_env.types import Interval, VideoRef


@dataclass(frozen=True)
class ScreenTextBench:
    """Measure recall and time on slide talks."""

    out: Path | None = None
    """JSON file to write."""
    talks: int = 10
    slides: int = 24
    """Slides of a talk."""
    asked: int = 6
    """Queries of a talk, each about another slide."""
    speakers: int = 2
    """Talks with a picture of a speaker that moves, so that every picture changes."""
    top_k: tuple[int, ...] = (1, 4)
    """Values of k in recall at k."""


@dataclass(frozen=True)
class TimedOcr:
    """An engine that notes how long each picture takes."""

    engine: RapidOcr = field(default_factory=RapidOcr)
    seconds: list[float] = field(default_factory=list[float])

    @property
    def key(self) -> str:
        """The engine's."""
        return self.engine.key

    def read(self, picture: Any) -> list[PictureText]:
        """Read a picture as the engine does."""
        watch = Stopwatch()
        found = list(self.engine.read(picture))
        self.seconds.append(watch.elapsed_s)
        return found


def main(run: ScreenTextBench) -> None:
    """Write the talks, read and search them, print the numbers and write them to `out`."""
    rng = np.random.default_rng(0)
    ocr = TimedOcr()
    hits: dict[str, list[list[bool]]] = {"screen text": [], "screen text and colours": []}
    lines: list[bool] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(run.talks):
            form = TalkForm(has_speaker=number < run.speakers)
            path, slides = Path(folder, f"{number}.mp4"), draw_slides(rng, run.slides)
            write_talk(path, slides, form, rng)
            asked = rng.permutation(run.slides)[: run.asked].tolist()
            for name, encoder in zip(hits, (None, ColourNameEncoder()), strict=True):
                video = _open(path, Path(folder, "cache"), encoder, ocr)
                hits[name] += [_hits(video, slides[at], at, form, run) for at in asked]
            lines += _are_read(video, slides, form)
    seconds = np.array(ocr.seconds[1:])
    record = {
        "command": "python -m experiments.bench.screen_text",
        "versions": {name: package_version(name) for name in ("rapidocr", "onnxruntime", "av")},
        "machine": machine(),
        "n": len(hits["screen text"]),
        "talks": run.talks,
        "slides": run.talks * run.slides,
        "sources": {
            name: {
                f"recall_at_{k}": round(float(np.mean([it[at] for it in rows])), 3) for at, k in enumerate(run.top_k)
            }
            for name, rows in hits.items()
        },
        "lines_without_error": round(float(np.mean(lines)), 4),
        "lines": len(lines),
        "pictures_read": len(ocr.seconds),
        "seconds_of_video": run.talks * run.slides * TalkForm().slide_s,
        "seconds_reading": round(sum(ocr.seconds), 1),
        "seconds_a_picture": {"median": round(float(np.median(seconds)), 3), "max": round(float(seconds.max()), 3)},
    }
    print(*(f"{name}: {value}" for name, value in record.items()), sep="\n")
    if run.out is not None:
        write_json(run.out, record)


def _open(path: Path, cache_dir: Path, encoder: ColourNameEncoder | None, ocr: TimedOcr) -> Video:
    models = TextModels(screen_ocr=ScreenOcr(ocr))
    return VideoLibrary(MediaConfig(), cache_dir, encoder, text_models=models).open(VideoRef(path.stem, str(path)))


def _hits(video: Video, slide: TextSlide, at: int, form: TalkForm, run: ScreenTextBench) -> list[bool]:
    """Return whether the slide is among the best k, for each k; the kind of query goes with the slide's number."""
    gold = Interval(at * form.slide_s, (at + 1) * form.slide_s)
    query = slide.queries[at % len(slide.queries)]
    found = [it.interval.overlap_s(gold) > 0 for it in video.search_clips(query, max(run.top_k))]
    return [any(found[:k]) for k in run.top_k]


def _are_read(video: Video, slides: tuple[TextSlide, ...], form: TalkForm) -> list[bool]:
    """Return, for each line of each slide, whether exactly it was read in the middle of the slide."""
    assert video.screen_text is not None
    read: list[bool] = []
    for at, slide in enumerate(slides):
        shown = {it.text for it in video.screen_text.on_screen([(at + 0.5) * form.slide_s])}
        read += [line in shown for line in (slide.title, *slide.lines)]
    return read


if __name__ == "__main__":
    main(tyro.cli(ScreenTextBench))
