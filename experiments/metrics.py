"""What a set of episodes says about a policy, with its uncertainty. Pure functions over trajectories.

Several questions share a video, so episodes are not independent: the unit of every interval is the video.

An interval is the percentile cluster bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section
13.3; clusters as in Field and Welsh, JRSS B 69, 2007): with `s_v` correct of `n_v` episodes on video `v` out of `V`,
draw `V` videos with replacement `RESAMPLES` times, take `sum s_v / sum n_v` of every draw, and report the 2.5 % and
97.5 % quantiles (linear interpolation). It is known to be too narrow below some twenty videos, and has no width where
all episodes agree. With a single video its questions are drawn instead, and the interval speaks of that video only.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from vt_env.scoring import read_answer
from vt_env.trajectory import Trajectory

RESAMPLES = 4000
"""Bootstrap draws; the quantiles then move by about 0.002 from seed to seed at 60 videos."""


@dataclass(frozen=True)
class Cluster:
    """What one video adds to a mean: the sum of a value over its episodes, and their number."""

    total: float
    count: int


@dataclass(frozen=True)
class FamilyRow:
    """Accuracy on one kind of question."""

    n: int
    accuracy: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class PolicyRow:
    """One line of the result table. Everything but `status` is over scored episodes."""

    policy: str
    n: int
    """Scored episodes."""
    videos: int
    """Different videos among them."""
    accuracy: float | None
    """Share answered correctly; no answer is wrong. `None` if nothing was scored."""
    ci95: tuple[float, float] | None
    calls: float
    """Tool calls an episode, failed and malformed ones included."""
    frames: float
    """Frames shown an episode, those beside the question included."""
    invalid_rate: float
    """Share of an episode's actions that failed or were malformed, averaged over episodes."""
    no_answer_rate: float
    """Share of episodes that ended without an answer that names an option."""
    status: Mapping[str, int]
    """`ok`: scored. `error`: the data failed. `unscored`: the task has no answer key."""
    families: Mapping[str, FamilyRow]


@dataclass(frozen=True)
class PairRow:
    """Two policies on the same tasks."""

    a: str
    b: str
    n: int
    """Episodes that both were scored on."""
    difference: float
    """Accuracy of `a` minus accuracy of `b`."""
    ci95: tuple[float, float]
    """Cluster bootstrap of the difference, videos drawn once for both policies."""
    p_mcnemar: float
    """Exact two-sided McNemar test; it takes episodes as independent, the interval does not."""


def policy_row(policy: str, trajectories: Sequence[Trajectory], seed: int = 0) -> PolicyRow:
    """Summarise the episodes of one policy. Their order does not matter.

    Args:
        policy: The name in the table.
        trajectories: Its episodes, unscored ones included.
        seed: Seed of the bootstrap.
    """
    scored = [episode for episode in trajectories if status_of(episode) == "ok"]
    clusters = clusters_of(scored, _is_correct)
    by_family: defaultdict[str, list[Trajectory]] = defaultdict(list)
    for episode in scored:
        by_family[episode.family].append(episode)
    return PolicyRow(
        policy=policy,
        n=len(scored),
        videos=len({episode.video_handle for episode in scored}),
        accuracy=mean(clusters) if scored else None,
        ci95=bootstrap_ci95(clusters, np.random.default_rng(seed)) if scored else None,
        calls=_average(scored, lambda episode: episode.calls),
        frames=_average(scored, lambda episode: len(episode.frames)),
        invalid_rate=_average(scored, lambda episode: len(episode.errors) / len(episode.turns)),
        no_answer_rate=_average(scored, lambda episode: not has_answer(episode)),
        status=dict(sorted(Counter(map(status_of, trajectories)).items())),
        families={name: _family_row(episodes, seed) for name, episodes in sorted(by_family.items())},
    )


