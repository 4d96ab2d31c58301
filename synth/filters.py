"""Decides which trajectories are worth learning from, and keeps the reason for each that is not.

Two modes. `paper` is the rule of VideoThinker (arXiv 2601.15724): keep the right ones, and where every attempt at a
question is wrong keep one at random. `default` is an extension: a question whose attempts are all wrong is dropped, and
so is every attempt with a failed action, without a look, or with the same actions as another.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vt_env.trajectory import Trajectory
from vt_env.types import StopReason

FilterMode = Literal["default", "paper"]


def is_invalid(trajectory: Trajectory) -> bool:
    """Tell whether the data failed during the episode."""
    return trajectory.invalid is not None


def is_unscored(trajectory: Trajectory) -> bool:
    """Tell whether the task has no known answer."""
    return trajectory.correct is None


def is_malformed(trajectory: Trajectory) -> bool:
    """Tell whether any action failed or could not be read."""
    return bool(trajectory.errors)


def ran_out_of_calls(trajectory: Trajectory) -> bool:
    """Tell whether the budget ended without an answer."""
    return trajectory.stop is StopReason.OUT_OF_CALLS


def never_looked(trajectory: Trajectory) -> bool:
    """Tell whether nothing of the video was seen, heard or read; retrieving clips is not looking."""
    return not trajectory.viewed


def is_wrong(trajectory: Trajectory) -> bool:
    """Tell whether the answer was not the right option."""
    return not trajectory.correct


REASONS: Mapping[str, Callable[[Trajectory], bool]] = {
    "invalid": is_invalid,
    "unscored": is_unscored,
    "out_of_calls": ran_out_of_calls,
    "malformed": is_malformed,
    "never_looked": never_looked,
    "wrong_answer": is_wrong,
}
"""Why a trajectory is rejected; the first that holds is kept. `duplicate` comes after these."""

_UNUSABLE = ("invalid", "unscored")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A trajectory that was not kept, and why."""

    trajectory: Trajectory
    reason: str


@dataclass(frozen=True)
class Filtered:
    """What a filter kept and what it did not, each in the order of its input."""

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


def filter_trajectories(trajectories: Iterable[Trajectory], mode: FilterMode, rng: np.random.Generator) -> Filtered:
    """Filter attempts at any number of questions.

    Args:
        trajectories: All attempts.
        mode: `"default"` or `"paper"`.
        rng: Chooses which wrong attempt `paper` keeps.

    Raises:
        KeyError: There is no such mode.
    """
    attempts = list(trajectories)
    reasons = MODES[mode](attempts, rng)
    judged = list(zip(attempts, reasons, strict=True))
    return Filtered(
        tuple(attempt for attempt, reason in judged if reason is None),
        tuple(Rejected(attempt, reason) for attempt, reason in judged if reason is not None),
    )


def _default(attempts: Sequence[Trajectory], rng: np.random.Generator) -> list[str | None]:
    """Judge each attempt by every reason; of equal ones that pass, the first is kept."""
    seen: set[object] = set()
    reasons: list[str | None] = []
    for attempt in attempts:
        reason = _first_reason(attempt, tuple(REASONS))
        actions = _actions(attempt)
        if reason is None and actions in seen:
            reason = "duplicate"
        if reason is None:
            seen.add(actions)
        reasons.append(reason)
    return reasons


def _paper(attempts: Sequence[Trajectory], rng: np.random.Generator) -> list[str | None]:
    """Judge by the answer alone; where no attempt is right, spare one of those that gave an answer.

    The paper forces an answer at its turn limit, so all of its wrong attempts have one.
    """
    reasons = [_first_reason(attempt, (*_UNUSABLE, "wrong_answer")) for attempt in attempts]
    answered: dict[str, list[int]] = defaultdict(list)
    for idx, (attempt, reason) in enumerate(zip(attempts, reasons, strict=True)):
        if reason == "wrong_answer" and attempt.stop is StopReason.ANSWERED:
            answered[attempt.task_id].append(idx)
    right = {attempt.task_id for attempt, reason in zip(attempts, reasons, strict=True) if reason is None}
    for task_id, idxs in answered.items():
        if task_id not in right:
            reasons[idxs[rng.integers(len(idxs))]] = None
    return reasons


MODES: Mapping[FilterMode, Callable[[Sequence[Trajectory], np.random.Generator], list[str | None]]] = {
    "default": _default,
    "paper": _paper,
}


def _first_reason(attempt: Trajectory, reasons: Iterable[str]) -> str | None:
    return next((reason for reason in reasons if REASONS[reason](attempt)), None)


def _actions(attempt: Trajectory) -> tuple[object, ...]:
    """Return what was done, without the thoughts."""
    calls = tuple(repr(turn.call) for turn in attempt.turns)
    return (attempt.task_id, calls, attempt.answer)
