"""Accuracy against what was spent, from finished episodes. Pure functions over what episodes contribute.

Two readings stand side by side. *Within*: the share of episodes that were right and had spent no more than `x`; those
that went beyond count as wrong. It needs a single run and is what a limit of `x` would leave of it, a lower bound for a
policy that knows the limit. *Runs*: the accuracy of whole runs at the budgets that they were given, one point a run.
Each budget is reported; the best of several is not a result but a choice made on the test set.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from statistics import fmean

import numpy as np

from experiments.analysis.behaviour import tokens_of
from experiments.analysis.episode_facts import EpisodeFacts
from experiments.analysis.metrics import clusters_of
from vt_env.stats import bootstrap_ci95_each, mean


def _tokens(facts: EpisodeFacts) -> float | None:
    read, written = tokens_of(facts, "read"), tokens_of(facts, "replies")
    return None if read is None or written is None else read + written


UNITS: Mapping[str, Callable[[EpisodeFacts], float | None]] = {
    "frames": lambda it: it.frames,
    "calls": lambda it: it.calls,
    "tokens": _tokens,
    "seconds of video": lambda it: it.viewed_s,
}
"""What a budget can be counted in; tokens are those read and written."""
STEPS = 24
"""Points of a curve at most."""
ENOUGH = 0.95
"""Share of the best accuracy that the smallest sufficient budget reaches."""


@dataclass(frozen=True)
class Point:
    """Accuracy at what was spent."""

    spent: float
    accuracy: float
    ci95: tuple[float, float]
    n: int
    label: str = ""
    """The run that it stands for."""


@dataclass(frozen=True)
class Curve:
    """One policy."""

    policy: str
    within: Sequence[Point]
    """Of the run that spent most, which no budget has cut short where the others were not."""
    runs: Sequence[Point]
    """Each of its runs at the mean of what it spent, ascending."""
    enough: float
    """Smallest spending within which `ENOUGH` of the run's accuracy is reached."""
    area: float | None
    """Mean accuracy of the runs over the logarithm of what they spent; `None` with a single budget."""


def curves_of(policies: Mapping[str, Mapping[str, Sequence[EpisodeFacts]]], unit: str, seed: int = 0) -> list[Curve]:
    """Compute the curves of several policies.

    Args:
        policies: Policy to its runs, each a name and its episodes.
        unit: One of `UNITS`.
        seed: Seed of the bootstrap.

    Returns:
        One curve a policy; those whose spending nobody measured are left out.
    """
    curves: list[Curve] = []
    for policy, runs in policies.items():
        measured = {name: _measured(facts, UNITS[unit]) for name, facts in runs.items()}
        measured = {name: facts for name, facts in measured.items() if facts}
        if measured:
            curves.append(_curve(policy, measured, UNITS[unit], seed))
    return curves


def area_over_log(points: Sequence[Point]) -> float | None:
    """Mean accuracy over the logarithm of the spending, by the trapezoid rule; points at 0 are left out.

    Returns: `None` with fewer than two different amounts.
    """
    known = [(log2(point.spent), point.accuracy) for point in points if point.spent > 0]
    if len({at for at, _ in known}) < 2:
        return None
    steps = pairwise(known)
    return sum((b - a) * (p + q) / 2 for (a, p), (b, q) in steps) / (known[-1][0] - known[0][0])


def _measured(facts: Sequence[EpisodeFacts], spent: Callable[[EpisodeFacts], float | None]) -> list[EpisodeFacts]:
    return [it for it in facts if it.is_scored and spent(it) is not None]


def _curve(
    policy: str,
    runs: Mapping[str, Sequence[EpisodeFacts]],
    spent: Callable[[EpisodeFacts], float | None],
    seed: int,
) -> Curve:
    points = [_whole(name, facts, spent, seed) for name, facts in runs.items()]
    points.sort(key=lambda point: (point.spent, point.label))
    within = within_curve(runs[points[-1].label], spent, seed)
    best = within[-1].accuracy
    enough = next(point.spent for point in within if point.accuracy >= ENOUGH * best)
    return Curve(policy, within, points, enough, area_over_log(points))


def within_curve(
    facts: Sequence[EpisodeFacts], spent: Callable[[EpisodeFacts], float | None], seed: int = 0
) -> list[Point]:
    """Compute the share right within each amount, from 0 to the most that an episode spent."""
    amounts = sorted({0.0, *(float(spent(it) or 0.0) for it in facts)})
    if len(amounts) > STEPS:
        amounts = sorted({float(np.quantile(amounts, at, method="nearest")) for at in np.linspace(0, 1, STEPS)})
    columns = [
        clusters_of(facts, lambda it, limit=limit: it.is_right and (spent(it) or 0.0) <= limit) for limit in amounts
    ]
    intervals = bootstrap_ci95_each([[column] for column in columns], np.random.default_rng(seed))
    return [
        Point(limit, mean(column), interval, len(facts))
        for limit, column, interval in zip(amounts, columns, intervals, strict=True)
    ]


def _whole(name: str, facts: Sequence[EpisodeFacts], spent: Callable[[EpisodeFacts], float | None], seed: int) -> Point:
    column = clusters_of(facts, lambda it: it.is_right)
    (interval,) = bootstrap_ci95_each([[column]], np.random.default_rng(seed))
    return Point(fmean(spent(it) or 0.0 for it in facts), mean(column), interval, len(facts), name)
