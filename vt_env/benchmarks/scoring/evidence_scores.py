"""Grounding scores: cited and viewed spans against annotated evidence.

The *cited* spans of the last message and the *viewed* spans of the policy are scored alike. A question without a span
has IoU 0. The official code of NExT-GQA and CG-Bench leaves such questions out; its metrics are reported separately,
from the cited spans, the gold spans as they are written, and the official verdicts where the benchmark has a rule for
texts. NExT-GQA allows one span, here the first. CG-Bench's acc@IoU counts the questions whose answer was parsed, too
(f8266087, `run/stat_with_key.py`).

LVBench's spans are where the annotator looked, hence weak evidence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vt_env.benchmarks.readers.parse_fields import valid_spans
from vt_env.benchmarks.readers.rows import Row, Span
from vt_env.benchmarks.scoring.replies import Reply, Status
from vt_env.benchmarks.scoring.temporal_iou import (
    accuracy_at_iou,
    cgbench_iou,
    nextgqa_scores,
    recall_at_iou,
    set_iop,
    set_iou,
    set_recall,
)
from vt_env.benchmarks.scoring.verdicts import Metric, Verdict, percent_interval
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
    is_answered: bool = True
    """Whether the official rule counts the answer."""


def span_scores(
    strict: Sequence[Verdict],
    official: Sequence[Verdict],
    replies: Mapping[str, Reply],
    seed: int,
) -> tuple[SpanScores, ...]:
    """Score spans against annotated evidence; empty if the benchmark has no evidence or no reply has a span.

    Args:
        strict: Strict verdicts; errors and questions without gold spans are left out.
        official: Verdicts of the official rule, or the strict ones if there is none, in the same order.
        replies: Replies with their spans, by task id.
        seed: Seed of the bootstrap.
    """
    pairs = [(it, other) for it, other in zip(strict, official, strict=True) if it.status is not Status.ERROR]
    found: list[SpanScores] = []
    for name in ("cited", "viewed"):
        spans = {it.row.task_id: getattr(replies[it.row.task_id], name) for it, _ in pairs}
        rated = [it for it, _ in pairs if valid_spans(it.row.evidence)]
        predictions = [Prediction(it.row, spans[it.row.task_id], it.correct) for it in rated]
        if any(it.spans for it in predictions):
            found.append(_set_scores(name, predictions, seed))
            if name == "cited":
                shown = [(it, spans[it.row.task_id]) for _, it in pairs if spans[it.row.task_id]]
                found += _official([Prediction(it.row, some, it.correct, it.counted) for it, some in shown])
    return tuple(found)


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
        measure: Metric(len(predictions), 100 * mean(column), percent_interval([column], interval))
        for measure, column, interval in zip(measures, columns, intervals, strict=True)
    }
    return SpanScores(name, "vt_env@spans", sum(bool(it.spans) for it in predictions), metrics)


def _official(predictions: Sequence[Prediction]) -> list[SpanScores]:
    """Compute the official metrics of questions with a cited span."""
    benchmark = predictions[0].row.benchmark.removesuffix("_mini")
    if benchmark not in OFFICIAL_SOURCES:
        return []
    metrics = _nextgqa_metrics(predictions) if benchmark == "nextgqa" else _cgbench_metrics(predictions)
    return [SpanScores("cited", OFFICIAL_SOURCES[benchmark], len(predictions), metrics)]


def _nextgqa_metrics(predictions: Sequence[Prediction]) -> dict[str, Metric]:
    scores = nextgqa_scores(
        {it.row.task_id: it.row.evidence for it in predictions if it.row.evidence},
        {it.row.task_id: it.spans[0] for it in predictions},
        {it.row.task_id: it.correct for it in predictions},
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
    return {name: Metric(scores.n, value) for name, value in values.items()}


def _cgbench_metrics(predictions: Sequence[Prediction]) -> dict[str, Metric]:
    ious = [(cgbench_iou(it.spans, it.row.evidence), it) for it in predictions]
    kept = [(iou, it) for iou, it in ious if iou is not None]
    columns = {
        "mIoU": [iou for iou, _ in kept],
        "rec@IoU": [recall_at_iou(iou) for iou, _ in kept],
        "acc@IoU": [accuracy_at_iou(iou, it.correct) for iou, it in kept if it.is_answered],
    }
    return {
        name: Metric(len(column), 100 * sum(column) / len(column) if column else None)
        for name, column in columns.items()
    }
