"""Open answers, graded by a judge. A judge that fails leaves an answer unscored; it never makes it wrong.

Another judge is another metric, so its name stands in the metric's name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vt_env.benchmarks.replies import Ended, Reply
from vt_env.benchmarks.rows import Row

MAX_FAILURES = 0.005
"""Share of failed grades from which a number is not reported."""
_GRADE = re.compile(r"(?<![\d.-])(\d+)(?![\d.]*\d)")


class JudgeFailed(Exception):
    """A judge gave no grade: no connection, a cut reply, or one that cannot be read."""


class Judge(Protocol):
    """Grades one open answer."""

    @property
    def name(self) -> str:
        """Model and prompt, as they should stand in the name of the metric."""
        ...

    def grade(self, row: Row, answer: str) -> float:
        """Return a grade from 0 to 1.

        Args:
            row: The question with its gold text and rubric.
            answer: What was answered.

        Raises:
            JudgeFailed: There is no grade.
        """
        ...


@dataclass(frozen=True, slots=True)
class OpenScore:
    """Grades of open answers."""

    name: str
    """With the judge in it."""
    value: float | None
    """Mean grade in percent over graded answers; `None` where too many grades failed, or nothing was graded."""
    graded: Mapping[str, float]
    """Task to grade."""
    failed: Mapping[str, str]
    """Task to why it is unscored."""


def judge_open(rows: Sequence[Row], replies: Mapping[str, Reply], judge: Judge, metric: str = "judged") -> OpenScore:
    """Grade the open questions that have a reply. An empty reply is graded 0 without asking; an error is unscored.

    Args:
        rows: Questions; choices are skipped.
        replies: Task id to reply.
        judge: Who grades.
        metric: Name of the number, without the judge.
    """
    graded: dict[str, float] = {}
    failed: dict[str, str] = {}
    for row in rows:
        reply = replies.get(row.task_id)
        if not row.is_open or reply is None:
            continue
        if reply.ended is Ended.ERROR:
            failed[row.task_id] = "the episode failed"
        elif not reply.text.strip():
            graded[row.task_id] = 0.0
        else:
            try:
                graded[row.task_id] = _checked(judge.grade(row, reply.text))
            except JudgeFailed as reason:
                failed[row.task_id] = str(reason)
    asked = len(graded) + len(failed)
    usable = bool(graded) and len(failed) <= MAX_FAILURES * asked
    value = 100 * sum(graded.values()) / len(graded) if usable else None
    return OpenScore(f"{metric}[judge={judge.name}]", value, graded, failed)


def read_grade(reply: str, low: int, high: int) -> float:
    """Read the only whole number of a judge's reply as a grade, scaled to 0 to 1.

    Raises:
        JudgeFailed: There is none, or several that differ, or it is out of range.
    """
    grades = {int(found) for found in _GRADE.findall(reply)}
    if len(grades) != 1 or not low <= min(grades) <= high:
        raise JudgeFailed(f"{reply[:60]!r}: need one whole number from {low} to {high}")
    return (min(grades) - low) / (high - low)


def _checked(grade: float) -> float:
    if not 0 <= grade <= 1:
        raise JudgeFailed(f"grade {grade}: need 0 to 1")
    return grade
