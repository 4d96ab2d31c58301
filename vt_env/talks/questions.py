"""Questions of six families, two of each per talk.

| family | question | told by |
|---|---|---|
| said | According to the speaker, how many volunteers turned up? | narration |
| slide | On the slide titled "Why riders left", what number stands at "Average wait"? | picture |
| chart | In the chart titled "Riders by line", what is the value of "Airport"? which bar is the longest? | picture |
| when | When is the slide with the key figure 418 on screen? | picture |
| when | When does the speaker tell about the goose? | narration |
| order | In which order does the speaker tell about these? | narration |
| order | In which order do these come (two slides and a story)? | both |
| said_and_shown | Which key figure (what time) is shown while the speaker tells about the goose? | both |

No number is both spoken and shown, stories fit every slide, and a slide is referred to by its key figure wherever its
subject would tell when it is shown. Wrong options have the distribution of the right one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TypeVar

import numpy as np

from vt_env.talks.script import Remark, Story, TalkScript
from vt_env.types import Interval

T = TypeVar("T")

OPTIONS = 4
PER_FAMILY = 2
"""Questions of a family per talk."""
_WINDOW_S = 60
"""Length of the intervals among the options for a story."""


@dataclass(frozen=True, slots=True)
class TalkQuestion:
    """A question with its right and wrong options, before their order is drawn."""

    family: str
    text: str
    right: str
    wrong: tuple[str, ...]
    evidence: tuple[Interval, ...]


def said_text(remark: Remark) -> str:
    """Return the text of a question about a spoken fact."""
    return f"According to the speaker, {remark.form.ask}?"


def ask_said(script: TalkScript, rng: np.random.Generator) -> list[TalkQuestion]:
    """Ask for numbers that only the narration tells; one wrong option is spoken in a similar sentence."""
    chosen = [script.remarks[i] for i in rng.permutation(len(script.remarks))[:PER_FAMILY]]
    return [
        TalkQuestion("said", said_text(it), str(it.number), tuple(map(str, it.wrong)), (it.line.interval,))
        for it in chosen
    ]


def ask_slides(script: TalkScript, rng: np.random.Generator) -> list[TalkQuestion]:
    """Ask for numbers in bullets, which only the picture tells."""
    questions: list[TalkQuestion] = []
    for page in _drawn([it for it in script.pages if it.bullets], PER_FAMILY, rng):
        bullet = page.bullets[rng.integers(len(page.bullets))]
        text = f'On the slide titled "{page.title}", what number stands at "{bullet.form.label}"?'
        wrong = tuple(map(str, bullet.wrong))
        questions.append(TalkQuestion("slide", text, str(bullet.number), wrong, (page.interval,)))
    return questions


def ask_charts(script: TalkScript, rng: np.random.Generator) -> list[TalkQuestion]:
    """Ask for the value of a bar and for the longest bar; wrong options are of the same chart."""
    valued, ranked = _drawn([it for it in script.pages if it.bars], PER_FAMILY, rng)
    bars = _drawn(valued.bars, OPTIONS, rng)
    text = f'In the chart titled "{valued.title}", what is the value of "{bars[0][0]}"?'
    values = [str(value) for _, value in bars]
    value = TalkQuestion("chart", text, values[0], tuple(values[1:]), (valued.interval,))
    longest = max(ranked.bars, key=lambda bar: bar[1])[0]
    others = _drawn([name for name, _ in ranked.bars if name != longest], OPTIONS - 1, rng)
    text = f'In the chart titled "{ranked.title}", which bar is the longest?'
    return [value, TalkQuestion("chart", text, longest, tuple(others), (ranked.interval,))]


def ask_when(script: TalkScript, rng: np.random.Generator) -> list[TalkQuestion]:
    """Ask when a slide is shown and when a story is told."""
    page, *others = _drawn([it for it in script.pages if it.key_figure is not None], OPTIONS, rng)
    text = f"When is the slide with the key figure {page.key_figure} on screen?"
    wrong = tuple(str(it.interval) for it in others)
    shown = TalkQuestion("when", text, str(page.interval), wrong, (page.interval,))
    story = script.stories[rng.integers(len(script.stories))]
    right, *windows = _windows(story, script, rng)
    text = f"When does the speaker tell about {story.form.name}?"
    told = TalkQuestion("when", text, str(right), tuple(map(str, windows)), (story.line.interval,))
    return [shown, told]


def ask_order(script: TalkScript, rng: np.random.Generator) -> list[TalkQuestion]:
    """Ask for the order of three stories, and for that of two slides and a story."""
    stories = [(it.line.interval, it.form.name) for it in _drawn(script.stories, 3, rng)]
    told = _order("In which order does the speaker tell about these", stories, rng)
    story = script.stories[rng.integers(len(script.stories))]
    pages = [it for it in script.pages if it.key_figure is not None and it != story.page]
    shown = [(it.interval, f"the slide with the key figure {it.key_figure}") for it in _drawn(pages, 2, rng)]
    mixed = [*shown, (story.line.interval, f"the words about {story.form.name}")]
    return [told, _order("In which order do these come in the talk", mixed, rng)]


def ask_said_and_shown(script: TalkScript, rng: np.random.Generator) -> list[TalkQuestion]:
    """Ask for the key figure, and for the time on the clock, while a story is told."""
    first, second = script.stories[:2]
    figures = [str(it.key_figure) for it in script.pages if it.key_figure not in (None, first.page.key_figure)]
    text = f"Which key figure is on the slide while the speaker tells about {first.form.name}?"
    wrong = tuple(_drawn(figures, OPTIONS - 1, rng))
    figure = TalkQuestion("said_and_shown", text, str(first.page.key_figure), wrong, (first.line.interval,))
    start_s, rank = second.line.interval.start_s, int(rng.integers(OPTIONS))
    times = [script.clock(start_s + 60 * (place - rank)) for place in range(OPTIONS)]
    text = f"What time does the clock show while the speaker tells about {second.form.name}?"
    wrong = tuple(time for place, time in enumerate(times) if place != rank)
    return [figure, TalkQuestion("said_and_shown", text, times[rank], wrong, (second.line.interval,))]


QuestionFactory = Callable[[TalkScript, np.random.Generator], list[TalkQuestion]]
FAMILIES: Mapping[str, QuestionFactory] = {
    "said": ask_said,
    "slide": ask_slides,
    "chart": ask_charts,
    "when": ask_when,
    "order": ask_order,
    "said_and_shown": ask_said_and_shown,
}
"""Families by name. The order is part of every question's seed."""


