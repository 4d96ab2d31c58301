"""Temporal IoU: laws of our functions, and the official ones bug for bug."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.benchmarks.scoring.temporal_iou import (
    accuracy_at_iou,
    cgbench_iou,
    clue_recovery,
    intervals_of,
    nextgqa_scores,
    recall_at_iou,
    set_iop,
    set_iou,
    set_recall,
    span_iop,
    span_iou,
)
from vt_env.types import Interval

Spans = list[tuple[float, float]]
TIMES = st.integers(0, 60).map(float)
SPAN = st.tuples(TIMES, TIMES)
SPANS = st.lists(SPAN, max_size=6)


def seconds(spans: Spans) -> set[int]:
    return {second for start, end in spans for second in range(int(start), int(end))}


@given(SPANS, SPANS)
def test_sets_of_spans_are_measured_as_sets_of_seconds(
    one: list[tuple[float, float]], other: list[tuple[float, float]]
):
    a, b = seconds(one), seconds(other)
    assert set_iou(one, other) == pytest.approx(len(a & b) / len(a | b) if a | b else 0)
    assert set_iop(one, other) == pytest.approx(len(a & b) / len(a) if a else 0)
    assert set_recall(one, other) == pytest.approx(len(a & b) / len(b) if b else 0)


@given(SPANS, SPANS)
def test_iou_is_symmetric_and_one_for_itself(one: Spans, other: Spans):
    assert set_iou(one, other) == set_iou(other, one)
    assert set_iou(one, one) == float(bool(intervals_of(one)))


def test_negative_times_are_cut_and_what_is_no_interval_is_left_out():
    spans = [(5.0, 8.0), (-3.0, 2.0), (4.0, 1.0), (3.0, 3.0), (1.0, float("inf"))]
    assert intervals_of(spans) == [Interval(5.0, 8.0), Interval(0.0, 2.0)]


def test_a_point_inside_the_gold_has_all_iop_and_no_iou():
    assert (span_iop((10, 20), (15, 15)), span_iou((10, 20), (15, 15))) == (1.0, 0.0)
    assert span_iop((10, 20), (25, 25)) == 0.0
    assert set_iop([(15, 15)], [(10, 20)]) == 0.0


def test_nextgqa_takes_the_best_gold_span_and_acc_gqa_needs_both():
    gold = {"a": [(0.0, 10.0), (50.0, 60.0)], "b": [(0.0, 10.0)], "c": [(0.0, 10.0)], "unasked": [(0.0, 1.0)]}
    predicted = {"a": (50.0, 60.0), "b": (5.0, 15.0), "c": (20.0, 30.0)}
    scores = nextgqa_scores(gold, predicted, {"a": False, "b": True, "c": True})
    assert scores.n == 3
    assert scores.mean_iou == pytest.approx(100 * (1 + 1 / 3 + 0) / 3)
    assert scores.mean_iop == pytest.approx(100 * (1 + 0.5 + 0) / 3)
    assert (scores.iou_30, scores.iou_50) == (pytest.approx(200 / 3), pytest.approx(100 / 3))
    assert (scores.iop_30, scores.iop_50) == (pytest.approx(200 / 3), pytest.approx(200 / 3))
    assert scores.acc_gqa == pytest.approx(100 / 3)
    assert nextgqa_scores(gold, predicted).acc_gqa is None
    with pytest.raises(ValueError, match="check that the ids are of this benchmark"):
        nextgqa_scores(gold, {"other": (0.0, 1.0)})


def test_thresholds_are_reached_officially_and_passed_in_vlmevalkit():
    assert recall_at_iou(0.3) == pytest.approx(3 / 5)
    assert recall_at_iou(0.3, inclusive=False) == pytest.approx(2 / 5)
    assert (accuracy_at_iou(0.3, True), accuracy_at_iou(0.3, False)) == (pytest.approx(3 / 5), 0)
    assert (clue_recovery(40, 50), clue_recovery(60, 50), clue_recovery(0, 0)) == (0.8, 1.0, None)


def test_cgbench_lets_reversed_spans_pass_one_and_loses_overlapping_numbers():
    assert cgbench_iou([(10.0, 20.0)], [(10.0, 20.0)]) == 1.0
    assert cgbench_iou([(0.0, 5.0), (3.0, 10.0)], [(0.0, 10.0)]) == 1.0
    assert cgbench_iou([(0.0, 5.0), (3.0, 10.0)], [(0.0, 10.0)], from_json=False) is None
    reversed_and_right = cgbench_iou([(0.0, 10.0), (40.0, 35.0)], [(0.0, 10.0)])
    assert reversed_and_right is not None and reversed_and_right > 1
    assert set_iou([(0.0, 10.0), (40.0, 35.0)], [(0.0, 10.0)]) == 1.0


@given(st.lists(SPAN.filter(lambda span: span[0] < span[1]), max_size=5), st.lists(SPAN.filter(lambda s: s[0] < s[1])))
def test_without_reversed_spans_cgbench_agrees(one: Spans, other: Spans):
    assert cgbench_iou(one, other) == pytest.approx(set_iou(one, other))
