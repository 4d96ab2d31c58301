"""Filters that keep trajectories to train on, with a reason for each that is rejected.

Two modes. `paper` is the rule of VideoThinker (arXiv 2601.15724): keep the right ones, and where every attempt at a
question is wrong keep one at random. `default` is an extension: a question whose attempts are all wrong is dropped, and
so is every attempt for which `synth.rejection_reasons` finds something, or that does nearly the same as another.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from synth.near_duplicates import outline
from synth.rejection_reasons import REASONS, Evidence
from vt_env.episode.trajectory import Trajectory
from vt_env.types import StopReason

FilterMode = Literal["default", "paper"]

ALL_WRONG = "all_wrong_question"
"""Reason of a wrong attempt at a question that no attempt got right."""
NEAR_DUPLICATE = "near_duplicate"
WRONG = "wrong_answer"
TAGGED = "tagged"
"""Reason of an attempt that a reader's tag leaves out."""

_UNUSABLE = ("invalid", "unscored")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A trajectory that was not kept, and why."""

    trajectory: Trajectory
    reason: str
    """`wrong_answer`, `all_wrong_question`, `near_duplicate`, `tagged` or a name in
    `synth.rejection_reasons.REASONS`."""
    detail: str = ""
    """One line about what was found."""


@dataclass(frozen=True)
class Filtered:
    """Kept and rejected trajectories, each in the order of the input."""

    kept: tuple[Trajectory, ...]
    rejected: tuple[Rejected, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """Number of rejected trajectories by reason, the most frequent first."""
        return dict(Counter(it.reason for it in self.rejected).most_common())

    @property
    def dropped_questions(self) -> int:
        """Number of questions of which no attempt was kept."""
        return len({it.trajectory.task_id for it in self.rejected} - {it.task_id for it in self.kept})


@dataclass(frozen=True, slots=True)
class _Finding:
    reason: str
    detail: str


def filter_trajectories(
    trajectories: Iterable[Trajectory],
    mode: FilterMode,
    rng: np.random.Generator,
    evidence: Mapping[str, Evidence] | None = None,
    left_out: Callable[[str, int], str | None] = lambda task_id, sample: None,
) -> Filtered:
    """Filter attempts at any number of questions.

    Args:
        trajectories: All attempts.
        mode: `"default"` or `"paper"`.
        rng: Chooses which wrong attempt `paper` keeps.
        evidence: Where the answer to each task is shown, by its id; what is not known is not judged.
        left_out: Takes task id and sample; returns why an attempt is left out before the filter sees it, or `None`.

    Raises:
        KeyError: There is no such mode.
    """
    attempts = list(trajectories)
    known = evidence or {}
    tagged = [left_out(it.task_id, it.sample) for it in attempts]
    others = [attempt for attempt, detail in zip(attempts, tagged, strict=True) if detail is None]
    found = iter(MODES[mode](others, [known.get(it.task_id, ()) for it in others], rng))
    findings = [next(found) if detail is None else _Finding(TAGGED, detail) for detail in tagged]
    judged = list(zip(attempts, findings, strict=True))
    return Filtered(
        tuple(attempt for attempt, finding in judged if finding is None),
        tuple(Rejected(attempt, it.reason, it.detail) for attempt, it in judged if it is not None),
    )


def _default(
    attempts: Sequence[Trajectory], evidence: Sequence[Evidence], rng: np.random.Generator
) -> list[_Finding | None]:
    """Judge each attempt by every reason; of near-duplicates that pass, the first is kept."""
    solved = {it.task_id for it in attempts if it.correct}
    first: dict[object, Trajectory] = {}
    findings: list[_Finding | None] = []
    for attempt, known in zip(attempts, evidence, strict=True):
        finding = _first(attempt, known, tuple(REASONS))
        if finding is not None and finding.reason == WRONG and attempt.task_id not in solved:
            finding = _Finding(ALL_WRONG, finding.detail)
        done = outline(attempt)
        if finding is None and done in first:
            finding = _Finding(NEAR_DUPLICATE, f"does what sample {first[done].sample} does")
        if finding is None:
            first[done] = attempt
        findings.append(finding)
    return findings


def _paper(
    attempts: Sequence[Trajectory], evidence: Sequence[Evidence], rng: np.random.Generator
) -> list[_Finding | None]:
    """Judge by the answer alone; where no attempt is right, spare one of those that gave an answer.

    The paper forces an answer at its turn limit, so all of its wrong attempts have one.
    """
    findings = [_first(it, known, (*_UNUSABLE, WRONG)) for it, known in zip(attempts, evidence, strict=True)]
    right = {attempt.task_id for attempt, finding in zip(attempts, findings, strict=True) if finding is None}
    answered: dict[str, list[int]] = defaultdict(list)
    for idx, (attempt, finding) in enumerate(zip(attempts, findings, strict=True)):
        if finding is None or finding.reason != WRONG or attempt.task_id in right:
            continue
        findings[idx] = _Finding(ALL_WRONG, finding.detail)
        if attempt.stop is StopReason.ANSWERED:
            answered[attempt.task_id].append(idx)
    for idxs in answered.values():
        findings[idxs[rng.integers(len(idxs))]] = None
    return findings


Judge = Callable[[Sequence[Trajectory], Sequence[Evidence], np.random.Generator], list[_Finding | None]]
MODES: Mapping[FilterMode, Judge] = {"default": _default, "paper": _paper}


def _first(attempt: Trajectory, evidence: Evidence, reasons: Iterable[str]) -> _Finding | None:
    for reason in reasons:
        detail = REASONS[reason](attempt, evidence)
        if detail is not None:
            return _Finding(reason, detail)
    return None
