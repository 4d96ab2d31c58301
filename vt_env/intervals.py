"""Set arithmetic on intervals of time: union, length, overlap, intersection over union.

Intervals of one set may overlap, and each second counts once. The official codes of benchmarks that count otherwise are
in `vt_env.benchmarks.scoring.temporal_iou`.
"""

from collections.abc import Iterable

from vt_env.types import Interval


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the union as disjoint intervals in time order; intervals that touch become one."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start_s <= merged[-1].end_s:
            merged[-1] = Interval(merged[-1].start_s, max(merged[-1].end_s, interval.end_s))
        else:
            merged.append(interval)
    return merged


def length_s(intervals: Iterable[Interval]) -> float:
    """Seconds in the union."""
    return sum(it.duration_s for it in union(intervals))


def overlap_s(one: Iterable[Interval], other: Iterable[Interval]) -> float:
    """Seconds in both unions."""
    ours, theirs = union(one), union(other)
    return sum(it.overlap_s(that) for it in ours for that in theirs)


def iou(one: Iterable[Interval], other: Iterable[Interval]) -> float:
    """Intersection over union, 0 to 1; 0 where both sets are empty."""
    ours, theirs = union(one), union(other)
    shared_s = overlap_s(ours, theirs)
    either_s = length_s(ours) + length_s(theirs) - shared_s
    return min(1.0, shared_s / either_s) if either_s > 0 else 0.0
