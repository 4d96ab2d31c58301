"""Accuracy of policies with confidence intervals, paired differences and pass@k.

Pure functions over scored episodes. Intervals resample videos (bootstrap of `vt_env.stats`). With a single video its
questions are resampled instead, and the interval holds for that video only. Tool use and costs are in
`experiments.analysis.tool_use` and `experiments.analysis.costs`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from experiments.analysis.costs import Costs, costs_of
from experiments.analysis.episode_facts import EpisodeFacts, facts_of
from experiments.analysis.tool_use import ToolUse, tool_use_of
from experiments.settings.prices import Prices
from vt_env.benchmarks.scoring.replies import Status
from vt_env.episode.trajectory import Trajectory
from vt_env.stats import (
    Cluster,
    bootstrap_ci95,
    bootstrap_ci95_each,
    clustered_by_video,
    mcnemar_p,
    mean,
    pass_all_k,
    pass_at_k,
)

DURATIONS: tuple[tuple[float, str], ...] = (
    (120.0, "under 2 min"),
    (900.0, "2 to 15 min"),
    (1800.0, "15 to 30 min"),
    (3600.0, "30 to 60 min"),
    (float("inf"), "over 60 min"),
)
"""Groups of video lengths: exclusive upper bound in seconds, and name in tables."""
MANY_ATTEMPTS = 2
"""Smallest number of attempts per task for which pass@k is reported."""


@dataclass(frozen=True)
class FamilyRow:
    """Accuracy on one kind of question, or on videos of one length."""

    n: int
    accuracy: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class PassRow:
    """pass@k and pass^k of several attempts at each task."""

    k: int
    n: int
    """Tasks with at least `k` scored attempts."""
    any_right: float
    """pass@k: unbiased estimate of the probability that at least one of `k` attempts is right."""
    any_ci95: tuple[float, float]
    all_right: float
    """pass^k: unbiased estimate of the probability that all `k` attempts are right."""
    all_ci95: tuple[float, float]
    chance: float
    """pass@k of guessing; .68 on four options at k = 4."""


@dataclass(frozen=True)
class PolicyRow:
    """One row of the result table, over scored episodes; `status` counts all."""

    policy: str
    n: int
    """Scored episodes."""
    videos: int
    """Distinct videos of the scored episodes."""
    accuracy: float | None
    """Share answered correctly; a missing answer is wrong. `None` without a scored episode."""
    ci95: tuple[float, float] | None
    calls: float
    """Tool calls per episode, failed and malformed ones included."""
    frames: float
    """Frames shown per episode, those of the question included."""
    invalid_rate: float
    """Share of failed or malformed actions of an episode, averaged over episodes."""
    no_answer_rate: float
    """Share of episodes without an answer that names an option."""
    status: Mapping[str, int]
    """All episodes by `vt_env.benchmarks.scoring.replies.Status`; `unscored` where the task has no answer key."""
    families: Mapping[str, FamilyRow]
    durations: Mapping[str, FamilyRow]
    """Accuracy by length of the video, see `DURATIONS`."""
    behaviour: ToolUse | None
    """`None` without a scored episode."""
    spending: Costs | None
    attempts: Sequence[PassRow]
    """Empty where each task was attempted once."""


@dataclass(frozen=True)
class PairRow:
    """Paired difference of two policies on the same tasks."""

    a: str
    b: str
    n: int
    """Pairs of scored episodes."""
    difference: float
    """Accuracy of `a` minus accuracy of `b`."""
    ci95: tuple[float, float]
    """Cluster bootstrap of the difference; both policies share the draws of videos."""
    p_mcnemar: float
    """Exact two-sided McNemar test; unlike the interval it assumes independent episodes."""


def policy_row(policy: str, episodes: Iterable[Trajectory], seed: int = 0) -> PolicyRow:
    """Summarise the trajectories of one policy, see `summarise`."""
    return summarise(policy, [facts_of(episode) for episode in episodes], seed)


def summarise(policy: str, facts: Sequence[EpisodeFacts], seed: int = 0, prices: Prices | None = None) -> PolicyRow:
    """Summarise the episodes of one policy, in any order.

    Args:
        policy: Name in the table.
        facts: Episodes, unscored ones included.
        seed: Seed of the bootstrap.
        prices: Prices of tokens and captions; by default the cost that the server reported.
    """
    # Sorted, since a sum of floats depends on the order.
    facts = sorted(facts, key=lambda it: (it.task_id, it.sample))
    scored = [it for it in facts if it.is_scored]
    families, durations = _by_family(scored), _by_duration(scored)
    rows = _accuracies([scored, *families.values(), *durations.values()], seed) if scored else []
    overall = rows[0] if rows else None
    of_families, of_durations = rows[1 : 1 + len(families)], rows[1 + len(families) :]
    return PolicyRow(
        policy=policy,
        n=len(scored),
        videos=len({it.video for it in scored}),
        accuracy=overall.accuracy if overall else None,
        ci95=overall.ci95 if overall else None,
        calls=_average(scored, lambda it: it.calls),
        frames=_average(scored, lambda it: it.frames),
        invalid_rate=_average(scored, lambda it: len(it.errors) / max(1, it.actions)),
        no_answer_rate=_average(scored, lambda it: it.status != Status.OK),
        status=dict(sorted(Counter(str(it.status) for it in facts).items())),
        families=dict(zip(families, of_families, strict=True)),
        durations=dict(zip(durations, of_durations, strict=True)),
        behaviour=tool_use_of(scored, seed) if scored else None,
        spending=costs_of(scored, prices) if scored else None,
        attempts=pass_rows(scored, seed),
    )


def compare(
    a: Sequence[EpisodeFacts], b: Sequence[EpisodeFacts], names: tuple[str, str], seed: int = 0
) -> PairRow | None:
    """Compare two policies on the tasks scored in both; `None` without such a task.

    Args:
        a: Episodes of the first policy.
        b: Episodes of the second policy.
        names: Names of both in the table.
        seed: Seed of the bootstrap.
    """
    pairs = paired(a, b)
    if not pairs:
        return None
    clusters = clusters_of_pairs(pairs)
    return PairRow(
        a=names[0],
        b=names[1],
        n=len(pairs),
        difference=mean(clusters),
        ci95=bootstrap_ci95(clusters, np.random.default_rng(seed)),
        p_mcnemar=paired_p(pairs),
    )


def paired_p(pairs: Sequence[tuple[EpisodeFacts, EpisodeFacts]]) -> float:
    """Return the p value of McNemar's exact test over tasks.

    Attempts at one task are not independent: a task counts once, for the policy with more right attempts.
    """
    more: Counter[str] = Counter()
    for one, other in pairs:
        more[one.task_id] += one.is_right - other.is_right
    return mcnemar_p(sum(it > 0 for it in more.values()), sum(it < 0 for it in more.values()))


def paired(a: Sequence[EpisodeFacts], b: Sequence[EpisodeFacts]) -> list[tuple[EpisodeFacts, EpisodeFacts]]:
    """Match the scored episodes of two policies by task id, task content and attempt, ordered by id."""
    ones, others = ({(it.task_id, it.sample, it.digest): it for it in facts if it.is_scored} for facts in (a, b))
    return [(ones[key], others[key]) for key in sorted(ones.keys() & others.keys())]


def clusters_of_pairs(pairs: Sequence[tuple[EpisodeFacts, EpisodeFacts]]) -> dict[str, Cluster]:
    """Sum the differences in correctness per video."""
    difference = {id(one): float(one.is_right - other.is_right) for one, other in pairs}
    return clusters_of([one for one, _ in pairs], lambda it: difference[id(it)])


def clusters_of(facts: Iterable[EpisodeFacts], value: Callable[[EpisodeFacts], float]) -> dict[str, Cluster]:
    """Sum a value over the episodes of each video; with a single video, over those of each task."""
    return clustered_by_video((it.video, it.task_id, float(value(it))) for it in facts)


def pass_rows(scored: Sequence[EpisodeFacts], seed: int = 0) -> list[PassRow]:
    """Estimate pass@k and pass^k for k = 1, 2, 4, ... up to the most frequent number of attempts per task."""
    tasks: defaultdict[str, list[EpisodeFacts]] = defaultdict(list)
    for it in scored:
        tasks[it.task_id].append(it)
    counts = Counter(len(it) for it in tasks.values())
    usual = max(counts, key=lambda count: (counts[count], count), default=0)
    if usual < MANY_ATTEMPTS:
        return []
    ks = sorted({2**power for power in range(usual.bit_length()) if 2**power <= usual} | {usual})
    return [_pass_row([it for it in tasks.values() if len(it) >= k], k, seed) for k in ks]


def duration_band(duration_s: float) -> str:
    """Return the name of the length group in `DURATIONS`."""
    return next(name for below_s, name in DURATIONS if duration_s < below_s)


def _pass_row(tasks: Sequence[Sequence[EpisodeFacts]], k: int, seed: int) -> PassRow:
    def estimate(of: Callable[[int, int, int], float]) -> tuple[float, tuple[float, float]]:
        values = {it[0].task_id: of(len(it), sum(one.is_right for one in it), k) for it in tasks}
        clusters = clusters_of([it[0] for it in tasks], lambda one: values[one.task_id])
        return mean(clusters), bootstrap_ci95(clusters, np.random.default_rng(seed))

    (any_right, any_ci95), (all_right, all_ci95) = estimate(pass_at_k), estimate(pass_all_k)
    chance = fmean(1 - (1 - 1 / it[0].options) ** k for it in tasks)
    return PassRow(k, len(tasks), any_right, any_ci95, all_right, all_ci95, chance)


def _by_family(scored: Sequence[EpisodeFacts]) -> dict[str, list[EpisodeFacts]]:
    groups: defaultdict[str, list[EpisodeFacts]] = defaultdict(list)
    for it in scored:
        groups[it.family].append(it)
    return {name: groups[name] for name in sorted(groups)}


def _by_duration(scored: Sequence[EpisodeFacts]) -> dict[str, list[EpisodeFacts]]:
    groups: defaultdict[str, list[EpisodeFacts]] = defaultdict(list)
    for it in scored:
        if it.duration_s is not None:
            groups[duration_band(it.duration_s)].append(it)
    return {name: groups[name] for _, name in DURATIONS if name in groups}


def _accuracies(groups: Sequence[Sequence[EpisodeFacts]], seed: int) -> list[FamilyRow]:
    """Return the accuracy of each non-empty group, with intervals from shared draws of videos."""
    columns = [clusters_of(facts, lambda it: it.is_right) for facts in groups]
    # A group with a single video resamples its questions, so it cannot share the draws of videos.
    alone = [len({it.video for it in facts}) == 1 for facts in groups]
    shared = [[column] for column, is_alone in zip(columns, alone, strict=True) if not is_alone]
    drawn = iter(bootstrap_ci95_each(shared, np.random.default_rng(seed)) if shared else [])
    return [
        FamilyRow(
            len(facts),
            mean(column),
            bootstrap_ci95(column, np.random.default_rng(seed)) if is_alone else next(drawn),
        )
        for facts, column, is_alone in zip(groups, columns, alone, strict=True)
    ]


def _average(facts: Sequence[EpisodeFacts], value: Callable[[EpisodeFacts], float]) -> float:
    return fmean(value(it) for it in facts) if facts else 0.0
