"""Means with confidence intervals, where the sampling unit is the video and not the question.

Several questions share a video, so episodes are not independent. An interval is the percentile cluster bootstrap (Efron
and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3; clusters as in Field and Welsh, JRSS B 69, 2007):
with total `s_v` over `n_v` questions about video `v` out of `V`, draw `V` videos with replacement `RESAMPLES` times,
take `sum s_v / sum n_v` of every draw, and report the 2.5 % and 97.5 % quantiles (linear interpolation). It is known to
be too narrow below some forty videos, and has no width where all episodes agree.

A macro mean, as MLVU's M-Avg, is the mean over parts of such ratios; the same videos are drawn for all parts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, fsum, sqrt
from statistics import NormalDist, fmean, stdev

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
"""Bootstrap draws; the quantiles then move by about 0.001 from seed to seed at 60 videos."""
FEW_CLUSTERS = 40
"""With fewer videos an interval is too narrow; reports say so."""
_T_975 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
"""Quantiles at 0.975 of Student's t with 1 to 10 degrees of freedom."""
_CELLS_AT_ONCE = 4_000_000
"""Draws are made in blocks of about this many counts, so that memory stays near 100 MB however many videos."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Share of one video in a mean: the sum of a value over its episodes, and their number."""

    total: float
    count: float


Clusters = Mapping[str, Cluster]
"""Name of a cluster to what it adds, in alphabetical order."""


def clustered(values: Iterable[tuple[str, float]]) -> dict[str, Cluster]:
    """Sum values by the cluster that each belongs to. The order of the values does not matter."""
    by_cluster: defaultdict[str, list[float]] = defaultdict(list)
    for name, value in values:
        by_cluster[name].append(value)
    # `fsum`, since the plain sum of floats depends on their order.
    return {name: Cluster(fsum(it), len(it)) for name, it in sorted(by_cluster.items())}


def clustered_by_video(values: Iterable[tuple[str, str, float]]) -> dict[str, Cluster]:
    """Sum values (video, task, value) by video; by task where all are of one video, whose interval had no width."""
    rows = list(values)
    is_single = len({video for video, _, _ in rows}) == 1
    return clustered((task if is_single else video, value) for video, task, value in rows)


def mean(clusters: Clusters) -> float:
    """Mean over all episodes, `sum of totals / sum of counts`; at least one cluster is needed."""
    return sum(cluster.total for cluster in clusters.values()) / sum(cluster.count for cluster in clusters.values())


def bootstrap_ci95(clusters: Clusters, rng: np.random.Generator) -> tuple[float, float]:
    """Compute the interval of the mean, by the formula at the top of this module."""
    return bootstrap_ci95_of_parts([clusters], rng)


def mean_of_parts(parts: Sequence[Clusters]) -> float:
    """Mean of the means of the parts, whatever their sizes; at least one part is needed, and none may be empty."""
    return sum(map(mean, parts)) / len(parts)


def bootstrap_ci95_of_parts(parts: Sequence[Clusters], rng: np.random.Generator) -> tuple[float, float]:
    """Compute the interval of `mean_of_parts`: videos are drawn once for all parts.

    A draw that holds no video of a part averages over the others.
    """
    return bootstrap_ci95_each([parts], rng)[0]


def bootstrap_ci95_each(
    statistics: Sequence[Sequence[Clusters]], rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Compute the intervals of several means of parts over the same draws, which is much faster than one by one.

    Videos are drawn from all that occur in any of them. A draw that holds no video of a statistic does not count in its
    interval.

    Args:
        statistics: Each the parts of one mean; a plain mean is a single part. None may be empty.
        rng: Where the draws come from.
    """
    totals_VP, counts_VP = _tables([part for parts in statistics for part in parts])
    ends = np.cumsum([len(parts) for parts in statistics])
    blocks: list[NDArray[np.float64]] = []
    for drawn_RV in _draws(len(totals_VP), rng):
        weights_RV = drawn_RV.astype(np.float64)
        blocks.append(_means_of(weights_RV @ totals_VP, weights_RV @ counts_VP, [0, *ends[:-1]]))
    low_S, high_S = np.nanquantile(np.concatenate(blocks), (0.025, 0.975), axis=0)
    return [(float(low), float(high)) for low, high in zip(low_S, high_S, strict=True)]


def mean_ci95(values: Sequence[float]) -> tuple[float, float]:
    """Compute Student's 95 % interval of the mean of independent values, such as those of training seeds.

    `mean -+ t s / sqrt(n)` with `n - 1` degrees of freedom; wide for few values: with three, `t` is 4.30.

    Raises:
        ValueError: There are fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} values: an interval needs two or more")
    half = _t_975(len(values) - 1) * stdev(values) / sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def bootstrap_ci95_of(
    columns: Sequence[Clusters],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    rng: np.random.Generator,
) -> tuple[float, float] | None:
    """Compute the interval of a function of several means, such as a ratio of two, over the same draws of videos.

    Draws in which the function has no value do not count.

    Args:
        columns: Each the clusters of one mean. None may be empty.
        statistic: Takes the means of every draw, float64[R, columns], to its values, float64[R]; not a number where
            there is none.
        rng: Where the draws come from.

    Returns: the interval, or `None` where no draw has a value.
    """
    totals_VP, counts_VP = _tables(columns)
    blocks: list[NDArray[np.float64]] = []
    for drawn_RV in _draws(len(totals_VP), rng):
        weights_RV = drawn_RV.astype(np.float64)
        means_RP = _means_of(weights_RV @ totals_VP, weights_RV @ counts_VP, range(len(columns)))
        blocks.append(statistic(means_RP))
    values_R = np.concatenate(blocks)
    known_R = values_R[~np.isnan(values_R)]
    if not known_R.size:
        return None
    low, high = np.quantile(known_R, (0.025, 0.975))
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
    term, tail = 1, 0
    for k in range(min(only_a, only_b) + 1):
        tail += term
        term = term * (n - k) // (k + 1)
    return min(1.0, 2 * tail / 2**n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values of several comparisons so that the chance of any false claim stays below each.

    The i-th smallest of m is multiplied by `m - i + 1`, never below a smaller one's, at most 1 (Holm, Scandinavian
    Journal of Statistics 6, 1979).
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for place, idx in enumerate(sorted(range(len(p_values)), key=lambda idx: p_values[idx])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[idx]))
        adjusted[idx] = highest
    return adjusted


