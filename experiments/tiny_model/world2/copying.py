"""Exercises of copying and looking up: what must be learned before any line of a list can be found.

Lines of the world follow few patterns, and a model that knows them guesses most tokens of a copy without reading: its
loss falls, and it never learns to copy. `echo` has no pattern, so that nothing but copying lowers the loss; `lookup`
asks for little but the choice of a line. docs/lab_log.md (2026-12-01) has what was measured.
"""

from collections.abc import Sequence

import numpy as np

from experiments.tiny_model.exercise import (
    Exchange,
    Round,
    pick,
    random_count,
    random_interval,
    random_kind,
    with_text_before,
)
from experiments.tiny_model.scene_pictures import SceneSource
from vt_env.types import format_time
from vt_env.world.vocabulary import ADJECTIVES, COLOURS, HEIGHTS, NAMES, NOUNS, SHAPES, SIDES, VERBS
from vt_env.world2.vocabulary import NEW_WORDS

WORDS: tuple[str, ...] = (*COLOURS, *SHAPES, *SIDES, *HEIGHTS, *NAMES, *ADJECTIVES, *NOUNS, *VERBS, *NEW_WORDS)
"""Words of both worlds, for texts without a pattern."""
ECHOED, LOOKED_UP = 14, 8
"""Largest number of words of a text to repeat, and of lines to look up in."""


def echo(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that repeats words, things, numbers and times in random order."""

    def one() -> Round:
        text = " ".join(_any_word(rng) for _ in range(random_count(lengths, ECHOED)))
        return Round(f"Copy\n{text}", text)

    return Exchange("echo", tuple(one() for _ in range(1 + random_count(lengths, 3))))


def lookup(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that finds values by keys in a list of short lines; the value is first in half of the lists."""
    count = 1 + random_count(lengths, LOOKED_UP - 1)
    keys = _keys(count, rng)
    values = [_any_word(rng) for _ in keys]
    value_first = bool(lengths.random() < 0.5)
    lines = [f"{value} {key}" if value_first else f"{key} {value}" for key, value in zip(keys, values, strict=True)]
    asked = [int(place) for place in rng.permutation(count)]
    first, *others = [Round(f"Find {keys[place]}", values[place]) for place in asked]
    return Exchange("lookup", (with_text_before("\n".join(lines), first), *others))


def _keys(count: int, rng: np.random.Generator) -> Sequence[str]:
    """Draw different names or things."""
    if rng.random() < 0.5:
        return [str(name) for name in rng.permutation(NAMES)[:count]]
    every = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    return [every[place] for place in rng.choice(len(every), count, replace=False)]


def _any_word(rng: np.random.Generator) -> str:
    kind = rng.integers(6)
    if kind == 0:
        return " ".join(random_kind(rng))
    if kind == 1:
        return str(rng.integers(10, 100))
    if kind == 2:
        return format_time(float(rng.integers(3600)))
    if kind == 3:
        return str(random_interval(rng))
    return pick(rng, WORDS)
