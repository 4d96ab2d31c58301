"""Narration of a talk: slots for lines, and the lines without facts that fill them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vt_env.talks.material import SlideForm, Subject, shared_lines
from vt_env.talks.pages import THANKS, Page
from vt_env.types import Interval, SubtitleLine

_MARGIN_S = 2
_WORDS_PER_S = 2.6
_SHORT_S, _LONG_S = (7, 11), (9, 16)
"""Length of a slot in the shortest and the longest talk: a longer talk has longer pauses."""
_SHORT_TALK_S, _LONG_TALK_S = 600, 2400


@dataclass(frozen=True, slots=True)
class Slot:
    """Time for one line and the pause after it, with the page on screen."""

    interval: Interval
    page: Page


def line_slots(pages: Sequence[Page], duration_s: int, rng: np.random.Generator) -> list[Slot]:
    """Fill every page with slots, away from its start and end."""
    share = (duration_s - _SHORT_TALK_S) / (_LONG_TALK_S - _SHORT_TALK_S)
    low, high = (round(short + share * (long - short)) for short, long in zip(_SHORT_S, _LONG_S, strict=True))
    slots: list[Slot] = []
    for page in pages:
        start_s = int(page.interval.start_s) + _MARGIN_S
        while start_s + high + _MARGIN_S <= page.interval.end_s:
            end_s = start_s + int(rng.integers(low, high + 1))
            slots.append(Slot(Interval(start_s, end_s), page))
            start_s = end_s
    return slots


def line_of(slot: Slot, text: str) -> SubtitleLine:
    """Speak a text at the start of a slot; the pause behind it is at least half a second."""
    spoken_s = min(max(2.0, round(len(text.split()) / _WORDS_PER_S, 1)), slot.interval.duration_s - 0.5)
    return SubtitleLine(Interval(slot.interval.start_s, slot.interval.start_s + spoken_s), text)


def speak(subject: Subject, free: Sequence[Slot], rng: np.random.Generator) -> list[SubtitleLine]:
    """Fill the free slots: first lines of pages, lines about the slide in their order, asides between them."""
    shared = shared_lines()
    asides, turns, charts = (_endless(it, rng) for it in (shared.asides, shared.turns, shared.charts))
    spoken: list[SubtitleLine] = []
    for slide in dict.fromkeys(slot.page.slide for slot in free):
        slots = [slot for slot in free if slot.page.slide is slide]
        if slide is None:
            spoken += _frame_talk(slots, rng)
        else:
            spoken += _present(slide, slots, (turns, charts, asides), rng)
    return [SubtitleLine(line.interval, line.text.format(topic=subject.topic)) for line in spoken]


def _frame_talk(slots: Sequence[Slot], rng: np.random.Generator) -> list[SubtitleLine]:
    closing = [slot for slot in slots if slot.page.title == THANKS]
    opening = [slot for slot in slots if slot not in closing]
    shared = shared_lines()
    pairs = [
        *zip(opening, _endless(shared.openings, rng), strict=False),
        *zip(closing, _endless(shared.closings, rng), strict=False),
    ]
    return [line_of(slot, text) for slot, text in pairs]


def _present(
    slide: SlideForm,
    slots: Sequence[Slot],
    banks: tuple[Iterator[str], Iterator[str], Iterator[str]],
    rng: np.random.Generator,
) -> list[SubtitleLine]:
    turns, charts, asides = banks
    spoken: list[SubtitleLine] = []
    left = list(slots)
    for page in dict.fromkeys(slot.page for slot in slots):
        first = next(slot for slot in left if slot.page == page)
        spoken.append(line_of(first, next(charts if page.bars else turns)))
        left.remove(first)
    count = min(len(left), len(slide.lines))
    about = sorted(int(it) for it in rng.choice(len(left), count, replace=False)) if left else []
    for place, slot in enumerate(left):
        spoken.append(line_of(slot, slide.lines[about.index(place)] if place in about else next(asides)))
    return spoken


def _endless(lines: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Yield lines in random order, each once before any is repeated."""
    while True:
        yield from (lines[int(place)] for place in rng.permutation(len(lines)))
