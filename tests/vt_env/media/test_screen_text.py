"""Text on the screen: read once where the picture changes, kept in parts, joined to timed lines, offered as a tool."""

import pickle
import subprocess
import sys
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from support.videos import Pixels, VideoSpec, write_video

from vt_env.config import EnvConfig, MediaConfig
from vt_env.episode.episode import Episode
from vt_env.errors import ConfigError, DataError
from vt_env.media.cache.build_once import content_hash
from vt_env.media.cache_eviction import find_faults, list_cached
from vt_env.media.decode.video_file import open_video
from vt_env.media.library import TextModels, VideoLibrary
from vt_env.media.text import read_screen
from vt_env.media.text.rapid_ocr import RapidOcr
from vt_env.media.text.read_screen import PART_S, ScreenOcr
from vt_env.media.text.screen_text import PictureText, Reading, join_readings, screens_of
from vt_env.testing import FakeOcr, FakeVideo, fake_task
from vt_env.timed_lines import joined_by_interval
from vt_env.tools.builtin import DEFAULT_TOOLS, PAPER_TOOLS, SCREEN_LINES, tools_for
from vt_env.types import Box, Interval, SubtitleLine, ToolCall, VideoRef

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
HARVEST, BARLEY, COST = "quarterly harvest of the mill", "barley 412 tonnes", "storage cost fell"
UPPER, LOWER = Box(0.1, 0.1, 0.9, 0.4), Box(0.1, 0.6, 0.9, 0.9)

Slide = tuple[tuple[int, int, int], tuple[int, int, int]]
"""Colours of the upper and the lower half."""


