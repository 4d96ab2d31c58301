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

import numpy as np

from experiments.analysis.accuracy import clusters_of
from experiments.analysis.costs import tokens_of
from experiments.analysis.episode_facts import EpisodeFacts
from vt_env.stats import bootstrap_ci95_each, mean


def _tokens(facts: EpisodeFacts) -> float | None:
    read, written = tokens_of(facts, "read"), tokens_of(facts, "replies")
    return None if read is None or written is None else read + written


UNITS: Mapping[str, Callable[[EpisodeFacts], float | None]] = {
    "frames": lambda it: it.frames,
    "calls": lambda it: it.calls,
    "image tokens": lambda it: it.image_tokens,
    "tokens": _tokens,
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


def curves_of(policies: Mapping[str, Mapping[str, Sequence[EpisodeFacts]]], unit: str, seed: int = 0) -> list[Curve]:
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


def _measured(facts: Sequence[EpisodeFacts], use: Callable[[EpisodeFacts], float | None]) -> list[EpisodeFacts]:
    return [it for it in facts if it.is_scored and use(it) is not None]


def _curve(
    policy: str,
    runs: Mapping[str, Sequence[EpisodeFacts]],
    use: Callable[[EpisodeFacts], float | None],
    seed: int,
) -> Curve:
    points = [_whole(name, facts, use, seed) for name, facts in runs.items()]
    points.sort(key=lambda point: (point.spent, point.label))
    within = within_curve(runs[points[-1].label], use, seed)
    best = within[-1].accuracy
    enough = next(point.spent for point in within if point.accuracy >= ENOUGH * best)
    return Curve(policy, within, points, enough, area_over_log(points))


def within_curve(
    facts: Sequence[EpisodeFacts], use: Callable[[EpisodeFacts], float | None], seed: int = 0
) -> list[Point]:
    """Compute the accuracy under each limit, from 0 to the largest use of an episode."""
    amounts = sorted({0.0, *(float(use(it) or 0.0) for it in facts)})
    if len(amounts) > STEPS:
        amounts = sorted({float(np.quantile(amounts, at, method="nearest")) for at in np.linspace(0, 1, STEPS)})
    columns = [
        clusters_of(facts, lambda it, limit=limit: it.is_right and (use(it) or 0.0) <= limit) for limit in amounts
    ]
    intervals = bootstrap_ci95_each([[column] for column in columns], np.random.default_rng(seed))
    return [
        Point(limit, mean(column), interval, len(facts))
        for limit, column, interval in zip(amounts, columns, intervals, strict=True)
    ]


def _whole(name: str, facts: Sequence[EpisodeFacts], use: Callable[[EpisodeFacts], float | None], seed: int) -> Point:
    column = clusters_of(facts, lambda it: it.is_right)
    (interval,) = bootstrap_ci95_each([[column]], np.random.default_rng(seed))
    return Point(fmean(use(it) or 0.0 for it in facts), mean(column), interval, len(facts), name)
