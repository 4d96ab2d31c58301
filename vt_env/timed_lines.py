"""Captions, and timed lines with lookup by time, whose cost does not grow with the length of the track."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeVar, overload

from vt_env.types import Box, Interval, SubtitleLine


@dataclass(frozen=True, slots=True)
class CloseUp:
    """Text that is legible in a crop and not in the whole frame."""

    box: Box
    """Part of the frame that it fills; a crop shows it only if it holds all of this."""
    text: str
    largest_side: float
    """Longer side of the largest crop in which it is legible, in fractions of the frame."""

    def is_legible(self, crop: Box) -> bool:
        """Tell whether a crop shows it large enough."""
        is_inside = (
            crop.left <= self.box.left
            and crop.top <= self.box.top
            and self.box.right <= crop.right
            and self.box.bottom <= crop.bottom
        )
        return is_inside and max(crop.right - crop.left, crop.bottom - crop.top) <= self.largest_side


@dataclass(frozen=True, slots=True)
class Caption(SubtitleLine):
    """Description of the picture during an interval."""

    close_ups: tuple[CloseUp, ...] = ()
    """Further text that crops show."""


Line = TypeVar("Line", bound=SubtitleLine)


class TimedLines(Sequence[SubtitleLine]):
    """Captions or subtitles in time order; they may overlap."""

    def __init__(self, lines: Iterable[SubtitleLine]) -> None:
        """Put lines into time order; those of the same times keep theirs."""
        self._lines = tuple(sorted(lines, key=lambda line: line.interval))
        self._starts_s = [line.interval.start_s for line in self._lines]
        # Lines overlap, so their ends are not in order; the latest end so far is.
        self._latest_ends_s = list(accumulate((line.interval.end_s for line in self._lines), max))

    def __len__(self) -> int:
        """Number of lines."""
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> SubtitleLine: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SubtitleLine, ...]: ...
    def __getitem__(self, index: int | slice) -> SubtitleLine | tuple[SubtitleLine, ...]:
        """Return one line, or several in time order."""
        return self._lines[index]

    def within(self, interval: Interval) -> list[SubtitleLine]:
        """Return the lines that share time with `interval`, in time order."""
        first = bisect_right(self._latest_ends_s, interval.start_s)
        last = bisect_left(self._starts_s, interval.end_s)
        return [line for line in self._lines[first:last] if line.interval.overlap_s(interval) > 0]

    def on_screen(self, times_s: Iterable[float]) -> list[SubtitleLine]:
        """Return the lines that are on screen at one of the times or more, each once, in time order."""
        shown = {
            row
            for time_s in times_s
            for row in range(bisect_right(self._latest_ends_s, time_s), bisect_right(self._starts_s, time_s))
            if self._lines[row].interval.contains(time_s)
        }
        return [self._lines[row] for row in sorted(shown)]


def ended_with(lines: Iterable[Line], duration_s: float) -> list[Line]:
    """Return the lines that begin before a video ends, in their order; those that go on after it end with it."""
    kept = [it for it in lines if it.interval.start_s < duration_s]
    return [
        it if it.interval.end_s <= duration_s else replace(it, interval=Interval(it.interval.start_s, duration_s))
        for it in kept
    ]


def joined_by_interval(lines: Iterable[SubtitleLine]) -> list[SubtitleLine]:
    """Join neighbouring lines of equal intervals, such as the lines of one slide, with ` / ` between them."""
    joined: list[SubtitleLine] = []
    for line in lines:
        if joined and joined[-1].interval == line.interval:
            joined[-1] = SubtitleLine(line.interval, f"{joined[-1].text} / {line.text}")
        else:
            joined.append(SubtitleLine(line.interval, line.text))
    return joined
