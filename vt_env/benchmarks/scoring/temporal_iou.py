"""Temporal IoU and related metrics of predicted spans, as pure functions of seconds.

Spans are plain pairs, since predictions may be reversed, empty or overlapping, and every source treats those
differently.

| function | source |
|---|---|
| `span_iou`, `span_iop` | NExT-GQA (doc-doc/NExT-GQA 63772e02, `code/TempGQA/eval_ground.py`, `get_tIoU`) |
| `nextgqa_scores` | the same file, `eval_ground`: maximum over gold spans; Acc@GQA needs IoP >= 0.5 |
| `set_iou`, `set_iop`, `set_recall` | our definition for sets of spans, used for cited and viewed evidence |
| `cgbench_iou` | CG-Bench (f8266087, `run/utils.py`, `calculate_intervals_iou`), bug for bug |
| `recall_at_iou`, `accuracy_at_iou`, `clue_recovery` | CG-Bench paper and code: mean over five thresholds; CRR |

IoP rewards a single point inside the gold span, so report it together with IoU.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vt_env.benchmarks.readers.rows import Span
from vt_env.intervals import iou, length_s, overlap_s
from vt_env.types import Interval

CGBENCH_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
NEXTGQA_IOP = 0.5
"""Minimum IoP of a grounded answer in Acc@GQA."""


def intervals_of(spans: Sequence[Span]) -> list[Interval]:
    """Return spans as intervals; those that are reversed, empty or not finite are left out, negative times cut."""
    cut = ((max(0.0, start_s), end_s) for start_s, end_s in spans)
    return [Interval(start_s, end_s) for start_s, end_s in cut if start_s < end_s < math.inf]


def set_iou(predicted: Sequence[Span], gold: Sequence[Span]) -> float:
    """Return the intersection over union of two sets of spans, 0 to 1; 0 if both are empty."""
    return iou(intervals_of(predicted), intervals_of(gold))


def set_iop(predicted: Sequence[Span], gold: Sequence[Span]) -> float:
    """Return the fraction of the prediction inside the gold spans (precision), 0 to 1; 0 for an empty prediction."""
    return _covered(intervals_of(predicted), intervals_of(gold))


def set_recall(predicted: Sequence[Span], gold: Sequence[Span]) -> float:
    """Return the fraction of the gold spans that the prediction covers, 0 to 1; 0 for empty gold."""
    return _covered(intervals_of(gold), intervals_of(predicted))


def _covered(whole: Sequence[Interval], by: Sequence[Interval]) -> float:
    length = length_s(whole)
    return min(1.0, overlap_s(whole, by) / length) if length > 0 else 0.0


def span_iou(gold: Span, predicted: Span) -> float:
    """Return NExT-GQA's intersection over the hull of two spans: negative for disjoint spans, 0 for a point."""
    if predicted[0] == predicted[1]:
        return 0.0
    hull = max(gold[1], predicted[1]) - min(gold[0], predicted[0])
    return _shared(gold, predicted) / hull if hull > 0 else 0.0


def span_iop(gold: Span, predicted: Span) -> float:
    """Return NExT-GQA's intersection over prediction: 1 for a point inside the gold span, 0 for a reversed span."""
    if predicted[0] == predicted[1]:
        return float(gold[0] <= predicted[0] <= gold[1])
    length = predicted[1] - predicted[0]
    return _shared(gold, predicted) / length if length > 0 else 0.0


def _shared(gold: Span, predicted: Span) -> float:
    return min(gold[1], predicted[1]) - max(gold[0], predicted[0])


@dataclass(frozen=True, slots=True)
class GroundingScores:
    """NExT-GQA's metrics, in percent."""

    n: int
    """Questions with gold spans and a prediction, the official denominator."""
    mean_iop: float
    iop_30: float
    """Fraction with IoP >= 0.3."""
    iop_50: float
    mean_iou: float
    iou_30: float
    iou_50: float
    acc_gqa: float | None
    """Fraction answered correctly with IoP >= 0.5; `None` without answers."""