def _order(question: str, things: Sequence[tuple[Interval, str]], rng: np.random.Generator) -> TalkQuestion:
    right = tuple(sorted(things))
    orders = [order for order in permutations(right) if order != right]
    texts = [", then ".join(name for _, name in order) for order in (right, *_drawn(orders, OPTIONS - 1, rng))]
    text = f"{question}: {'; '.join(name for _, name in things)}?"
    return TalkQuestion("order", text, texts[0], tuple(texts[1:]), tuple(interval for interval, _ in right))


def _windows(story: Story, script: TalkScript, rng: np.random.Generator) -> list[Interval]:
    """Draw a minute that holds the story and three that are apart from it and from each other."""
    first_s, last_s = int(script.pages[1].interval.start_s), int(script.pages[-1].interval.start_s) - _WINDOW_S
    line = story.line.interval
    early_s = max(first_s, int(line.end_s) + 1 - _WINDOW_S)
    starts_s = [int(rng.integers(early_s, min(last_s, int(line.start_s)) + 1))]
    while len(starts_s) < OPTIONS:
        start_s = int(rng.integers(first_s, last_s + 1))
        if all(abs(start_s - other_s) >= _WINDOW_S for other_s in starts_s):
            starts_s.append(start_s)
    return [Interval(it, it + _WINDOW_S) for it in starts_s]


def _drawn(things: Sequence[T], count: int, rng: np.random.Generator) -> list[T]:
    return [things[i] for i in rng.permutation(len(things))[:count]]
