"""Captions of a talk: one for each minute of the clock on each page, as a captioner would describe the picture."""

from itertools import pairwise

from vt_env.talks.pages import Page
from vt_env.talks.script import TalkScript
from vt_env.timed_lines import Caption
from vt_env.types import Interval

_SLIDES = (
    'A slide titled "{title}" with the bullets {bullets}. A box below reads "Key figure: {figure}".',
    'The screen shows a slide, "{title}". Its bullets say {bullets}, and a dark box at the bottom says '
    '"Key figure: {figure}".',
    'Slide with the heading "{title}". There are three bullets: {bullets}. Under them stands "Key figure: {figure}".',
)
_CHARTS = (
    'A bar chart titled "{title}", in {unit}: {bars}.',
    'The screen shows a chart with horizontal bars, "{title}". The values, in {unit}, are {bars}.',
    'Bar chart with the heading "{title}" and the unit {unit}. The bars read {bars}.',
)
_CLOCKS = ("The clock in the corner shows {clock}.", "A clock at the top right says {clock}.", "Clock: {clock}.")


def write_captions(script: TalkScript) -> list[Caption]:
    """Caption every page, again for each minute of the clock."""
    return [
        Caption(span, f"{_picture(page, number)} {_CLOCKS[number % len(_CLOCKS)].format(clock=clock)}")
        for number, page in enumerate(script.pages)
        for span, clock in clock_spans(script, page)
    ]


def clock_spans(script: TalkScript, page: Page) -> list[tuple[Interval, str]]:
    """Divide a page where the clock changes; return each span and what the clock shows."""
    start_s, end_s = int(page.interval.start_s), int(page.interval.end_s)
    changes = [it for it in range(start_s + 1, end_s) if (script.clock_start_s + it) % 60 == 0]
    marks_s = [start_s, *changes, end_s]
    return [(Interval(first_s, last_s), script.clock(first_s)) for first_s, last_s in pairwise(marks_s)]


def _picture(page: Page, number: int) -> str:
    form = number % len(_SLIDES)
    if page.bars:
        bars = ", ".join(f"{name} {value}" for name, value in page.bars)
        return _CHARTS[form].format(title=page.title, unit=page.unit, bars=bars)
    if page.bullets:
        bullets = ", ".join(f'"{it.text}"' for it in page.bullets)
        return _SLIDES[form].format(title=page.title, bullets=bullets, figure=page.key_figure)
    if page.subtitle:
        return f'The opening slide of a talk, "{page.title}", by {page.subtitle}.'
    return f'A closing slide that says "{page.title}".'
