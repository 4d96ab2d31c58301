"""Sets of intervals are measured as sets of seconds, whatever overlaps in them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.intervals import iou, length_s, overlap_s, union
from vt_env.types import Interval

INTERVALS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda it: Interval(float(it[0]), float(sum(it)))), max_size=6
)


def seconds(intervals: list[Interval]) -> set[int]:
    return {second for it in intervals for second in range(int(it.start_s), int(it.end_s))}


@given(INTERVALS)
def test_a_union_is_disjoint_in_order_and_its_own_union(intervals: list[Interval]):
    merged = union(intervals)
    assert all(before.end_s < after.start_s for before, after in pairwise(merged))
    assert union(merged) == merged and seconds(merged) == seconds(intervals)


@given(INTERVALS, INTERVALS)
def test_sets_of_intervals_are_measured_as_sets_of_seconds(one: list[Interval], other: list[Interval]):
    a, b = seconds(one), seconds(other)
    assert (length_s(one), overlap_s(one, other)) == (len(a), len(a & b))
    assert iou(one, other) == iou(other, one) == pytest.approx(len(a & b) / len(a | b) if a | b else 0)
