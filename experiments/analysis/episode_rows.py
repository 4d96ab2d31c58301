"""Rows of the list of episodes: one for each line of a journal, damaged lines included."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from experiments.analysis.episode_facts import status_of
from experiments.runs.read_run import JOURNAL
from vt_env.benchmarks.scoring.replies import reply_of
from vt_env.benchmarks.scoring.temporal_iou import intervals_of
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import DataError
from vt_env.intervals import length_s
from vt_env.jsonl import is_torn

DAMAGED = "damaged"
"""Status and outcome of a line that is no trajectory of this version."""


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """Values of one journal line that the list shows, filters and sorts."""

    policy: str
    task_id: str
    sample: int
    video: str
    family: str
    split: str
    status: str
    """As `EpisodeFacts.status`, or `"damaged"`."""
    outcome: str
    """`"right"`, `"wrong"`, `"unscored"`, `"invalid"` or `"damaged"`."""
    calls: int
    failed: int
    """Failed actions, malformed ones included."""
    frames: int
    reward: float
    step: int | None
    """Optimiser steps done before the rollout; `None` outside GRPO."""
    tokens: int | None
    """Tokens written by the model; `None` where no backend counted them."""
    tokens_used: int | None
    """Tokens read plus written."""
    image_tokens: int | None
    """Image tokens that the episode was charged; `None` in older records."""
    viewed_s: float
    """Distinct seconds of video viewed."""
    confidence: float | None
    """Confidence of the last reply."""
    wall_s: float | None
    question: str
    answer: str
    problem: str
    """Reason why the episode is invalid or the line is damaged; empty for other rows."""


COLUMNS = tuple(it.name for it in fields(EpisodeRow))


def row_of(line: bytes, rollouts_per_step: int | None = None) -> tuple[EpisodeRow, str]:
    """Read a journal line.

    Args:
        line: The line, with or without its end.
        rollouts_per_step: Rollouts of a step in a journal of GRPO.

    Returns:
        The row, and the text that search looks through: question, options and replies.
    """
    try:
        episode = Trajectory.from_json(line)
    except DataError as reason:
        return _damaged(str(reason)), ""
    return _row(episode, rollouts_per_step), "\n".join(
        [episode.question, *episode.options, *(turn.text for turn in episode.turns)]
    )


def rows_of_journal(run: Path, config: Mapping[str, Any]) -> Iterator[EpisodeRow]:
    """Yield the row of each complete line of a run's journal; none where it has no journal."""
    path = run / JOURNAL
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                if line.strip() and not is_torn(line):
                    yield row_of(line, rollouts_per_step(config))[0]


def rollouts_per_step(config: Mapping[str, Any]) -> int | None:
    """Return the most rollouts of a step of a GRPO run by its `config.json`; `None` for other runs."""
    if config.get("run") != "grpo":
        return None
    prompts, group, most = (config.get(it) for it in ("prompts_per_step", "group_size", "dynamic_sampling"))
    if isinstance(most, int):
        return most
    return prompts * group if isinstance(prompts, int) and isinstance(group, int) else None


def _row(episode: Trajectory, rollouts: int | None) -> EpisodeRow:
    tokens, reply = episode.tokens, reply_of(episode)
    return EpisodeRow(
        policy=episode.policy,
        task_id=episode.task_id,
        sample=episode.sample,
        video=episode.video_handle,
        family=episode.family,
        split=episode.split,
        status=str(status_of(episode, reply)),
        outcome=_outcome(episode),
        calls=max(0, episode.calls),
        failed=len(episode.errors),
        frames=len(episode.frames),
        reward=episode.reward,
        step=episode.sample // rollouts if rollouts else None,
        tokens=tokens.replies if tokens else None,
        tokens_used=tokens.read + tokens.replies if tokens else None,
        image_tokens=episode.image_tokens,
        viewed_s=length_s(intervals_of(reply.viewed)),
        confidence=episode.confidence,
        wall_s=episode.wall_s,
        question=episode.question,
        answer=episode.answer or "",
        problem=episode.invalid or "",
    )


def _outcome(episode: Trajectory) -> str:
    if episode.invalid is not None:
        return "invalid"
    return {True: "right", False: "wrong", None: "unscored"}[episode.correct]


def _damaged(problem: str) -> EpisodeRow:
    nothing = ("", "", 0, "", "", "", DAMAGED, DAMAGED, 0, 0, 0, 0.0)
    return EpisodeRow(*nothing, None, None, None, None, 0.0, None, None, "", "", problem)