def write_slides(path: Path, slides: list[tuple[float, Slide]], duration_s: float, size_px=(64, 48)) -> Path:
    """Write two frames a second; each slide is on screen from its second on."""

    def paint(index: int, size: tuple[int, int]) -> Pixels:
        upper, lower = next(slide for start_s, slide in reversed(slides) if start_s <= index / 2)
        picture = np.empty((size[1], size[0], 3), dtype=np.uint8)
        picture[: size[1] // 2], picture[size[1] // 2 :] = upper, lower
        return picture

    write_video(path, VideoSpec(frames=round(duration_s * 2), fps=Fraction(2), size_px=size_px, paint=paint))
    return path


def read(path: Path, cache: Path, engine=None, progress=None, **times: float):
    ocr = ScreenOcr(engine or FakeOcr(), **times)
    return read_screen.read_screen(open_video(path), content_hash(path), ocr, cache, progress)


def spans(lines) -> list[tuple[float, float, str]]:
    return [(line.interval.start_s, line.interval.end_s, line.text) for line in lines]


def test_a_picture_is_read_once_where_it_changes_and_a_line_lasts_while_its_text_stays(tmp_path):
    slides = [(0.0, (RED, GREEN)), (10.0, (RED, BLUE)), (25.0, (BLACK, BLACK)), (31.0, (RED, BLACK))]
    path, engine = write_slides(tmp_path / "v.mp4", slides, 40.0), FakeOcr()
    lines = read(path, tmp_path / "cache", engine)
    assert engine.read_sizes == [(64, 48)] * 4
    assert spans(lines) == [(0, 10, BARLEY), (0, 25, HARVEST), (10, 25, COST), (31, 40, HARVEST)]
    assert {line.text: line.box for line in lines}[COST] == LOWER and {it.confidence for it in lines} == {0.9}


def test_pictures_that_always_change_are_read_no_more_often_than_the_gap(tmp_path):
    slides = [(float(second), ((RED, GREEN) if second % 2 else (BLUE, BLACK))) for second in range(12)]
    path = write_slides(tmp_path / "v.mp4", slides, 12.0)
    for gap_s, count in ((0.0, 12), (3.0, 4), (60.0, 1)):
        engine = FakeOcr(key=f"fake {gap_s}")
        read(path, tmp_path / "cache", engine, gap_s=gap_s)
        assert len(engine.read_sizes) == count


def test_what_was_read_is_read_again_only_by_another_engine_or_at_other_times(tmp_path):
    path, cache = write_slides(tmp_path / "v.mp4", [(0.0, (RED, GREEN))], 5.0), tmp_path / "cache"
    shares: list[float] = []
    first = read(path, cache, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0
    known = FakeOcr()
    assert spans(read(path, cache, known, lambda share: pytest.fail("read twice"))) == spans(first)
    assert known.read_sizes == []
    for engine, times in ((FakeOcr(key="fake==2"), {}), (FakeOcr(), {"sample_s": 0.5}), (FakeOcr(), {"gap_s": 5.0})):
        read(path, cache, engine, **times)
        assert len(engine.read_sizes) == 1


@dataclass(frozen=True)
class Dying(FakeOcr):
    """An engine whose process ends after a number of pictures."""

    lives: int = 3

    def read(self, picture: Pixels) -> list[PictureText]:
        if len(self.read_sizes) == self.lives:
            raise KeyboardInterrupt
        return super().read(picture)


@dataclass(frozen=True)
class Overwriting(FakeOcr):
    """An engine in whose time the file is overwritten."""

    path: Path = Path()

    def read(self, picture: Pixels) -> list[PictureText]:
        self.path.write_bytes(self.path.read_bytes() + b"more")
        return super().read(picture)


def test_nothing_is_kept_of_a_video_that_is_overwritten_while_it_is_read(tmp_path):
    path = write_slides(tmp_path / "v.mp4", [(0.0, (RED, GREEN))], 5.0)
    with pytest.raises(DataError, match="it was changed or replaced since it was opened"):
        read(path, tmp_path / "cache", Overwriting(path=path))
    assert list_cached(tmp_path / "cache") == []


def test_after_a_kill_reading_goes_on_with_the_part_it_was_in(tmp_path, monkeypatch):
    monkeypatch.setattr(read_screen, "PART_S", 10.0)
    slides = [(5.0 * number, ((RED, GREEN) if number % 2 else (BLUE, BLACK))) for number in range(8)]
    path, cache = write_slides(tmp_path / "v.mp4", slides, 40.0), tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        read(path, cache, Dying(lives=5))
    rest = FakeOcr()
    lines = read(path, cache, rest)
    # The first two parts, of two pictures each, were finished.
    assert len(rest.read_sizes) == 4
    monkeypatch.setattr(read_screen, "PART_S", PART_S)
    assert spans(read(path, tmp_path / "other", FakeOcr())) == spans(lines)


def test_a_picture_that_stays_over_the_end_of_a_part_is_not_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(read_screen, "PART_S", 10.0)
    path, engine = write_slides(tmp_path / "v.mp4", [(0.0, (RED, GREEN))], 35.0), FakeOcr()
    assert [(it.interval.start_s, it.interval.end_s) for it in read(path, tmp_path / "cache", engine)] == [(0, 35)] * 2
    assert len(engine.read_sizes) == 1 and len(list_cached(tmp_path / "cache")) == 4


@dataclass(frozen=True)
class Unsteady(FakeOcr):
    """An engine that reads one text in a new way each time, and a longer one once there is green below."""

    counts: list[int] = field(default_factory=list[int], compare=False)

    def read(self, picture: Pixels) -> list[PictureText]:
        self.counts.append(1)
        wobble = [PictureText(f"harvest {len(self.counts)}", UPPER, 0.5)]
        is_green = picture[-1, 0, 1] > 128
        return [*wobble, PictureText("total 7" if is_green else "total", replace(LOWER, right=0.8), 0.9)]


def test_where_no_pixel_changed_the_text_is_the_same_however_it_is_read_and_where_one_did_it_is_new(tmp_path):
    slides = [(0.0, (RED, BLUE)), (5.0, (RED, GREEN)), (10.0, (RED, BLUE))]
    path = write_slides(tmp_path / "v.mp4", slides, 15.0, (128, 96))
    lines = read(path, tmp_path / "cache", Unsteady())
    assert sorted(spans(lines)) == [(0, 5, "total"), (0, 15, "harvest 1"), (5, 10, "total 7"), (10, 15, "total")]


TEXTS = st.sampled_from([PictureText(text, box, 0.9) for text in ("a", "b") for box in (UPPER, LOWER)])


@given(st.lists(st.lists(TEXTS, unique_by=lambda it: (it.text, it.box), max_size=4), min_size=1, max_size=6))
def test_the_lines_on_screen_at_a_time_are_the_texts_of_the_latest_reading_and_each_screen_holds_them(texts):
    readings = [Reading(float(second), tuple(it)) for second, it in enumerate(texts, start=1)]
    lines = join_readings(readings, 10.0)
    screens = screens_of(lines)
    for reading in readings:
        there = sorted((it.text, it.box.top) for it in reading.texts)
        shown = [line for line in lines if line.interval.contains(reading.time_s + 0.5)]
        assert sorted((line.text, line.box.top) for line in shown) == there
        at_once = [it.text for it in screens if it.interval.contains(reading.time_s + 0.5)]
        assert len(at_once) == bool(there)
        assert sorted("".join(at_once).split()) == sorted(text for text, _ in there)
    stays = [(line.text, line.box, line.interval) for line in lines]
    assert len(stays) == len(set(stays))


def test_a_library_reads_the_screen_where_it_is_asked_to_and_a_copy_does_so_too(tmp_path):
    path = write_slides(tmp_path / "v.mp4", [(0.0, (RED, GREEN))], 5.0)
    ref = VideoRef("v", str(path))
    assert VideoLibrary(MediaConfig(), tmp_path).open(ref).screen_text is None
    library = VideoLibrary(MediaConfig(), tmp_path, text_models=TextModels(screen_ocr=ScreenOcr(FakeOcr())))
    shares: list[float] = []
    opened = library.open(ref, screen_progress=shares.append)
    assert opened.screen_text is not None and [line.text for line in opened.screen_text] == [HARVEST, BARLEY]
    assert shares
    assert spans(pickle.loads(pickle.dumps(library)).open(ref).screen_text) == spans(opened.screen_text)


def test_clips_are_found_by_the_text_on_the_screen_and_a_screen_without_text_is_no_source(tmp_path):
    models = TextModels(screen_ocr=ScreenOcr(FakeOcr()))
    library = VideoLibrary(MediaConfig(), tmp_path / "cache", "none", text_models=models)
    slides = [(0.0, (BLACK, BLACK)), (20.0, (RED, GREEN)), (30.0, (BLUE, BLACK))]
    ref = VideoRef("v", str(write_slides(tmp_path / "v.mp4", slides, 60.0)))
    assert library.search_sources(ref) == ("screen text",)
    found = library.open(ref).search_clips("harvest of barley", 4)
    assert [(it.interval, it.sources) for it in found] == [(Interval(20, 30), ("screen text",))]
    assert [it.interval for it in library.open(ref).search_clips("cost", 4)] == [Interval(30, 60)]
    blank = VideoRef("b", str(write_slides(tmp_path / "b.mp4", slides[:1], 5.0)))
    assert library.open(blank).search_sources == ()


def test_a_damaged_file_of_read_text_is_found_by_the_check_of_the_cache(tmp_path):
    path, cache = write_slides(tmp_path / "v.mp4", [(0.0, (RED, GREEN))], 5.0), tmp_path / "cache"
    read(path, cache)
    (kept,) = list_cached(cache)
    assert kept.kind == "screen_text" and not list(find_faults(cache))
    kept.path.write_bytes(kept.path.read_bytes()[:-2])
    assert len(list(find_faults(cache, frozenset([content_hash(path)])))) == 1


LINES = (
    SubtitleLine(Interval(0, 20), "harvest"),
    SubtitleLine(Interval(0, 20), "barley 412 tonnes"),
    SubtitleLine(Interval(20, 30), "thank you"),
)


def playing(lines: tuple[SubtitleLine, ...] | None, **config) -> Episode:
    task, tools = fake_task(), tools_for("frames", ["default", "screen_text"])
    episode = Episode(task.item, task.gold, replace(FakeVideo(), screen_text=lines), EnvConfig(**config), tools)
    episode.start()
    return episode


def test_the_tool_returns_the_text_of_an_interval_with_the_lines_of_one_slide_joined():
    outcome = playing(LINES).apply(ToolCall("screen_text", {"start_s": 10.0, "end_s": 25.0}))
    assert outcome.observation.text.startswith(
        "Text on the screen:\n00:00-00:20 harvest / barley 412 tonnes\n00:20-00:30 thank you\n"
    )
    assert [line.text for line in outcome.observation.lines] == ["harvest / barley 412 tonnes", "thank you"]


def test_what_was_read_counts_as_viewed_within_the_interval_asked_for_and_silence_does_not():
    episode = playing(LINES)
    episode.apply(ToolCall("screen_text", {"start_s": 10.0, "end_s": 25.0}))
    outcome = episode.apply(ToolCall("screen_text", {"start_s": 60.0, "end_s": 90.0}))
    assert [turn.viewed for turn in episode.turns] == [(Interval(10, 20), Interval(20, 25)), ()]
    assert outcome.observation.text.startswith("No text on the screen was found.")


def test_more_lines_than_a_context_holds_are_cut_and_the_rest_is_counted():
    clock = tuple(SubtitleLine(Interval(second, second + 1), f"87:{second:02d}") for second in range(50))
    text = playing(clock).apply(ToolCall("screen_text", {"start_s": 0.0, "end_s": 50.0})).observation.text
    assert text.count("87:") == SCREEN_LINES and f"({50 - SCREEN_LINES} more lines; ask for a shorter" in text


def test_the_tool_is_part_of_no_preset_and_is_refused_for_a_video_whose_screen_was_not_read():
    assert "screen_text" not in (*DEFAULT_TOOLS, *PAPER_TOOLS)
    with pytest.raises(ConfigError, match=r"screen of video fake was not read; add --screen-text"):
        playing(None)


def test_lines_are_joined_only_where_their_intervals_are_equal():
    assert spans(joined_by_interval(LINES)) == [(0, 20, "harvest / barley 412 tonnes"), (20, 30, "thank you")]


@pytest.mark.parametrize(("wrong", "message"), [({"sample_s": 0.0}, "sample_s"), ({"gap_s": -1.0}, "gap_s")])
def test_times_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        ScreenOcr(FakeOcr(), **wrong)


def drawn(lines: list[str]) -> Pixels:
    picture = Image.new("RGB", (640, 360), (246, 244, 236))
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        draw.text((40, 60 + row * 50), line, font=ImageFont.load_default(24), fill=(20, 24, 48))
    return np.asarray(picture)


@pytest.mark.slow
def test_rapidocr_reads_a_drawn_slide_without_an_error_and_says_where_each_line_is():
    pytest.importorskip("rapidocr", reason="needs the extra ocr: uv pip install -e '.[ocr]'")
    lines = ["Quarterly harvest of the river mill", "Barley 412 tonnes, oats 38 tonnes"]
    found = RapidOcr().read(drawn(lines))
    assert [it.text for it in found] == lines
    assert all(it.confidence > 0.9 and it.box.left == pytest.approx(40 / 640, abs=0.02) for it in found)
    assert [it.box.top for it in found] == pytest.approx([63 / 360, 113 / 360], abs=0.03)
    assert RapidOcr().read(np.zeros((360, 640, 3), dtype=np.uint8)) == []
    assert RapidOcr().key.startswith("rapidocr==")


@pytest.mark.parametrize("package", ["rapidocr", "onnxruntime"])
def test_without_the_extra_the_error_is_one_line_that_names_the_command(package: str):
    script = (
        f"import sys; from importlib import util; own = util.find_spec\n"
        f"util.find_spec = lambda name: None if name == {package!r} else own(name)\n"
        "from vt_env.errors import ConfigError\n"
        "from experiments.settings.library import LibraryConfig\n"
        "try: LibraryConfig(screen_text=True).open_library()\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"needs {package}: uv pip install -e '.[ocr]'" in done.stdout and len(done.stdout.splitlines()) == 1
