"""Subtitle conversion from the formats of benchmarks to SubRip, which video input reads."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vt_env.benchmarks.readers.rows import SubtitleForm, SubtitleSource
from vt_env.errors import DataError
from vt_env.types import Interval, SubtitleLine, VideoRef, parse_time

WORD_GAP_S = 0.5
"""Pause that ends a line, as in the official script of Video-MME-v2 (`group_subtitle_segments`)."""
SENTENCE_GAP_S = 0.1
"""Pause that ends a line after the end of a sentence, as in the same script."""


@dataclass(frozen=True, slots=True)
class SubtitleFile:
    """Task preparation that converts a benchmark's subtitles to the SubRip file that the video reference names.

    A callable for `vt_env.tasks.task_set.Task.prepare`.
    """

    path: Path
    """The benchmark's subtitle file."""
    source: SubtitleSource

    def __call__(self, ref: VideoRef) -> None:
        """Write `ref.subtitles_path` if it does not exist.

        Raises:
            DataError: The benchmark's file cannot be read or has no valid line.
        """
        # Imported here so that reading annotations needs no media library.
        from vt_env.media.cache.build_once import build_once

        if ref.subtitles_path is not None:
            build_once(Path(ref.subtitles_path), lambda aside: write_srt(aside, read_lines(self.path, self.source)))


def read_lines(path: Path, source: SubtitleSource) -> tuple[SubtitleLine, ...]:
    """Read subtitles in a format other than SubRip, in time order and on the video's clock.

    Raises:
        DataError: The file cannot be read, or has no line with valid times.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if source.form is SubtitleForm.WORDS:
            lines = _lines_of_words([json.loads(row) for row in text.split("\n") if row.strip()])
        else:
            lines = [line for row in json.loads(text) if (line := _longvideobench_line(row, source)) is not None]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        raise DataError(f"{path}: not {source.form} subtitles ({str(reason)[:80]}); download it again") from reason
    if not lines:
        raise DataError(f"{path}: no subtitle with usable times; remove the file to play without subtitles")
    return tuple(sorted(lines, key=lambda line: line.interval))


def write_srt(path: Path, lines: Iterable[SubtitleLine]) -> None:
    """Write lines as SubRip."""
    cues = (
        f"{number}\n{_clock(line.interval.start_s)} --> {_clock(line.interval.end_s)}\n{line.text}\n"
        for number, line in enumerate(lines, start=1)
    )
    path.write_text("\n".join(cues), encoding="utf-8")


def _clock(time_s: float) -> str:
    minutes, milliseconds = divmod(round(time_s * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d},{milliseconds % 1000:03d}"


def _lines_of_words(words: Sequence[Mapping[str, Any]]) -> list[SubtitleLine]:
    """Group words into lines, split at pauses and sentence ends."""
    lines: list[list[Mapping[str, Any]]] = []
    for word in words:
        before = lines[-1][-1] if lines else None
        gap_s = float(word["start_time"]) - float(before["end_time"]) if before else 0.0
        ended = before is not None and str(before["text"]).rstrip().endswith((".", "!", "?"))
        if before is None or gap_s > WORD_GAP_S or (ended and gap_s > SENTENCE_GAP_S):
            lines.append([word])
        else:
            lines[-1].append(word)
    joined = [
        _line(float(line[0]["start_time"]), float(line[-1]["end_time"]), " ".join(str(word["text"]) for word in line))
        for line in lines
    ]
    return [line for line in joined if line is not None]


def _longvideobench_line(row: Mapping[str, Any], source: SubtitleSource) -> SubtitleLine | None:
    """Parse a row with `timestamp` or with `start` and `end`; a null end means the end of the video."""
    if "timestamp" in row:
        start, end = cast("tuple[Any, Any]", row["timestamp"])
        start_s, end_s, text = float(start), None if end is None else float(end), str(row["text"])
    else:
        start_s, end_s, text = parse_time(row["start"]), parse_time(row["end"]), str(row["line"])
    shown_end_s = source.duration_s if end_s is None else end_s - source.offset_s
    if start_s is None or shown_end_s is None:
        return None
    return _line(start_s - source.offset_s, shown_end_s, text)


def _line(start_s: float, end_s: float, text: str) -> SubtitleLine | None:
    """Build a line clipped to the start of the video; `None` if no time or no text is left."""
    text = " ".join(text.split())
    start_s = max(0.0, start_s)
    return SubtitleLine(Interval(start_s, end_s), text) if text and end_s > start_s else None
