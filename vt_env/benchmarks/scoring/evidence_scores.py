"""Whether a run looked at, and cites, the part of the video that its answers rest on: scores over annotated spans.

Two kinds of prediction are scored alike: what the last message *cites*, and what the policy *viewed*. A question
without a prediction has IoU 0 here. The official code of NExT-GQA and CG-Bench leaves such questions out; its numbers
stand beside ours under its own name, computed from what is cited, with letters read strictly: NExT-GQA takes one span,
here the first.

LVBench's spans are where the annotator looked, so they are weak evidence.
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
from vt_env.benchmarks.scoring.verdicts import Number, Verdict
from vt_env.stats import bootstrap_ci95_each, clustered_by_video, mean

OFFICIAL_SOURCES: Mapping[str, str] = {"nextgqa": "nextgqa@eval_ground", "cgbench": "cgbench@intervals"}
"""Benchmark to the name of its official evaluation of spans."""


@dataclass(frozen=True, slots=True)
class Grounded:
    """Scores of one kind of prediction."""

    prediction: str
    """`"cited"` or `"viewed"`."""
    rule: str
    given: int
    """Questions with at least one span."""
    numbers: Mapping[str, Number]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One question with what was predicted for it."""

    row: Row
    spans: tuple[Span, ...]
    correct: bool


def grounded_scores(
    verdicts: Sequence[Verdict], viewed: Mapping[str, Sequence[Span]], cited: Mapping[str, Sequence[Span]], seed: int
) -> tuple[Grounded, ...]:
    """Score spans against those of the annotations; nothing where the benchmark has none or no reply has any.

    Args:
        verdicts: Strict verdicts; errors and questions without gold spans are left out.
        viewed: Task id to what was viewed.
        cited: Task id to what was cited.
        seed: Seed of the bootstrap.
    """
    asked = [verdict for verdict in verdicts if verdict.status is not Status.ERROR and usable(verdict.row.evidence)]
    found: list[Grounded] = []
    for name, spans in (("cited", cited), ("viewed", viewed)):
        given = [Prediction(it.row, tuple(spans.get(it.row.task_id, ())), it.correct) for it in asked]
        if any(it.spans for it in given):
            found.append(_ours(name, given, seed))
            if name == "cited":
                found += _official(given)
    return tuple(found)


def usable(spans: Sequence[Span]) -> list[Span]:
    """Return the annotated spans that are no defects."""
    return [(start_s, end_s) for start_s, end_s in spans if 0 <= start_s < end_s]


def _ours(name: str, given: Sequence[Prediction], seed: int) -> Grounded:
    measures: Mapping[str, Callable[[Prediction], float]] = {
        "mIoU": lambda it: set_iou(it.spans, usable(it.row.evidence)),
        "mIoP": lambda it: set_iop(it.spans, usable(it.row.evidence)),
        "recall": lambda it: set_recall(it.spans, usable(it.row.evidence)),
        "hit": lambda it: float(set_recall(it.spans, usable(it.row.evidence)) > 0),
        "rec@IoU": lambda it: recall_at_iou(set_iou(it.spans, usable(it.row.evidence))),
        "acc@IoU": lambda it: accuracy_at_iou(set_iou(it.spans, usable(it.row.evidence)), it.correct),
    }
    columns = [
        clustered_by_video((it.row.video_id, it.row.task_id, measure(it)) for it in given)
        for measure in measures.values()
    ]
    intervals = bootstrap_ci95_each([[column] for column in columns], np.random.default_rng(seed))
    numbers = {
        measure: Number(len(given), 100 * mean(column), (100 * low, 100 * high))
        for measure, column, (low, high) in zip(measures, columns, intervals, strict=True)
    }
    return Grounded(name, "vt_env@spans", sum(bool(it.spans) for it in given), numbers)


def _official(given: Sequence[Prediction]) -> list[Grounded]:
    benchmark = given[0].row.benchmark.removesuffix("_mini")
    told = [it for it in given if it.spans]
    if benchmark == "nextgqa":
        scores = nextgqa_scores(
            {it.row.task_id: usable(it.row.evidence) for it in told},
            {it.row.task_id: it.spans[0] for it in told},
            {it.row.task_id: it.correct for it in told},
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
        numbers = {name: Number(scores.n, value) for name, value in values.items()}
    elif benchmark == "cgbench":
        ious = [(cgbench_iou(it.spans, it.row.evidence), it.correct) for it in told]
        kept = [(iou, correct) for iou, correct in ious if iou is not None]
        sums = {
            "mIoU": sum(iou for iou, _ in kept),
            "rec@IoU": sum(recall_at_iou(iou) for iou, _ in kept),
            "acc@IoU": sum(accuracy_at_iou(iou, correct) for iou, correct in kept),
        }
        numbers = {name: Number(len(kept), 100 * total / len(kept) if kept else None) for name, total in sums.items()}
    else:
        return []
    return [Grounded("cited", OFFICIAL_SOURCES[benchmark], len(told), numbers)]
