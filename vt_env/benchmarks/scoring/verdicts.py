"""Verdicts on replies under a rule, and their aggregation into metrics."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vt_env.benchmarks.readers.parse_fields import letter_at
from vt_env.benchmarks.readers.rows import DefectKind, Row
from vt_env.benchmarks.readers.to_tasks import item_options
from vt_env.benchmarks.scoring.official_rules import Rule
from vt_env.benchmarks.scoring.replies import Ended, Reply, Status, status_without_option, strict_status
from vt_env.stats import Clusters, bootstrap_ci95_each, clustered, mean_of_parts

STRICT = "vt_env@strict"
"""Name of the strict rule in reports."""


K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict of one rule on one reply."""

    row: Row
    status: Status
    letters: tuple[str, ...]
    """Extracted letters, which need not be letters of options."""
    correct: bool
    counted: bool
    """Whether the question is in the denominator."""
    guessed: bool = False
    """Whether the rule drew an option, having extracted no letter."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric in percent, with its interval."""

    n: int
    """Number of questions in the denominator."""
    value: float | None
    """`None` if no question counts."""
    ci95: tuple[float, float] | None = None
    """95 % interval, by cluster bootstrap over videos; `None` if no question counts or all are about one video."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Aggregation of verdicts into one metric.

    Declares the values per video and part, so that one bootstrap serves all aggregates.
    """

    name: str
    parts: Callable[[Sequence[Verdict]], list[Clusters]]
    """Values of each video in each part, as fractions; the metric is the mean over parts of their means."""

    def __call__(self, verdicts: Sequence[Verdict]) -> float | None:
        """Compute the metric in percent; `None` if no question counts."""
        parts = self.parts(verdicts)
        return 100 * mean_of_parts(parts) if parts else None


def metrics_of(cases: Mapping[K, tuple[Aggregate, Sequence[Verdict]]], seed: int) -> dict[K, Metric]:
    """Compute several metrics with intervals over the same bootstrap draws of videos.

    Args:
        cases: Aggregate and verdicts of each metric.
        seed: Seed of the bootstrap.
    """
    parts = {name: aggregate.parts(verdicts) for name, (aggregate, verdicts) in cases.items()}
    found = [name for name in cases if parts[name]]
    intervals = bootstrap_ci95_each([parts[name] for name in found], np.random.default_rng(seed)) if found else []
    ci95 = {name: percent_interval(parts[name], it) for name, it in zip(found, intervals, strict=True)}
    return {
        name: Metric(
            n=sum(verdict.counted for verdict in verdicts),
            value=100 * mean_of_parts(parts[name]) if parts[name] else None,
            ci95=ci95.get(name),
        )
        for name, (_, verdicts) in cases.items()
    }


def percent_interval(parts: Sequence[Clusters], interval: tuple[float, float]) -> tuple[float, float] | None:
    """Return an interval of fractions in percent; `None` over a single video, whose draws are all the same."""
    videos = {video for part in parts for video in part}
    return (100 * interval[0], 100 * interval[1]) if len(videos) > 1 else None


def has_gold(row: Row) -> bool:
    """Return whether a multiple-choice question is scored: its gold is an option, or defective and still counted."""
    return not row.is_open and (row.answer_idx is not None or _has_bad_gold(row))


def strict_verdict(row: Row, reply: Reply) -> Verdict:
    """Apply the strict rule: unparsed replies are wrong; errors and questions without valid gold do not count."""
    idx, status = strict_status(reply, item_options(row))
    letters = () if idx is None else (letter_at(idx),)
    counted = status is not Status.ERROR and row.answer_idx is not None
    return Verdict(row, status, letters, counted and idx == row.answer_idx, counted)


def official_verdict(row: Row, reply: Reply, rule: Rule, seed: int = 0) -> Verdict:
    """Apply an official rule.

    A question whose gold answer is not an option is always wrong, as in the official scripts. An error counts under no
    rule, since the scripts then have no reply to score.

    Args:
        row: The question.
        reply: The reply.
        rule: The official rule.
        seed: Seed of guesses. A guess depends only on the seed and the task, not on the order or other replies.
    """
    letters = () if reply.ended is Ended.ERROR else rule.extract(reply.text)
    options = {letter_at(idx) for idx in range(len(row.options))}
    named = set(letters) & options
    status = Status.OK if len(named) == 1 else Status.AMBIGUOUS if named else status_without_option(reply)
    guessed = not letters and rule.unparsed == "guessed" and status is not Status.ERROR
    taken = (letter_at(guess(row, seed)),) if guessed else letters
    dropped = not letters and rule.unparsed == "dropped"
    gold = None if row.answer_idx is None else letter_at(row.answer_idx)
    return Verdict(
        row=row,
        status=status,
        letters=letters,
        correct=gold in (taken if rule.credits_any else taken[:1]),
        counted=status is not Status.ERROR and not dropped,
        guessed=guessed,
    )


def guess(row: Row, seed: int) -> int:
    """Draw an option index uniformly from `sha256(seed, task id)`, reproducible across processes and orders."""
    digest = hashlib.sha256(f"{seed}:{row.task_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % len(row.options)


def _micro_parts(verdicts: Sequence[Verdict]) -> list[Clusters]:
    counted = [(verdict.row.video_id, float(verdict.correct)) for verdict in verdicts if verdict.counted]
    return [clustered(counted)] if counted else []


micro = Aggregate("micro", _micro_parts)
"""Micro average: the mean over questions."""


def macro(label: str) -> Aggregate:
    """Build the macro average over a label: the unweighted mean of the means of its parts (MLVU's M-Avg)."""

    def parts(verdicts: Sequence[Verdict]) -> list[Clusters]:
        return [part for some in by_part(verdicts, label).values() for part in _micro_parts(some)]

    return Aggregate(f"macro over {label}", parts)


def by_part(verdicts: Iterable[Verdict], label: str) -> Mapping[str, list[Verdict]]:
    """Group verdicts by a label, alphabetically; one with several values is in each group (LVBench's abilities)."""
    parts: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        for part in verdict.row.labels.get(label, ()):
            parts[part].append(verdict)
    return {part: parts[part] for part in sorted(parts)}


def _has_bad_gold(row: Row) -> bool:
    return any(defect.kind is DefectKind.GOLD_NOT_AN_OPTION for defect in row.defects)
