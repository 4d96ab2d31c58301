"""Exercises on lists: lines that the narrator speaks, ranked clips, options."""

from collections.abc import Sequence

import numpy as np

from experiments.tiny_model.copied_lists import copy_lines, repeat_lines, walk_lines
from experiments.tiny_model.exercise import (
    Exchange,
    Round,
    pick,
    random_count,
    random_interval,
    random_kind,
    random_kinds,
    with_text_before,
)
from experiments.tiny_model.scene_pictures import SceneSource
from experiments.tiny_model.world2.asked import question_about, question_about_named, shuffled
from vt_env.prompts import option_letter
from vt_env.types import Interval, format_time
from vt_env.world.vocabulary import ADJECTIVES, NAMES, NOUNS, VERBS
from vt_env.world2.question import wrong_kinds
from vt_env.world2.sight_questions import PLACES
from vt_env.world2.vocabulary import DIFFERENCES, DIRECTIONS

SPOKEN, RANKED = 5, 8
"""Most lines of a search in the subtitles, and most clips of one."""


def find(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that copies the spoken line that a question is about; other lines name other names."""
    names, lines = _spoken_list(rng, lengths)

    def one(place: int) -> Round:
        thing = " ".join(random_kind(rng))
        return Round(question_about(lines[place], names[place], thing, rng), lines[place])

    first, *others = [one(int(place)) for place in rng.permutation(len(names))]
    return Exchange("find", (with_text_before("\n".join(lines), first), *others))


def hop(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that says which thing a name stands for, from the line that says so."""
    count = random_count(lengths, SPOKEN)
    names = [str(name) for name in rng.permutation(NAMES)[:count]]
    kinds = [" ".join(random_kind(rng)) for _ in names]
    lines = [f"{random_interval(rng)} {name} is the {kind}" for name, kind in zip(names, kinds, strict=True)]
    rounds = [Round(question_about_named(names[at], rng), kinds[at]) for at in rng.permutation(count)]
    return Exchange("hop", (with_text_before("\n".join(lines), rounds[0]), *rounds[1:]))


def after(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that gives the moments around a line: before it, after it, and after what follows it."""

    def one() -> Round:
        when = random_interval(rng)
        start_s, end_s = when.start_s, when.end_s
        moments = {
            "Crop after": f"{format_time(end_s)}.5",
            "Frames after": str(Interval(end_s + 1, end_s + 2)),
            "Frames at": str(Interval(end_s, end_s + 1)),
            "Frames before": str(Interval(max(0, start_s - 1), max(1, start_s))),
        }
        request = list(moments)[rng.integers(len(moments))]
        return Round(f"{when} look at {pick(rng, NAMES)} now\n{request}", moments[request])

    return Exchange("after", tuple(one() for _ in range(random_count(lengths, 5))))


def repeat(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that copies lists of lines."""
    return repeat_lines(_any_line, rng, lengths)


def copy(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that copies lines of a list, selected by number or letter."""
    heads, lines = _list(rng, lengths)
    return copy_lines(heads, lines, rng, lengths)


def walk(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that goes through a list line by line."""
    heads, lines = _list(rng, lengths)
    return walk_lines(heads, lines, rng)


def option_texts(rng: np.random.Generator) -> Sequence[str]:
    """Draw the texts of four different options: numbers, places, directions, differences or things."""
    kind = rng.integers(5)
    if kind == 0:
        return [str(number) for number in 10 + rng.choice(90, 4, replace=False)]
    if kind < 4:
        return shuffled((PLACES, DIRECTIONS, DIFFERENCES)[kind - 1], rng)
    right, *others = random_kinds(rng, 48)
    return shuffled((" ".join(right), *wrong_kinds(right, (), others)), rng)


def _spoken_list(rng: np.random.Generator, lengths: np.random.Generator) -> tuple[list[str], list[str]]:
    """Draw the different names of a list, and its lines."""
    names = [str(name) for name in rng.permutation(NAMES)[: random_count(lengths, SPOKEN)]]
    return names, [f"{random_interval(rng)} {_spoken(name, rng)}" for name in names]


def _spoken(name: str, rng: np.random.Generator) -> str:
    kind = rng.integers(5)
    if kind == 0:
        return f"the code of {name} is {rng.integers(10, 100)}"
    if kind == 1:
        return f"look at {name} now"
    if kind == 2:
        return f"{name} is the {' '.join(random_kind(rng))}"
    if kind == 3:
        return f"nobody knows the code of {name}"
    return f"{name} {pick(rng, VERBS)} the {pick(rng, ADJECTIVES)} {pick(rng, NOUNS)}"


def _list(rng: np.random.Generator, lengths: np.random.Generator) -> tuple[list[str], list[str]]:
    """Draw a list to copy from: the labels of its lines, and the lines."""
    if rng.random() < 0.3:
        heads = [f"{option_letter(idx)}." for idx in range(4)]
        return heads, [f"{head} {text}" for head, text in zip(heads, option_texts(rng), strict=True)]
    heads = [f"#{rank}" for rank in range(1, 1 + random_count(lengths, RANKED))]
    return heads, [f"{head} {random_interval(rng)}" for head in heads]


def _any_line(rank: int, rng: np.random.Generator) -> str:
    kind = rng.integers(3)
    if kind == 0:
        return f"#{rank} {random_interval(rng)}"
    if kind == 1:
        return f"{option_letter(rank - 1)}. {option_texts(rng)[0]}"
    return f"{random_interval(rng)} {_spoken(pick(rng, NAMES), rng)}"