def nextgqa_scores(
    gold: Mapping[str, Sequence[Span]], predicted: Mapping[str, Span], correct: Mapping[str, bool] | None = None
) -> GroundingScores:
    """Compute the metrics of NExT-GQA's `eval_ground`: the maximum over gold spans, for IoU and IoP separately.

    Args:
        gold: Gold spans by question.
        predicted: One span by question. Questions without one are left out of all metrics, as in the official script.
        correct: Whether each answer is right; a missing entry counts as wrong, where the official script would fail.

    Raises:
        ValueError: No question has gold spans and a prediction.
    """
    shared = sorted(gold.keys() & predicted.keys())
    if not shared:
        raise ValueError("no question has gold spans and a prediction; check that the ids are of this benchmark")
    ious = [max(0.0, *(span_iou(span, predicted[key]) for span in gold[key])) for key in shared]
    iops = [max(0.0, *(span_iop(span, predicted[key]) for span in gold[key])) for key in shared]
    grounded = [] if correct is None else [key for key, iop in zip(shared, iops, strict=True) if iop >= NEXTGQA_IOP]
    return GroundingScores(
        n=len(shared),
        mean_iop=_mean_percent(iops),
        iop_30=_share_percent(iops, 0.3),
        iop_50=_share_percent(iops, 0.5),
        mean_iou=_mean_percent(ious),
        iou_30=_share_percent(ious, 0.3),
        iou_50=_share_percent(ious, 0.5),
        acc_gqa=None if correct is None else 100 * sum(correct.get(key, False) for key in grounded) / len(shared),
    )


def recall_at_iou(iou: float, *, inclusive: bool = True) -> float:
    """Return the fraction of `CGBENCH_THRESHOLDS` that an IoU reaches.

    Official scoring uses `>=`; VLMEvalKit uses `>` (`inclusive=False`).
    """
    reached = (iou >= at if inclusive else iou > at for at in CGBENCH_THRESHOLDS)
    return sum(reached) / len(CGBENCH_THRESHOLDS)


def accuracy_at_iou(iou: float, correct: bool) -> float:
    """Return `recall_at_iou` for a correct answer, else 0."""
    return recall_at_iou(iou) if correct else 0.0


def clue_recovery(long_accuracy: float, clue_accuracy: float) -> float | None:
    """Return CRR, `min(long, clue) / clue`: the part of clue-acc that whole videos recover; `None` if clue-acc is 0."""
    return min(long_accuracy, clue_accuracy) / clue_accuracy if clue_accuracy > 0 else None


def cgbench_iou(predicted: Sequence[Span], gold: Sequence[Span], *, from_json: bool = True) -> float | None:
    """Return CG-Bench's IoU of sets of spans, bug for bug: reversed spans have negative lengths, so it may exceed 1.

    Args:
        predicted: Predicted spans, including reversed ones.
        gold: Clue intervals. The official code modifies them in place; this function does not.
        from_json: Whether the spans came from a JSON block. The official code parses others into tuples, which it
            cannot merge, and then drops a question with overlapping spans.

    Returns: the IoU, or `None` if the official code would drop the question.
    """
    if not from_json and _overlap(predicted):
        return None
    one, other = _merge_unchecked(predicted), _merge_unchecked(gold)
    shared = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in one for b in other)
    either = sum(end - start for start, end in (*one, *other)) - shared
    return shared / either if either > 0 else 0.0


def _merge_unchecked(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for start_s, end_s in sorted(spans, key=lambda span: span[0]):
        if merged and start_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end_s))
        else:
            merged.append((start_s, end_s))
    return merged


def _overlap(spans: Sequence[Span]) -> bool:
    return len(_merge_unchecked(spans)) < len(spans)


def _mean_percent(values: Sequence[float]) -> float:
    return 100 * sum(values) / len(values)


def _share_percent(values: Sequence[float], at: float) -> float:
    return 100 * sum(value >= at for value in values) / len(values)
