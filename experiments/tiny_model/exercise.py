"""Records of a training exercise, and random draws shared by the skills."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from vt_env.budget.remaining import Remaining
from vt_env.prompts import TINY
from vt_env.types import Interval, Item, VideoRef
from vt_env.world.vocabulary import COLOURS, SHAPES


class Paintable(Protocol):
    """A picture that can be rendered."""

    def paint(self) -> Image.Image:
        """Render the picture at 112 x 112 pixels."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """One request with its reply."""

    request: str
    reply: str
    pictures: tuple[Paintable, ...] = ()
    """Pictures before the request."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A training exercise: a short conversation."""

    skill: str
    rounds: tuple[Round, ...]
    as_question: bool = False
    """Whether the first request is a complete question of an episode, which the system text precedes."""

    @property
    def pictures(self) -> tuple[Paintable, ...]:
        """All pictures, in order."""
        return tuple(picture for it in self.rounds for picture in it.pictures)


Maker = Callable[[np.random.Generator, Any, np.random.Generator], Exchange]
"""Exchange factory, of a random generator, a source of scenes of its world, and another generator. The last generator
determines only the length, so that a batch of similar lengths can share it."""
Kind = tuple[str, str]
"""Colour and shape."""
CALLS = 8
"""Number of calls at the start of an episode."""


def answer(option: object) -> str:
    """Return the reply that ends an episode."""
    return f"<answer>{option}</answer>"


def whole_question(asked: str, options: tuple[str, ...], rng: np.random.Generator, calls: int = 0) -> str:
    """Return a question in the wording of an episode, with options and budget."""
    item = Item("skill", asked, options, VideoRef("skill", ""))
    return TINY.opening_text(item, float(rng.integers(1, 3600)), Remaining(calls, calls), "frames")


def left_line(calls: int, rng: np.random.Generator, perception: str = "frames") -> str:
    """Return the remaining budget in words, with at least as many frames as calls."""
    return TINY.budget_text(Remaining(calls, spare_frames(calls, rng)), perception)


def spare_frames(calls: int, rng: np.random.Generator) -> int:
    """Draw the number of remaining frames: 0 to 2 more than calls."""
    return calls + int(rng.integers(3))


def with_text_before(text: str, first: Round) -> Round:
    """Prepend a text to the first request; the pictures of the round precede both."""
    return Round(f"{text}\n{first.request}", first.reply, first.pictures)


def number_options(number: int, rng: np.random.Generator, near: Sequence[int] = ()) -> tuple[str, ...]:
    """Return the right number and three wrong ones, near misses first, in random order."""
    wrong = [n for n in [*near, *rng.permutation(np.arange(10, 100))] if n != number]
    options = [number, *list(dict.fromkeys(wrong))[:3]]
    return tuple(str(options[i]) for i in rng.permutation(4))


def order_options(in_order: Sequence[Kind], rng: np.random.Generator) -> tuple[str, ...]:
    """Return four orders as option texts, the right one first."""
    others = [tuple(in_order[i] for i in rng.permutation(len(in_order))) for _ in range(40)]
    orders = list(dict.fromkeys([tuple(in_order), *others]))[:4]
    return tuple(", ".join(map(" ".join, order)) for order in orders)


def random_count(lengths: np.random.Generator, most: int) -> int:
    """Draw a length from 1 to `most`, biased towards small ones."""
    return int(lengths.integers(1, lengths.integers(2, most + 2)))


def random_interval(rng: np.random.Generator) -> Interval:
    """Draw an interval of 3 to 60 s within an hour."""
    start_s = int(rng.integers(0, 3590))
    return Interval(start_s, start_s + int(rng.integers(3, 61)))


def random_kind(rng: np.random.Generator) -> Kind:
    """Draw a colour and a shape."""
    return pick(rng, COLOURS), pick(rng, SHAPES)


def random_kinds(rng: np.random.Generator, count: int) -> list[Kind]:
    """Draw different kinds."""
    every = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    return [every[place] for place in rng.choice(len(every), count, replace=False)]


def pick(rng: np.random.Generator, words: Mapping[str, object] | tuple[str, ...]) -> str:
    """Draw a word."""
    return list(words)[rng.integers(len(words))]
