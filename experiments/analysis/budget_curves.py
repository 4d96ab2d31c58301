"""Accuracy against budget, computed from finished episodes.

`within` is a curve of one run: the share of episodes that are right and used at most `x`; episodes that used more count
as wrong. It is the accuracy under a limit of `x`, and a lower bound for a policy that knows the limit. `runs` holds the
accuracy of whole runs, one point per run at the mean of its use. Every budget is reported: choosing the best of several
would be a choice made on the test set.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from statistics import fmean
from typing import Protocol

import numpy as np

from vt_env.stats import Cluster, bootstrap_ci95_each, clustered_by_video, mean


class Costed(Protocol):
    """Outcome and cost of one attempt, such as `EpisodeFacts`."""

    @property
    def task_id(self) -> str:
        """Task."""
        ...

    @property
    def video(self) -> str:
        """Handle of its video."""
        ...

    @property
    def is_scored(self) -> bool:
        """Whether it counts in accuracy."""
        ...

    @property
    def is_right(self) -> bool:
        """Whether the answer is correct."""
        ...

    @property
    def frames(self) -> int:
        """Frames shown."""
        ...

    @property
    def calls(self) -> int:
        """Tool calls."""
        ...

    @property
    def image_tokens(self) -> int | None:
        """Image tokens that the episode was charged."""
        ...

    @property
    def tokens_used(self) -> int | None:
        """Tokens read plus written."""
        ...

    @property
    def viewed_s(self) -> float:
        """Distinct seconds of video viewed."""
        ...


UNITS: Mapping[str, Callable[[Costed], float | None]] = {
    "frames": lambda it: it.frames,
    "calls": lambda it: it.calls,
    "image tokens": lambda it: it.image_tokens,
    "tokens": lambda it: it.tokens_used,
    "seconds of video": lambda it: it.viewed_s,
}
"""Units of a budget and their use by an episode; image tokens are those that a budget charges, tokens are read
plus written."""
STEPS = 24
"""Largest number of points of a curve."""
ENOUGH = 0.95
"""Share of the accuracy without a limit that a sufficient budget reaches."""


@dataclass(frozen=True)
class Point:
    """Accuracy at one budget."""

    spent: float
    """Budget in the unit of the curve: a limit, or the mean use of a run."""
    accuracy: float
    ci95: tuple[float, float]
    n: int
    label: str = ""
    """Name of the run; empty for a point of a limit."""


@dataclass(frozen=True)
class Curve:
    """Accuracy of one policy against budget."""

    policy: str
    within: Sequence[Point]
    """Accuracy under each limit, from the run with the largest mean use."""
    runs: Sequence[Point]
    """Accuracy of each run at its mean use, ascending."""
    enough: float
    """Smallest limit that reaches `ENOUGH` of the accuracy without a limit."""
    area: float | None
    """Mean accuracy of the runs over the logarithm of their use; `None` with a single budget."""


def curves_of(policies: Mapping[str, Mapping[str, Sequence[Costed]]], unit: str, seed: int = 0) -> list[Curve]:
    """Compute the curves of several policies.

    Args:
        policies: Episodes by policy and run name.
        unit: One of `UNITS`.
        seed: Seed of the bootstrap.

    Returns:
        One curve per policy; policies without a measurement in this unit are skipped.
    """
    curves: list[Curve] = []
    for policy, runs in policies.items():
        measured = {name: _measured(facts, UNITS[unit]) for name, facts in runs.items()}
        measured = {name: facts for name, facts in measured.items() if facts}
        if measured:
            curves.append(_curve(policy, measured, UNITS[unit], seed))
    return curves


def area_over_log(points: Sequence[Point]) -> float | None:
    """Return the mean accuracy over the logarithm of the budget, by the trapezoid rule; points at 0 are skipped.

    Returns:
        The mean, or `None` with fewer than two distinct budgets.
    """
    known = [(log2(point.spent), point.accuracy) for point in points if point.spent > 0]
    if len({at for at, _ in known}) < 2:
        return None
    steps = pairwise(known)
    return sum((b - a) * (p + q) / 2 for (a, p), (b, q) in steps) / (known[-1][0] - known[0][0])


def _measured(facts: Sequence[Costed], use: Callable[[Costed], float | None]) -> list[Costed]:
    return [it for it in facts if it.is_scored and use(it) is not None]


def _curve(
    policy: str,
    runs: Mapping[str, Sequence[Costed]],
    use: Callable[[Costed], float | None],
    seed: int,
) -> Curve:
    points = [_whole(name, facts, use, seed) for name, facts in runs.items()]
    points.sort(key=lambda point: (point.spent, point.label))
    within = within_curve(runs[points[-1].label], use, seed)
    best = within[-1].accuracy
    enough = next(point.spent for point in within if point.accuracy >= ENOUGH * best)
    return Curve(policy, within, points, enough, area_over_log(points))


def within_curve(facts: Sequence[Costed], use: Callable[[Costed], float | None], seed: int = 0) -> list[Point]:
    """Compute the accuracy under each limit, from 0 to the largest use of an episode."""
    amounts = sorted({0.0, *(float(use(it) or 0.0) for it in facts)})
    if len(amounts) > STEPS:
        amounts = sorted({float(np.quantile(amounts, at, method="nearest")) for at in np.linspace(0, 1, STEPS)})
    columns = [_clusters(facts, lambda it, limit=limit: it.is_right and (use(it) or 0.0) <= limit) for limit in amounts]
    intervals = bootstrap_ci95_each([[column] for column in columns], np.random.default_rng(seed))
    return [
        Point(limit, mean(column), interval, len(facts))
        for limit, column, interval in zip(amounts, columns, intervals, strict=True)
    ]


def _whole(name: str, facts: Sequence[Costed], use: Callable[[Costed], float | None], seed: int) -> Point:
    column = _clusters(facts, lambda it: it.is_right)
    (interval,) = bootstrap_ci95_each([[column]], np.random.default_rng(seed))
    return Point(fmean(use(it) or 0.0 for it in facts), mean(column), interval, len(facts), name)


def _clusters(facts: Sequence[Costed], value: Callable[[Costed], float]) -> dict[str, Cluster]:
    return clustered_by_video((it.video, it.task_id, float(value(it))) for it in facts)
