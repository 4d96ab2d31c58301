"""Pages of a talk: opening page, slides with bullets and a key figure, bar charts, closing page."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vt_env.talks.material import BulletForm, ChartForm, SlideForm, Subject
from vt_env.talks.numbers import TalkNumbers
from vt_env.types import Interval

OPENING_S, CLOSING_S = 40, 30
CHART_SHARE = 0.7
"""Mean length of a chart in lengths of a slide with bullets."""
KEY_FIGURES = (101, 989)
THANKS = "Thank you"


@dataclass(frozen=True, slots=True)
class Bullet:
    """Bullet of a slide and its number."""

    form: BulletForm
    number: int
    wrong: tuple[int, ...]
    """Three numbers of the same range for wrong options."""

    @property
    def text(self) -> str:
        """The bullet as it is shown."""
        return self.form.text(self.number)


@dataclass(frozen=True, slots=True)
class Page:
    """A still picture of the talk, apart from its clock."""

    interval: Interval
    title: str
    subtitle: str = ""
    """Speaker on the opening page."""
    bullets: tuple[Bullet, ...] = ()
    key_figure: int | None = None
    """Number in the box below the bullets, different on every page; `None` if there is no box."""
    unit: str = ""
    """Unit of the bars."""
    bars: tuple[tuple[str, int], ...] = ()
    """Name and value of each bar; empty if this is no chart."""
    slide: SlideForm | None = None
    """The slide that this page belongs to; `None` for the opening and the closing page."""

    @property
    def is_content(self) -> bool:
        """Whether this is neither the opening nor the closing page."""
        return self.slide is not None


def write_pages(
    subject: Subject, speaker: str, duration_s: int, numbers: TalkNumbers, rng: np.random.Generator
) -> tuple[Page, ...]:
    """Lay out all pages of a talk without gaps; the order of the slides is random, a chart follows its slide."""
    order = [subject.slides[i] for i in rng.permutation(len(subject.slides))]
    forms: list[SlideForm | ChartForm] = []
    for slide in order:
        forms += [slide, slide.chart] if slide.chart else [slide]
    spans = _spans(forms, duration_s, rng)
    pages = [Page(Interval(0, spans[0].start_s), subject.title, speaker)]
    slide = order[0]
    for form, span in zip(forms, spans, strict=True):
        if isinstance(form, SlideForm):
            slide = form
            pages.append(_slide_page(form, span, numbers))
        else:
            pages.append(_chart_page(form, slide, span, numbers, rng))
    return (*pages, Page(Interval(spans[-1].end_s, duration_s), THANKS))


def _spans(forms: Sequence[SlideForm | ChartForm], duration_s: int, rng: np.random.Generator) -> list[Interval]:
    """Divide the time between opening and closing page into whole seconds."""
    shares = [(1.0 if isinstance(it, SlideForm) else CHART_SHARE) * rng.uniform(0.8, 1.25) for it in forms]
    ends = np.cumsum(shares) / sum(shares)
    whole_s = duration_s - OPENING_S - CLOSING_S
    marks_s = [OPENING_S, *(OPENING_S + round(whole_s * float(end)) for end in ends)]
    return [Interval(start_s, end_s) for start_s, end_s in pairwise(marks_s)]


def _slide_page(form: SlideForm, span: Interval, numbers: TalkNumbers) -> Page:
    key_figure = numbers.shown(*KEY_FIGURES)[0]
    drawn = [(it, numbers.shown(it.low, it.high, 3)) for it in form.bullets]
    bullets = tuple(Bullet(it, number, tuple(wrong)) for it, (number, *wrong) in drawn)
    return Page(span, form.title, bullets=bullets, key_figure=key_figure, slide=form)


def _chart_page(
    form: ChartForm, slide: SlideForm, span: Interval, numbers: TalkNumbers, rng: np.random.Generator
) -> Page:
    values = numbers.shown(form.low, form.high, len(form.bars) - 1)
    bars = tuple(zip(form.bars, [values[i] for i in rng.permutation(len(values))], strict=True))
    return Page(span, form.title, unit=form.unit, bars=bars, slide=slide)
