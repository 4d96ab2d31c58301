"""Paired comparison of two runs on the same tasks: outcomes, differences and costs.

Pure functions over the scored episodes of both runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from experiments.analysis.accuracy import clusters_of, clusters_of_pairs, paired, paired_p
from experiments.analysis.costs import tokens_of
from experiments.analysis.episode_facts import EpisodeFacts
from vt_env.errors import ConfigError
from vt_env.stats import bootstrap_ci95, bootstrap_ci95_each, mean

Pairs = Sequence[tuple[EpisodeFacts, EpisodeFacts]]

UNITS: Mapping[str, Callable[[EpisodeFacts], float | None]] = {
    "calls": lambda it: it.calls,
    "frames": lambda it: it.frames,
    "tokens read": lambda it: tokens_of(it, "read"),
    "tokens written": lambda it: tokens_of(it, "replies"),
    "seconds": lambda it: it.latency_s,
}
"""Cost of an episode by unit; `None` where it was not measured."""
OUTCOMES = ("both right", "only a", "only b", "both wrong")


@dataclass(frozen=True)
class Difference:
    """Mean of `a` minus `b` over pairs of episodes, with its 95 % cluster bootstrap interval."""

    n: int
    mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class GroupPair:
    """Outcomes of the pairs of episodes of one question family."""

    n: int
    both_right: int
    only_a: tuple[str, ...]
    """Tasks answered correctly by the first run alone; repeated attempts carry their number."""
    only_b: tuple[str, ...]
    both_wrong: int
    accuracy_a: float
    accuracy_b: float
    difference: Difference
    p_mcnemar: float
    """Exact two-sided McNemar test; unlike the interval it assumes independent questions."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of run `a` with run `b` on the tasks scored in both."""

    a: str
    b: str
    videos: int
    overall: GroupPair
    families: Mapping[str, GroupPair]
    spending: Mapping[str, Difference]
    """Mean difference in cost per episode, by unit."""
    spending_by_outcome: Mapping[str, Mapping[str, float]]
    """Mean difference in cost per episode, by outcome and unit."""
    left_out_a: int
    """Scored episodes of `a` without a partner in `b`; not compared."""
    left_out_b: int


def compare_runs(
    a: Sequence[EpisodeFacts], b: Sequence[EpisodeFacts], names: tuple[str, str], seed: int = 0
) -> Comparison:
    """Compare two runs pair by pair.

    Args:
        a: Episodes of the first run.
        b: Episodes of the second run.
        names: Names of both runs.
        seed: Seed of the bootstrap.

    Raises:
        ConfigError: One task id stands for different questions, or no task was scored in both.
    """
    refuse_other_questions(a, b)
    pairs = paired(a, b)
    if not pairs:
        raise ConfigError(f"{names[0]} and {names[1]}: no task was scored in both; evaluate them on the same tasks")
    families = sorted({one.family for one, _ in pairs})
    return Comparison(
        a=names[0],
        b=names[1],
        videos=len({one.video for one, _ in pairs}),
        overall=_group(pairs, seed),
        families={name: _group([pair for pair in pairs if pair[0].family == name], seed) for name in families},
        spending=_spending(pairs, seed),
        spending_by_outcome=_by_outcome(pairs),
        left_out_a=sum(it.is_scored for it in a) - len(pairs),
        left_out_b=sum(it.is_scored for it in b) - len(pairs),
    )


def refuse_other_questions(a: Sequence[EpisodeFacts], b: Sequence[EpisodeFacts]) -> None:
    """Reject two runs in which one task id stands for different questions.

    Raises:
        ConfigError: There is such an id.
    """
    digests = {it.task_id: it.digest for it in a}
    other = sorted({it.task_id for it in b if digests.get(it.task_id, it.digest) != it.digest})
    if other:
        raise ConfigError(
            f"{len(other)} tasks, first {other[0]!r}, have another question or other options in the other run: compare "
            "runs on the same annotations"
        )


def _group(pairs: Pairs, seed: int) -> GroupPair:
    single = {one.task_id for one, _ in pairs if one.sample}
    outcomes: dict[str, list[str]] = {name: [] for name in OUTCOMES}
    for one, other in pairs:
        named = f"{one.task_id}#{one.sample}" if one.task_id in single else one.task_id
        outcomes[_outcome(one, other)].append(named)
    clusters = clusters_of_pairs(pairs)
    interval = bootstrap_ci95(clusters, np.random.default_rng(seed))
    return GroupPair(
        n=len(pairs),
        both_right=len(outcomes["both right"]),
        only_a=tuple(outcomes["only a"]),
        only_b=tuple(outcomes["only b"]),
        both_wrong=len(outcomes["both wrong"]),
        accuracy_a=fmean(one.is_right for one, _ in pairs),
        accuracy_b=fmean(other.is_right for _, other in pairs),
        difference=Difference(len(pairs), mean(clusters), interval),
        p_mcnemar=paired_p(pairs),
    )


def _outcome(one: EpisodeFacts, other: EpisodeFacts) -> str:
    if one.is_right == other.is_right:
        return "both right" if one.is_right else "both wrong"
    return "only a" if one.is_right else "only b"


def _spending(pairs: Pairs, seed: int) -> dict[str, Difference]:
    known = {unit: _differences(pairs, cost) for unit, cost in UNITS.items()}
    columns = {
        unit: clusters_of([one for one, _ in pairs if id(one) in found], lambda it, found=found: found[id(it)])
        for unit, found in known.items()
        if found
    }
    intervals = bootstrap_ci95_each([[column] for column in columns.values()], np.random.default_rng(seed))
    return {
        unit: Difference(len(known[unit]), mean(column), interval)
        for (unit, column), interval in zip(columns.items(), intervals, strict=True)
    }


def _by_outcome(pairs: Pairs) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for name in OUTCOMES:
        some = [pair for pair in pairs if _outcome(*pair) == name]
        found = {unit: list(_differences(some, cost).values()) for unit, cost in UNITS.items()}
        table[name] = {unit: fmean(values) for unit, values in found.items() if values}
    return table


def _differences(pairs: Pairs, cost: Callable[[EpisodeFacts], float | None]) -> dict[int, float]:
    """Return the differences of the pairs measured on both sides, keyed by `id` of the first episode."""
    found: dict[int, float] = {}
    for one, other in pairs:
        before, after = cost(other), cost(one)
        if before is not None and after is not None:
            found[id(one)] = float(after - before)
    return found
