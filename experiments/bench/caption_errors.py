"""Errors of written captions, word by word, against the flawless ones of the world.

    python -m experiments.bench.caption_errors --tasks runs/world/test --captions runs/captions/test

A clip is compared with what the flawless captions say of the very frames that the captioner was shown.

| column | meaning |
|---|---|
| right | words of the flawless caption that the written one has |
| wrong | words in whose place there is another word of their kind |
| missing | words without one of their kind; all words of a clip that has no caption |
| invented | written words beyond those of their kind in the flawless caption, for each flawless word |
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from experiments.analysis.caption_errors import CaptionErrors, count_errors
from experiments.report.caption_tables import caption_error_table, caption_word_table
from experiments.runs.read_run import CONFIG, read_json
from experiments.runs.run_dir import write_json
from experiments.settings.written_captions import captions_key
from synth.clip_captions import clips_of
from vt_env.episode.perception import moments
from vt_env.errors import ConfigError
from vt_env.media.text.subtitles import load_captions
from vt_env.task_sources import load_tasks
from vt_env.timed_lines import TimedLines


@dataclass(frozen=True)
class CaptionErrorsBench:
    """Measure the errors of written captions."""

    tasks: str
    """Tasks with flawless captions, from which the written ones were made."""
    captions: Path
    """Folder that `vt-env captions` wrote."""
    split: str = "test"
    """Split of the tasks."""
    words: int = 15
    """Number of words in the table of single words, those with most errors first."""
    seed: int = 0
    """Seed of the bootstrap."""
    json_file: Path | None = None
    """Also write all numbers to this file."""


def main(run: CaptionErrorsBench) -> None:
    """Print the share of exact captions, then one table by kind and one by word.

    Raises:
        ConfigError: The folder holds no written captions, or they are of other tasks.
    """
    found = caption_errors(run)
    print("\n".join([*caption_error_table(found), "", *caption_word_table(found, run.words)]))
    if run.json_file is not None:
        write_json(run.json_file, asdict(found))


def caption_errors(run: CaptionErrorsBench) -> CaptionErrors:
    """Compare all clips of all videos.

    Raises:
        ConfigError: As `main`.
    """
    if captions_key(run.captions) is None:
        raise ConfigError(f"captions={run.captions}: no captions of a model there; write them with vt-env captions")
    config = read_json(run.captions / CONFIG)
    clip_s, frames = float(config["clip_length_s"]), int(config["frames"])
    pairs: dict[str, list[tuple[str, str]]] = {}
    for handle, flawless, written in _tracks(run):
        clips = clips_of(flawless[-1].interval.end_s, clip_s)
        pairs[handle] = [(_text(flawless, moments(clip, frames)), _text(written, [clip.middle_s])) for clip in clips]
    return count_errors(pairs, run.seed)


def _tracks(run: CaptionErrorsBench) -> Iterator[tuple[str, TimedLines, TimedLines]]:
    """Yield each video with its flawless and its written captions."""
    written = {task.item.task_id: task.item.video for task in load_tasks(run.captions, run.split)}
    seen: set[str] = set()
    for task in load_tasks(run.tasks, run.split):
        ref, read = task.item.video, written.get(task.item.task_id)
        if read is None or ref.captions_path is None:
            raise ConfigError(
                f"captions={run.captions}: none of task {task.item.task_id}; give the --tasks they were made from"
            )
        if ref.handle not in seen:
            seen.add(ref.handle)
            task.prepare(ref)
            yield ref.handle, load_captions(Path(ref.captions_path)), load_captions(Path(str(read.captions_path)))


def _text(captions: TimedLines, times_s: Sequence[float]) -> str:
    return " ".join(line.text for line in captions.on_screen(times_s))


if __name__ == "__main__":
    main(tyro.cli(CaptionErrorsBench))
