"""The confidence gate at other thresholds, computed offline from one gated run; and calibration of confidences.

A run whose threshold lies above 1 accepts no direct answer, so its journal holds for every question the direct answer
with its confidence and the outcome of the tools. Every threshold's accuracy and cost follow exactly: accepting a direct
answer changes nothing about another question.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vt_env.actions.parse import parse_action
from vt_env.actions.read_answer import is_correct
from vt_env.episode.trajectory import Trajectory
from vt_env.stats import bootstrap_ci95, clustered_by_video, mean
from vt_env.tasks.task_set import Task
from vt_env.types import Answer

TAUS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 2.0)
"""Thresholds of the table; the last one turns every direct answer down."""
BINS = 10


@dataclass(frozen=True)
class Direct:
    """One question with its direct answer, and what the whole episode came to."""

    video: str
    confidence: float | None
    is_right: bool
    """Whether the direct answer is."""
    frames: int
    """Frames that the direct answer was given from."""
    calls: int
    tokens: int
    """Tokens read and written up to the direct answer."""
    final: Trajectory


@dataclass(frozen=True)
class TauRow:
    """The gate at one threshold."""

    tau: float
    accepted: float
    """Share of the questions that were answered directly."""
    accuracy: float
    ci95: tuple[float, float]
    accepted_accuracy: float | None
    """Accuracy of the accepted answers alone; `None` where none is accepted."""
    frames: float
    """Frames an episode."""
    calls: float
    tokens: float
    """Tokens read and written an episode."""


@dataclass(frozen=True)
class Bin:
    """Answers of like confidence."""

    low: float
    high: float
    n: int
    confidence: float
    """Mean confidence."""
    accuracy: float


def direct_answers(episodes: Sequence[Trajectory], tasks: Mapping[str, Task]) -> list[Direct]:
    """Collect and score the direct answers of a gated run; questions without a key or gone are left out."""
    found: list[Direct] = []
    for episode in episodes:
        task = tasks.get(episode.task_id)
        if episode.gate is None or task is None or task.gold is None:
            continue
        action = parse_action(episode.gate.text)
        before = next(number for number, turn in enumerate(episode.turns) if turn.gate is not None)
        looked = sum(len(turn.frames) for turn in episode.turns[:before])
        reply = episode.gate.reply
        tokens = 0 if reply is None else (reply.prompt_tokens or 0) + (reply.completion_tokens or 0)
        found.append(
            Direct(
                video=episode.video_handle,
                confidence=episode.gate.confidence,
                is_right=isinstance(action, Answer) and is_correct(action.text, task.item, task.gold),
                frames=len(episode.prompt_frames) + looked,
                calls=before,
                tokens=tokens,
                final=episode,
            )
        )
    return found


def confidences(episodes: Sequence[Trajectory], direct: Sequence[Direct]) -> list[tuple[float, bool]]:
    """List confidence and verdict of each direct answer, or of each final one where there was no gate."""
    if direct:
        return [(it.confidence, it.is_right) for it in direct if it.confidence is not None]
    scored = [it for it in episodes if it.correct is not None and it.confidence is not None]
    return [(it.confidence or 0.0, bool(it.correct)) for it in scored]


def sweep(direct: Sequence[Direct], seed: int, taus: Sequence[float] = TAUS) -> list[TauRow]:
    """Compute what the gate would have come to at each threshold.

    Args:
        direct: Direct answers that were all turned down.
        taus: Thresholds.
        seed: Seed of the bootstrap.
    """
    return [_row(direct, tau, seed) for tau in taus]


def calibration(points: Sequence[tuple[float, bool]]) -> tuple[list[Bin], float]:
    """Compare confidence with accuracy in bins of equal width.

    Returns:
        Bins that hold an answer, and the expected calibration error `sum_b n_b / n |accuracy_b - confidence_b|` (Naeini
        et al., AAAI 2015).
    """
    sure = np.array([confidence for confidence, _ in points])
    right = np.array([is_right for _, is_right in points], dtype=np.float64)
    places = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = [
        Bin(place / BINS, (place + 1) / BINS, int(held.sum()), float(sure[held].mean()), float(right[held].mean()))
        for place in range(BINS)
        if (held := places == place).any()
    ]
    return bins, sum(it.n * abs(it.accuracy - it.confidence) for it in bins) / len(points)


def _row(direct: Sequence[Direct], tau: float, seed: int) -> TauRow:
    taken = [it.confidence is not None and it.confidence >= tau for it in direct]
    pairs = list(zip(direct, taken, strict=True))
    clusters = clustered_by_video(
        (it.video, it.final.task_id, float(it.is_right if is_direct else bool(it.final.correct)))
        for it, is_direct in pairs
    )
    accepted = [it.is_right for it, is_direct in pairs if is_direct]

    def average(early: Callable[[Direct], int], late: Callable[[Direct], int]) -> float:
        return float(np.mean([early(it) if is_direct else late(it) for it, is_direct in pairs]))

    return TauRow(
        tau=tau,
        accepted=len(accepted) / len(direct),
        accuracy=mean(clusters),
        ci95=bootstrap_ci95(clusters, np.random.default_rng(seed)),
        accepted_accuracy=float(np.mean(accepted)) if accepted else None,
        frames=average(lambda it: it.frames, lambda it: len(it.final.frames)),
        calls=average(lambda it: it.calls, lambda it: it.final.calls),
        tokens=average(lambda it: it.tokens, lambda it: _all_tokens(it.final)),
    )


def _all_tokens(episode: Trajectory) -> int:
    return 0 if episode.tokens is None else episode.tokens.read + episode.tokens.replies
