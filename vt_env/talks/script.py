"""Script of one talk: the pages on screen and the narration, generated from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vt_env.talks.material import RemarkForm, StoryForm, Subject, shared_lines
from vt_env.talks.narration import Slot, line_of, line_slots, speak
from vt_env.talks.numbers import TalkNumbers
from vt_env.talks.pages import Page, write_pages
from vt_env.types import Interval, SubtitleLine

SCRIPT_VERSION = 1
"""Part of every seed; increment it if a change makes the same seed give another script."""
_CLOCK_MARGIN_S = 180
"""Distance of the clock's story from both ends of the talk, so that three minutes around it are shown."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Spoken fact and its number."""

    form: RemarkForm
    number: int
    wrong: tuple[int, ...]
    """Three numbers for wrong options; the first one is spoken in the decoy."""
    line: SubtitleLine


@dataclass(frozen=True, slots=True)
class Story:
    """Spoken anecdote."""

    form: StoryForm
    line: SubtitleLine
    page: Page


@dataclass(frozen=True, slots=True)
class TalkScript:
    """Content of one talk."""

    subject: Subject
    speaker: str
    duration_s: int
    clock_start_s: int
    """Time of day at the start of the video, in seconds since midnight."""
    pages: tuple[Page, ...]
    """Pages in time order, without gaps."""
    subtitles: tuple[SubtitleLine, ...]
    remarks: tuple[Remark, ...]
    stories: tuple[Story, ...]
    """The first one is told over a page with a key figure, the second one within one minute of the clock."""

    def clock(self, time_s: float) -> str:
        """Return what the clock shows at a time of the video: `10:42`."""
        minutes = (self.clock_start_s + int(time_s)) // 60
        return f"{minutes // 60:02d}:{minutes % 60:02d}"

    def page_at(self, time_s: float) -> Page:
        """Return the page on screen at a time inside the video."""
        return next(page for page in self.pages if page.interval.contains(time_s))


def write_script(seed: Sequence[int], subject: Subject, duration_s: int) -> TalkScript:
    """Generate the script of one talk; the same arguments give the same script on every machine.

    Args:
        seed: Whole numbers of 0 or more.
        subject: Sentences and forms of slides.
        duration_s: Length of the video in seconds, 600 or more.
    """
    rng = np.random.default_rng(np.random.SeedSequence([SCRIPT_VERSION, *seed]))
    numbers = TalkNumbers(rng)
    speaker = str(rng.choice(shared_lines().speakers))
    clock_start_s = int(rng.integers(9 * 3600, 19 * 3600))
    pages = write_pages(subject, speaker, duration_s, numbers, rng)
    slots = line_slots(pages, duration_s, rng)
    told = _place_stories(slots, duration_s, clock_start_s, rng)
    forms = [subject.stories[i] for i in rng.permutation(len(subject.stories))]
    stories = tuple(Story(form, line_of(slot, form.line), slot.page) for form, slot in zip(forms, told, strict=True))
    free = [slot for slot in slots if slot not in told]
    remarks, decoys, taken = _write_remarks(subject, [it for it in free if it.page.is_content], numbers, rng)
    lines = [*(it.line for it in stories), *(it.line for it in remarks), *decoys]
    lines += speak(subject, [slot for slot in free if slot not in taken], rng)
    subtitles = tuple(sorted(lines, key=lambda line: line.interval))
    return TalkScript(subject, speaker, duration_s, clock_start_s, pages, subtitles, remarks, stories)


def _place_stories(slots: Sequence[Slot], duration_s: int, clock_start_s: int, rng: np.random.Generator) -> list[Slot]:
    """Choose a slot for each of four stories, on four pages; see `TalkScript.stories`."""
    content = [slot for slot in slots if slot.page.is_content]
    middle = Interval(_CLOCK_MARGIN_S, duration_s - _CLOCK_MARGIN_S)
    timed = [it for it in content if _in_one_minute(it.interval, clock_start_s) and _inside(it.interval, middle)]
    chosen = [timed[rng.integers(len(timed))]]
    for allowed in ([it for it in content if it.page.key_figure is not None], content, content):
        others = [it for it in allowed if it.page not in [slot.page for slot in chosen]]
        chosen.append(others[rng.integers(len(others))])
    clock, figure, *rest = chosen
    return [figure, clock, *rest]


def _inside(interval: Interval, other: Interval) -> bool:
    return other.start_s <= interval.start_s and interval.end_s <= other.end_s


def _in_one_minute(interval: Interval, clock_start_s: int) -> bool:
    first, last = clock_start_s + interval.start_s - 1, clock_start_s + interval.end_s + 1
    return int(first // 60) == int(last // 60)


def _write_remarks(
    subject: Subject, free: Sequence[Slot], numbers: TalkNumbers, rng: np.random.Generator
) -> tuple[tuple[Remark, ...], list[SubtitleLine], list[Slot]]:
    taken = [free[i] for i in rng.choice(len(free), 2 * len(subject.remarks), replace=False)]
    remarks: list[Remark] = []
    decoys: list[SubtitleLine] = []
    for form, slot, other in zip(subject.remarks, taken[::2], taken[1::2], strict=True):
        number, *wrong = numbers.spoken(form.low, form.high, 3)
        remarks.append(Remark(form, number, tuple(wrong), line_of(slot, form.line.format(n=number))))
        decoys.append(line_of(other, form.decoy.format(n=wrong[0])))
    return tuple(remarks), decoys, taken