def pass_at_k(attempts: int, correct: int, k: int) -> float:
    """Estimate without bias the chance that at least one of `k` attempts is right.

    `1 - C(n - c, k) / C(n, k)` (Chen et al., arXiv 2107.03374, equation 1).

    Raises:
        ValueError: There are fewer than `k` attempts.
    """
    _check_attempts(attempts, k)
    return 1 - comb(attempts - correct, k) / comb(attempts, k)


def pass_all_k(attempts: int, correct: int, k: int) -> float:
    """Estimate without bias the chance that all of `k` attempts are right: `C(c, k) / C(n, k)`.

    Source: pass^k of tau-bench (Yao et al., arXiv 2406.12045, section 3).

    Raises:
        ValueError: There are fewer than `k` attempts.
    """
    _check_attempts(attempts, k)
    return comb(correct, k) / comb(attempts, k)


def _check_attempts(attempts: int, k: int) -> None:
    if not 1 <= k <= attempts:
        raise ValueError(f"k={k} of {attempts} attempts: need 1 <= k <= attempts")


def _t_975(freedom: int) -> float:
    """Return the quantile at 0.975 of Student's t: a table, then the expansion of Abramowitz and Stegun, 26.7.5."""
    if freedom <= len(_T_975):
        return _T_975[freedom - 1]
    z = NormalDist().inv_cdf(0.975)
    terms = (z, (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return sum(term / freedom**power for power, term in enumerate(terms))


def _tables(columns: Sequence[Clusters]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return totals and counts, float64[videos, columns] each, of all videos that occur in any of the columns."""
    names = sorted({name for column in columns for name in column})
    nothing = Cluster(0.0, 0.0)
    cells = [[column.get(name, nothing) for column in columns] for name in names]
    totals_VP = np.array([[cell.total for cell in row] for row in cells], dtype=np.float64)
    counts_VP = np.array([[cell.count for cell in row] for row in cells], dtype=np.float64)
    return totals_VP, counts_VP


def _draws(videos: int, rng: np.random.Generator) -> Iterable[NDArray[np.int64]]:
    """Draw how often each video is taken, `RESAMPLES` times in all, in blocks of rows."""
    block = max(1, _CELLS_AT_ONCE // videos)
    for first in range(0, RESAMPLES, block):
        rows = min(block, RESAMPLES - first)
        drawn_RV = rng.integers(videos, size=(rows, videos), dtype=np.int32)
        drawn_RV += np.arange(0, rows * videos, videos, dtype=np.int32)[:, None]
        yield np.bincount(drawn_RV.ravel(), minlength=rows * videos).reshape(rows, videos)


def _means_of(
    totals_RP: NDArray[np.float64], counts_RP: NDArray[np.float64], starts: Sequence[int]
) -> NDArray[np.float64]:
    """Average the parts of each statistic, whose first columns are `starts`; not a number where a draw has none."""
    is_there_RP = counts_RP > 0
    means_RP = np.divide(totals_RP, counts_RP, out=np.zeros_like(totals_RP), where=is_there_RP)
    sums_RS = np.add.reduceat(means_RP, starts, axis=1)
    found_RS = np.add.reduceat(is_there_RP.astype(np.float64), starts, axis=1)
    return np.divide(sums_RS, found_RS, out=np.full_like(sums_RS, np.nan), where=found_RS > 0)
