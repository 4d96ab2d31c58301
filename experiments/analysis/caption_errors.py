"""Errors of captions, word by word and kind by kind, against flawless ones."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from vt_env.stats import Cluster, bootstrap_ci95, mean
from vt_env.world.vocabulary import COLOURS, HEIGHTS, SHAPES, SIDES

KINDS: Mapping[str, frozenset[str]] = {
    "colour": frozenset(COLOURS),
    "shape": frozenset(SHAPES),
    "side": frozenset(SIDES),
    "height": frozenset(HEIGHTS),
    "size": frozenset({"large", "small"}),
}
"""Words of the world's captions by kind; digits are of the kind `number`, all else of the kind `other`."""


@dataclass(frozen=True)
class WordPair:
    """One word of a flawless caption beside the written one; `None` where there is none."""

    kind: str
    flawless: str | None
    written: str | None

    @property
    def is_right(self) -> bool:
        """Whether the words are equal."""
        return self.flawless == self.written


@dataclass(frozen=True)
class KindErrors:
    """Shares of the words of one kind."""

    kind: str
    n: int
    """Words of the flawless captions."""
    right: float
    wrong: float
    missing: float
    invented: float


@dataclass(frozen=True)
class CaptionErrors:
    """Errors of all captions of a task set."""

    clips: int
    videos: int
    exact: float
    """Share of clips whose caption equals the flawless one."""
    exact_ci95: tuple[float, float]
    """95 % cluster bootstrap over videos."""
    kinds: Sequence[KindErrors]
    words: Mapping[str, Mapping[str, int]]
    """Flawless word to what was written in its place, with counts; the empty text stands for nothing."""


def count_errors(captions: Mapping[str, Sequence[tuple[str, str]]], seed: int = 0) -> CaptionErrors:
    """Count the errors of captions.

    Args:
        captions: Video to its clips: the flawless caption and the written one, empty for none.
        seed: Seed of the bootstrap.
    """
    every = [pair for pairs in captions.values() for pair in pairs]
    words = [it for flawless, written in every for it in word_pairs(flawless, written)]
    exact = {video: Cluster(sum(a == b for a, b in pairs), len(pairs)) for video, pairs in captions.items()}
    instead: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for it in words:
        if it.flawless is not None:
            instead[it.flawless][it.written or ""] += 1
    kinds = [kind for kind in (*KINDS, "number", "other") if any(it.kind == kind for it in words)]
    return CaptionErrors(
        clips=len(every),
        videos=len(captions),
        exact=mean(exact),
        exact_ci95=bootstrap_ci95(exact, np.random.default_rng(seed)),
        kinds=[_of_kind(kind, [it for it in words if it.kind == kind]) for kind in kinds],
        words={word: dict(counts.most_common()) for word, counts in sorted(instead.items())},
    )


def word_pairs(flawless: str, written: str) -> Iterator[WordPair]:
    """Match the words of two captions, kind by kind: equal words first, then the others in their order."""
    sides = [_by_kind(flawless), _by_kind(written)]
    for kind in dict.fromkeys([*sides[0], *sides[1]]):
        one, other = (side.get(kind, []) for side in sides)
        shared = Counter(one) & Counter(other)
        yield from (WordPair(kind, word, word) for word in shared.elements())
        for left in zip_longest(_without(one, shared), _without(other, shared)):
            yield WordPair(kind, *left)


def kind_of(word: str) -> str:
    """Return the kind of a word of a caption."""
    if word.isdecimal():
        return "number"
    return next((kind for kind, words in KINDS.items() if word in words), "other")


def _by_kind(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in text.split():
        found.setdefault(kind_of(word), []).append(word)
    return found


def _without(words: Sequence[str], counted: Counter[str]) -> list[str]:
    left, kept = Counter(counted), list[str]()
    for word in words:
        if left[word]:
            left[word] -= 1
        else:
            kept.append(word)
    return kept


def _of_kind(kind: str, pairs: Sequence[WordPair]) -> KindErrors:
    n = sum(it.flawless is not None for it in pairs)
    right, missing = sum(it.is_right for it in pairs), sum(it.written is None for it in pairs)
    invented = len(pairs) - n
    counts = (right, n - right - missing, missing, invented)
    return KindErrors(kind, n, *(count / max(1, n) for count in counts))


def shares_of(it: KindErrors) -> tuple[float, float, float, float]:
    """Return the shares of right, wrong, missing and invented words."""
    return it.right, it.wrong, it.missing, it.invented
