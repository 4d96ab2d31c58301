"""From replies to verdicts: one question, one rule, and whether it counts and is right. And means of verdicts."""

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
    """What a reply is worth under one rule."""

    row: Row
    status: Status
    letters: tuple[str, ...]
    """What the rule found, whether or not options have these letters."""
    correct: bool
    counted: bool
    """Whether it is in the denominator."""
    guessed: bool = False
    """Whether the rule drew an option since it found none."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number in percent."""

    n: int
    """Questions that count in it."""
    value: float | None
    """`None` where nothing counts."""
    ci95: tuple[float, float] | None = None
    """Cluster bootstrap over videos; `None` where nothing counts."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A way from verdicts to one number: which values are summed by video, and in which parts.

    One bootstrap serves all. Called with verdicts it gives the number in percent, or `None` where nothing counts.
    """

    name: str
    parts: Callable[[Sequence[Verdict]], list[Clusters]]
    """What each video adds to each part, as fractions; the number is the mean over parts of their means."""

    def __call__(self, verdicts: Sequence[Verdict]) -> float | None:
        """Compute the number."""
        parts = self.parts(verdicts)
        return 100 * mean_of_parts(parts) if parts else None


def numbers_of(cases: Mapping[K, tuple[Aggregate, Sequence[Verdict]]], seed: int) -> dict[K, Number]:
    """Compute several numbers with intervals over the same draws of videos.

    Args:
        cases: Name to how it is computed, and of which verdicts.
        seed: Seed of the bootstrap.
    """
    parts = {name: aggregate.parts(verdicts) for name, (aggregate, verdicts) in cases.items()}
    found = [name for name in cases if parts[name]]
    intervals = bootstrap_ci95_each([parts[name] for name in found], np.random.default_rng(seed)) if found else []
    ci95 = {name: (100 * low, 100 * high) for name, (low, high) in zip(found, intervals, strict=True)}
    return {
        name: Number(
            n=sum(verdict.counted for verdict in verdicts),
            value=100 * mean_of_parts(parts[name]) if parts[name] else None,
            ci95=ci95.get(name),
        )
        for name, (_, verdicts) in cases.items()
    }


def has_gold(row: Row) -> bool:
    """Tell whether a choice has a right option, or its authors believe so and count it."""
    return not row.is_open and (row.answer_idx is not None or _has_bad_gold(row))


def strict_verdict(row: Row, reply: Reply) -> Verdict:
    """Judge strictly: what cannot be read is wrong; only errors and questions without usable gold do not count."""
    idx, status = strict_status(reply, item_options(row))
    letters = () if idx is None else (letter_at(idx),)
    counted = status is not Status.ERROR and row.answer_idx is not None
    return Verdict(row, status, letters, counted and idx == row.answer_idx, counted)


def official_verdict(row: Row, reply: Reply, rule: Rule, seed: int = 0) -> Verdict:
    """Judge as the official script does.

    Gold that is no option is wrong whatever is answered, as there. An error counts under no rule, since no script has a
    reply to score then.

    Args:
        row: The question.
        reply: The reply.
        rule: The official rule.
        seed: Seed of guesses; each depends on it and on the task only, so that order and other failures do not matter.
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
    """Draw an option of a question: uniform, from `sha256(seed, task id)`, the same in every process and order."""
    digest = hashlib.sha256(f"{seed}:{row.task_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % len(row.options)


def _micro_parts(verdicts: Sequence[Verdict]) -> list[Clusters]:
    counted = [(verdict.row.video_id, float(verdict.correct)) for verdict in verdicts if verdict.counted]
    return [clustered(counted)] if counted else []


micro = Aggregate("micro", _micro_parts)
"""Mean over questions."""


def macro(label: str) -> Aggregate:
    """Make the mean over the parts of a division of each part's mean, whatever their sizes (MLVU's M-Avg)."""

    def parts(verdicts: Sequence[Verdict]) -> list[Clusters]:
        return [part for some in by_part(verdicts, label).values() for part in _micro_parts(some)]

    return Aggregate(f"macro over {label}", parts)


def by_part(verdicts: Iterable[Verdict], label: str) -> Mapping[str, list[Verdict]]:
    """Divide verdicts by a label, alphabetically; one with several parts is in each (LVBench's abilities)."""
    parts: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        for part in verdict.row.labels.get(label, ()):
            parts[part].append(verdict)
    return {part: parts[part] for part in sorted(parts)}


def _has_bad_gold(row: Row) -> bool:
    return any(defect.kind is DefectKind.GOLD_NOT_AN_OPTION for defect in row.defects)
