"""Numbers of a run that plots are computed from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.analysis.episode_facts import UNSCORED, EpisodeFacts
from experiments.analysis.episode_rows import EpisodeRow
from experiments.settings.controls import controls_of, named_as_control
from vt_env.benchmarks.readers.registry import view_of
from vt_env.benchmarks.scoring.replies import Status


@dataclass(frozen=True, slots=True)
class Attempt:
    """Outcome and cost of one attempt at a task."""

    task_id: str
    video: str
    is_scored: bool
    """Whether it counts in accuracy, as `EpisodeFacts.is_scored`."""
    is_right: bool
    calls: int
    failed: int
    """Failed actions."""
    frames: int
    tokens: int | None
    """Tokens written by the model."""
    tokens_used: int | None
    """Tokens read plus written."""
    image_tokens: int | None
    """Image tokens that the episode was charged."""
    viewed_s: float
    """Distinct seconds of video viewed."""
    confidence: float | None
    """Confidence of the last reply, as `Trajectory.confidence`."""
    reward: float | None = None
    step: int | None = None
    """Optimiser steps done before the rollout; `None` outside GRPO."""


@dataclass(frozen=True)
class RunNumbers:
    """A run as plots see it."""

    name: str
    config: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]] = ()
    """Lines of `metrics.jsonl`."""
    attempts: Sequence[Attempt] = field(default=())

    @property
    def kind(self) -> str:
        """Kind of run: `"eval"`, `"grpo"`, ..."""
        return str(self.config.get("run"))

    @property
    def policy(self) -> str:
        """Name of the evaluated policy, with the view where the tasks do not show whole videos, and controls."""
        view = view_of(str(self.config.get("tasks", "")))
        name = f"{self.config.get('agent')} on {view}" if view else str(self.config.get("agent"))
        return named_as_control(name, controls_of(self.config))

    @property
    def task_set(self) -> str:
        """Tasks and split that were played."""
        return f"{self.config.get('tasks')}/{self.config.get('split')}"


def attempt_of_row(row: EpisodeRow) -> Attempt:
    """Convert a row of the list of episodes."""
    return Attempt(
        task_id=row.task_id,
        video=row.video,
        is_scored=row.outcome in ("right", "wrong") and row.status not in (Status.ERROR, UNSCORED),
        is_right=row.outcome == "right",
        calls=row.calls,
        failed=row.failed,
        frames=row.frames,
        tokens=row.tokens,
        tokens_used=row.tokens_used,
        image_tokens=row.image_tokens,
        viewed_s=row.viewed_s,
        confidence=row.confidence,
        reward=row.reward,
        step=row.step,
    )


def attempt_of_facts(facts: EpisodeFacts) -> Attempt:
    """Convert the facts of an evaluated episode."""
    return Attempt(
        task_id=facts.task_id,
        video=facts.video,
        is_scored=facts.is_scored,
        is_right=facts.is_right,
        calls=max(0, facts.calls),
        failed=len(facts.errors),
        frames=facts.frames,
        tokens=None if facts.tokens is None else facts.tokens.replies,
        tokens_used=facts.tokens_used,
        image_tokens=facts.image_tokens,
        viewed_s=facts.viewed_s,
        confidence=facts.confidence,
    )
