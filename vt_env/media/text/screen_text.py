"""Text on the screen: what one picture shows to read, and the timed lines that readings of a video add up to.

An extension: the paper reads no text from pictures. Knows texts, boxes and times; knows nothing of pixels, files or
engines. `vt_env.media.text.read_screen` makes the readings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vt_env.timed_lines import TimedLines
from vt_env.types import Box, Interval, SubtitleLine
from vt_env.valid_text import normalised

SAME_PLACE = 0.5
"""Least `box_overlap` of two readings of one text."""


@dataclass(frozen=True, slots=True)
class PictureText:
    """One line of text in one picture."""

    text: str
    box: Box
    """Upright box around the text, in fractions of the picture."""
    confidence: float
    """The engine's confidence in the text, in [0, 1]."""


class OcrEngine(Protocol):
    """Recognises text in pictures. Picklable, and safe to use from several threads."""

    @property
    def key(self) -> str:
        """Name, version and settings of the engine, for cache keys."""
        ...

    def read(self, picture: NDArray[np.uint8]) -> Sequence[PictureText]:
        """Return the texts of a picture uint8[H, W, 3] RGB in reading order; empty without any.

        Raises:
            ConfigError: The engine is not installed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """The texts of the picture at one time."""

    time_s: float
    """Presentation time of the picture, in seconds."""
    texts: tuple[PictureText, ...]


@dataclass(frozen=True, slots=True)
class ScreenLine(SubtitleLine):
    """One line of text on the screen, with the interval for which it stays."""

    box: Box
    """Place of the line in fractions of the frame."""
    confidence: float
    """Highest confidence of its readings, in [0, 1]."""


def join_readings(readings: Iterable[Reading], end_s: float) -> TimedLines:
    """Make timed lines of readings: what stays in its place from one reading to the next is one line.

    A line begins at the first reading that holds it and ends at the first one after that does not, or at the end.

    Args:
        readings: In time order; each stands for the screen until the next.
        end_s: End of the video in seconds.
    """
    lines: list[ScreenLine] = []
    shown: list[ScreenLine] = []
    for reading in readings:
        left = list(shown)
        shown = []
        for it in reading.texts:
            before = next((line for line in left if _is_same(line, it)), None)
            if before is None:
                shown.append(ScreenLine(Interval(reading.time_s, end_s), it.text, it.box, it.confidence))
            else:
                left.remove(before)
                shown.append(replace(before, confidence=max(before.confidence, it.confidence)))
        lines += [_ended(line, reading.time_s) for line in left]
    return TimedLines(lines + shown)


def screens_of(lines: Sequence[SubtitleLine]) -> list[SubtitleLine]:
    """Return what is on the screen at a time as one text each, with the interval for which nothing of it changes.

    Args:
        lines: In time order; of those that begin together, in reading order. Times without a line are left out.
    """
    edges_s = sorted({edge_s for line in lines for edge_s in (line.interval.start_s, line.interval.end_s)})
    screens: list[SubtitleLine] = []
    shown: list[SubtitleLine] = []
    following = iter([*lines, None])
    line = next(following)
    for start_s, end_s in pairwise(edges_s):
        shown = [it for it in shown if it.interval.end_s > start_s]
        while line is not None and line.interval.start_s <= start_s:
            shown.append(line)
            line = next(following)
        if shown:
            screens.append(SubtitleLine(Interval(start_s, end_s), " ".join(it.text for it in shown)))
    return screens


def box_overlap(first: Box, second: Box) -> float:
    """Return the shared area of two boxes as a fraction of the smaller one, in [0, 1]."""
    width = min(first.right, second.right) - max(first.left, second.left)
    height = min(first.bottom, second.bottom) - max(first.top, second.top)
    smaller = min((it.right - it.left) * (it.bottom - it.top) for it in (first, second))
    return width * height / smaller if width > 0 and height > 0 else 0.0


def _is_same(line: ScreenLine, text: PictureText) -> bool:
    return _letters(line.text) == _letters(text.text) and box_overlap(line.box, text.box) >= SAME_PLACE


def _letters(text: str) -> str:
    """Drop what readings of one text differ in: spaces, punctuation and case."""
    letters = "".join(it for it in normalised(text, "NFKC").casefold() if it.isalnum())
    return letters or text


def _ended(line: ScreenLine, end_s: float) -> ScreenLine:
    return replace(line, interval=Interval(line.interval.start_s, end_s))
