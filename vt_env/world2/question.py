"""A question before its options are put in order, and near misses to draw wrong options from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vt_env.types import Box, Interval
from vt_env.world2.script import Kind

OPTIONS = 4


@dataclass(frozen=True, slots=True)
class World2Question:
    """A question with its right and wrong options."""

    family: str
    text: str
    right: str
    wrong: tuple[str, ...]
    evidence: tuple[Interval, ...]
    """What must be seen, or heard where the answer is spoken only."""
    evidence_boxes: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        assert len({self.right, *self.wrong}) == OPTIONS, self


def wrong_numbers(right: int, near: Iterable[int], rng: np.random.Generator) -> tuple[str, ...]:
    """Return three other numbers from 10 to 99: near misses in their order, then random ones."""
    drawn = (int(it) for it in rng.permutation(np.arange(10, 100)))
    others = dict.fromkeys(it for it in (*near, *drawn) if it != right)
    return tuple(str(it) for it in list(others)[: OPTIONS - 1])


def wrong_kinds(right: Kind, near: Sequence[Kind], all_kinds: Sequence[Kind]) -> tuple[str, ...]:
    """Return the other three of two colours with two shapes: no option is more alike to the others than another.

    Args:
        right: Right colour and shape.
        near: Kinds of the same video; the first one that differs in both gives the second colour and shape.
        all_kinds: Kinds in random order, for videos without such a one.
    """
    colour, shape = next(it for it in (*near, *all_kinds) if it[0] != right[0] and it[1] != right[1])
    return tuple(" ".join(it) for it in ((right[0], shape), (colour, right[1]), (colour, shape)))


def wrong_of(right: str, all_options: Sequence[str]) -> tuple[str, ...]:
    """Return all options but the right one."""
    return tuple(it for it in all_options if it != right)


T = TypeVar("T")


def in_random_order(things: Sequence[T], rng: np.random.Generator) -> list[T]:
    """Return things in random order."""
    return [things[i] for i in rng.permutation(len(things))]
