"""What a skill is made of, and the draws that skills have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.tiny_model.scene_pictures import Picture, SceneSource
from vt_env.prompts import left_text, question_text
from vt_env.types import Interval, Item, Remaining, VideoRef
from vt_env.world.vocabulary import COLOURS, SHAPES


@dataclass(frozen=True, slots=True)
class Round:
    """One request and its reply."""

    request: str
    reply: str
    pictures: tuple[Picture, ...] = ()
    """Shown before the request."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A short conversation."""

    skill: str
    rounds: tuple[Round, ...]
    as_question: bool = False
    """Whether the first request is a whole question as an episode words it, so that the system text stands before."""

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures, in order."""
        return tuple(picture for it in self.rounds for picture in it.pictures)


Maker = Callable[[np.random.Generator, SceneSource, np.random.Generator], Exchange]
"""Makes an exchange; the last generator decides its length alone, so that a batch of like lengths can share it."""

Kind = tuple[str, str]
"""Colour and shape."""
CALLS = 8
"""What an episode begins with."""


def answer(option: object) -> str:
    """The reply that ends an episode."""
    return f"<answer>{option}</answer>"


def whole_question(asked: str, options: tuple[str, ...], rng: np.random.Generator, calls: int = 0) -> str:
    """Word a question as an episode does, with options and budget."""
    item = Item("skill", asked, options, VideoRef("skill", ""))
    return question_text(item, float(rng.integers(1, 3600)), Remaining(calls, calls), "frames")


def left_line(calls: int, rng: np.random.Generator, perception: str = "frames") -> str:
    """Say what is left, of frames never less than of calls."""
    return left_text(Remaining(calls, spare_frames(calls, rng)), perception)


def spare_frames(calls: int, rng: np.random.Generator) -> int:
    """Draw how many frames are left beside calls: up to two more."""
    return calls + int(rng.integers(3))


def with_text_before(text: str, first: Round) -> Round:
    """Put a text before the first request; the pictures of that round come before both."""
    return Round(f"{text}\n{first.request}", first.reply, first.pictures)


def number_options(number: int, rng: np.random.Generator, near: Sequence[int] = ()) -> tuple[str, ...]:
    """Draw three other numbers, those near first, and mix them with the right one."""
    wrong = [n for n in [*near, *rng.permutation(np.arange(10, 100))] if n != number]
    options = [number, *list(dict.fromkeys(wrong))[:3]]
    return tuple(str(options[i]) for i in rng.permutation(4))


def order_options(in_order: Sequence[Kind], rng: np.random.Generator) -> tuple[str, ...]:
    """Word four orders of things as options, the right one first."""
    others = [tuple(in_order[i] for i in rng.permutation(len(in_order))) for _ in range(40)]
    orders = list(dict.fromkeys([tuple(in_order), *others]))[:4]
    return tuple(", ".join(map(" ".join, order)) for order in orders)


def random_count(lengths: np.random.Generator, most: int) -> int:
    """Draw a length from 1 to `most`, small ones more often."""
    return int(lengths.integers(1, lengths.integers(2, most + 2)))


def random_interval(rng: np.random.Generator) -> Interval:
    """Draw up to a minute of an hour."""
    start_s = int(rng.integers(0, 3590))
    return Interval(start_s, start_s + int(rng.integers(3, 61)))


def random_kind(rng: np.random.Generator) -> Kind:
    """Draw a colour and a shape."""
    return pick(rng, COLOURS), pick(rng, SHAPES)


def random_kinds(rng: np.random.Generator, count: int) -> list[Kind]:
    """Draw kinds that are all different."""
    every = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    return [every[place] for place in rng.choice(len(every), count, replace=False)]


def pick(rng: np.random.Generator, words: Mapping[str, object] | tuple[str, ...]) -> str:
    """Draw a word."""
    return list(words)[rng.integers(len(words))]
