"""Grounding scores: cited and viewed spans against annotated evidence.

The *cited* spans of the last message and the *viewed* spans of the policy are scored alike. A question without a span
has IoU 0. The official code of NExT-GQA and CG-Bench leaves such questions out; its metrics are reported separately,
from the cited spans and strict verdicts. NExT-GQA allows one span, here the first.

LVBench's spans are where the annotator looked, hence weak evidence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vt_env.benchmarks.readers.rows import Row, Span
from vt_env.benchmarks.scoring.replies import Status
from vt_env.benchmarks.scoring.temporal_iou import (
    accuracy_at_iou,
    cgbench_iou,
    nextgqa_scores,
    recall_at_iou,
    set_iop,
    set_iou,
    set_recall,
)
from vt_env.benchmarks.scoring.verdicts import Metric, Verdict
from vt_env.stats import bootstrap_ci95_each, clustered_by_video, mean

OFFICIAL_SOURCES: Mapping[str, str] = {"nextgqa": "nextgqa@eval_ground", "cgbench": "cgbench@intervals"}
"""Name of the official evaluation of spans, by benchmark."""


@dataclass(frozen=True, slots=True)
class SpanScores:
    """Grounding scores of cited or of viewed spans."""

    prediction: str
    """`"cited"` or `"viewed"`."""
    rule: str
    given: int
    """Number of questions with at least one span."""
    numbers: Mapping[str, Metric]
    """Metrics by name."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A question with its predicted spans."""

    row: Row
    spans: tuple[Span, ...]
    correct: bool


def span_scores(
    verdicts: Sequence[Verdict], viewed: Mapping[str, Sequence[Span]], cited: Mapping[str, Sequence[Span]], seed: int
) -> tuple[SpanScores, ...]:
    """Score spans against annotated evidence; empty if the benchmark has no evidence or no reply has a span.

    Args:
        verdicts: Strict verdicts; errors and questions without gold spans are left out.
        viewed: Viewed spans by task id.
        cited: Cited spans by task id.
        seed: Seed of the bootstrap.
    """
    rated = [it for it in verdicts if it.status is not Status.ERROR and valid_spans(it.row.evidence)]
    found: list[SpanScores] = []
    for name, spans in (("cited", cited), ("viewed", viewed)):
        predictions = [Prediction(it.row, tuple(spans.get(it.row.task_id, ())), it.correct) for it in rated]
        if any(it.spans for it in predictions):
            found.append(_set_scores(name, predictions, seed))
            if name == "cited":
                found += _official(predictions)
    return tuple(found)


def valid_spans(spans: Sequence[Span]) -> list[Span]:
    """Return the spans that are neither reversed nor empty nor before the video."""
    return [(start_s, end_s) for start_s, end_s in spans if 0 <= start_s < end_s]


def _set_scores(name: str, predictions: Sequence[Prediction], seed: int) -> SpanScores:
    measures: Mapping[str, Callable[[Prediction], float]] = {
        "mIoU": lambda it: set_iou(it.spans, valid_spans(it.row.evidence)),
        "mIoP": lambda it: set_iop(it.spans, valid_spans(it.row.evidence)),
        "recall": lambda it: set_recall(it.spans, valid_spans(it.row.evidence)),
        "hit": lambda it: float(set_recall(it.spans, valid_spans(it.row.evidence)) > 0),
        "rec@IoU": lambda it: recall_at_iou(set_iou(it.spans, valid_spans(it.row.evidence))),
        "acc@IoU": lambda it: accuracy_at_iou(set_iou(it.spans, valid_spans(it.row.evidence)), it.correct),
    }
    columns = [
        clustered_by_video((it.row.video_id, it.row.task_id, measure(it)) for it in predictions)
        for measure in measures.values()
    ]
    intervals = bootstrap_ci95_each([[column] for column in columns], np.random.default_rng(seed))
    metrics = {
        measure: Metric(len(predictions), 100 * mean(column), (100 * low, 100 * high))
        for measure, column, (low, high) in zip(measures, columns, intervals, strict=True)
    }
    return SpanScores(name, "vt_env@spans", sum(bool(it.spans) for it in predictions), metrics)


def _official(predictions: Sequence[Prediction]) -> list[SpanScores]:
    benchmark = predictions[0].row.benchmark.removesuffix("_mini")
    predicted = [it for it in predictions if it.spans]
    if benchmark == "nextgqa":
        scores = nextgqa_scores(
            {it.row.task_id: valid_spans(it.row.evidence) for it in predicted},
            {it.row.task_id: it.spans[0] for it in predicted},
            {it.row.task_id: it.correct for it in predicted},
        )
        values = {
            "mIoP": scores.mean_iop,
            "IoP@0.3": scores.iop_30,
            "IoP@0.5": scores.iop_50,
            "mIoU": scores.mean_iou,
            "IoU@0.3": scores.iou_30,
            "IoU@0.5": scores.iou_50,
            "Acc@GQA": scores.acc_gqa,
        }
        metrics = {name: Metric(scores.n, value) for name, value in values.items()}
    elif benchmark == "cgbench":
        ious = [(cgbench_iou(it.spans, it.row.evidence), it.correct) for it in predicted]
        kept = [(iou, correct) for iou, correct in ious if iou is not None]
        sums = {
            "mIoU": sum(iou for iou, _ in kept),
            "rec@IoU": sum(recall_at_iou(iou) for iou, _ in kept),
            "acc@IoU": sum(accuracy_at_iou(iou, correct) for iou, correct in kept),
        }
        metrics = {name: Metric(len(kept), 100 * total / len(kept) if kept else None) for name, total in sums.items()}
    else:
        return []
    return [SpanScores("cited", OFFICIAL_SOURCES[benchmark], len(predicted), metrics)]