def pair_row(a: Sequence[Trajectory], b: Sequence[Trajectory], names: tuple[str, str], seed: int = 0) -> PairRow | None:
    """Compare two policies on the tasks that both were scored on; `None` if there is no such task.

    Args:
        a: Episodes of the first policy.
        b: Episodes of the second policy.
        names: Their names in the table.
        seed: Seed of the bootstrap.
    """
    right_a, right_b = _by_attempt(a), _by_attempt(b)
    shared = sorted(right_a.keys() & right_b.keys())
    if not shared:
        return None
    pairs = [(right_a[key], right_b[key]) for key in shared]
    outcomes = Counter((_is_correct(one), _is_correct(other)) for one, other in pairs)
    difference = {id(one): _is_correct(one) - _is_correct(other) for one, other in pairs}
    clusters = clusters_of([one for one, _ in pairs], lambda episode: difference[id(episode)])
    return PairRow(
        a=names[0],
        b=names[1],
        n=len(shared),
        difference=mean(clusters),
        ci95=bootstrap_ci95(clusters, np.random.default_rng(seed)),
        p_mcnemar=mcnemar_p(outcomes[True, False], outcomes[False, True]),
    )


def clusters_of(episodes: Iterable[Trajectory], value: Callable[[Trajectory], float]) -> dict[str, Cluster]:
    """Sum a value over the episodes of every video; over those of every task if there is a single video.

    Returns: Video handle (or task id) to its sum and count, in alphabetical order.
    """
    episodes = list(episodes)
    single_video = len({episode.video_handle for episode in episodes}) == 1
    values: defaultdict[str, list[float]] = defaultdict(list)
    for episode in episodes:
        values[episode.task_id if single_video else episode.video_handle].append(value(episode))
    return {name: Cluster(float(np.sum(values[name])), len(values[name])) for name in sorted(values)}


def mean(clusters: Mapping[str, Cluster]) -> float:
    """Mean over all episodes, `sum of totals / sum of counts`; at least one cluster is needed."""
    return sum(cluster.total for cluster in clusters.values()) / sum(cluster.count for cluster in clusters.values())


def bootstrap_ci95(clusters: Mapping[str, Cluster], rng: np.random.Generator) -> tuple[float, float]:
    """Compute the percentile cluster bootstrap interval of the mean, by the formula at the top of this module."""
    totals: NDArray[np.float64] = np.array([cluster.total for cluster in clusters.values()], dtype=np.float64)
    counts: NDArray[np.float64] = np.array([cluster.count for cluster in clusters.values()], dtype=np.float64)
    drawn_RV = rng.multinomial(len(totals), np.full(len(totals), 1 / len(totals)), size=RESAMPLES)
    low, high = np.quantile((drawn_RV @ totals) / (drawn_RV @ counts), (0.025, 0.975))
    return float(low), float(high)


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Compute the exact two-sided McNemar p value.

    Under the null each discordant pair favours either policy with probability 1/2:
    `p = min(1, 2 P(X <= min(only_a, only_b)))` with `X ~ Binomial(only_a + only_b, 1/2)` (McNemar, Psychometrika 12,
    1947; exact form as in Fagerland et al., BMC Med. Res. Methodol. 13:91, 2013).

    Args:
        only_a: Tasks that only the first policy answered correctly.
        only_b: Tasks that only the second policy answered correctly.
    """
    n = only_a + only_b
    tail = sum(comb(n, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, float(2 * tail / 2**n))


def status_of(episode: Trajectory) -> str:
    """Name what an episode counts as; see `PolicyRow.status`."""
    if episode.invalid is not None:
        return "error"
    return "unscored" if episode.correct is None else "ok"


def has_answer(episode: Trajectory) -> bool:
    """Tell whether an episode ended with an answer that names one option."""
    return episode.answer is not None and read_answer(episode.answer, episode.options).option_idx is not None


def _family_row(episodes: Sequence[Trajectory], seed: int) -> FamilyRow:
    clusters = clusters_of(episodes, _is_correct)
    return FamilyRow(len(episodes), mean(clusters), bootstrap_ci95(clusters, np.random.default_rng(seed)))


def _is_correct(episode: Trajectory) -> bool:
    return bool(episode.correct)


def _average(episodes: Sequence[Trajectory], value: Callable[[Trajectory], float]) -> float:
    return float(np.mean([value(episode) for episode in episodes])) if episodes else 0.0


def _by_attempt(episodes: Sequence[Trajectory]) -> dict[tuple[str, int], Trajectory]:
    return {(episode.task_id, episode.sample): episode for episode in episodes if status_of(episode) == "ok"}
