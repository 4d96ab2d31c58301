"""Threshold sweep of the confidence gate, computed offline from one gated run; and calibration of confidences.

A run with a threshold above 1 accepts no direct answer, so its journal holds the direct answer, its confidence and the
outcome with tools for every question. Accuracy and cost at every other threshold follow exactly: accepting a direct
answer changes no other question.
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
"""Thresholds of the table; the last rejects every direct answer."""
BINS = 10


@dataclass(frozen=True)
class DirectAnswer:
    """Direct answer to one question, with the finished episode."""

    video: str
    confidence: float | None
    is_right: bool
    """Whether the direct answer is correct."""
    frames: int
    """Frames shown before the direct answer."""
    calls: int
    tokens: int
    """Tokens read and written up to the direct answer."""
    final: Trajectory


@dataclass(frozen=True)
class ThresholdRow:
    """Accuracy and cost of the gate at one threshold."""

    tau: float
    accepted: float
    """Share of the questions answered directly."""
    accuracy: float
    ci95: tuple[float, float]
    accepted_accuracy: float | None
    """Accuracy of the accepted direct answers; `None` where none is accepted."""
    frames: float
    """Mean frames per episode."""
    calls: float
    tokens: float
    """Mean tokens read and written per episode."""


@dataclass(frozen=True)
class CalibrationBin:
    """Answers with a confidence in `[low, high)`; the last bin includes 1."""

    low: float
    high: float
    n: int
    confidence: float
    """Mean confidence."""
    accuracy: float


def direct_answers(episodes: Sequence[Trajectory], tasks: Mapping[str, Task]) -> list[DirectAnswer]:
    """Score the direct answers of a gated run; questions without a task or an answer key are skipped."""
    found: list[DirectAnswer] = []
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
            DirectAnswer(
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


def confidences(episodes: Sequence[Trajectory], direct: Sequence[DirectAnswer]) -> list[tuple[float, bool]]:
    """Return confidence and correctness of each direct answer; of each final answer in a run without a gate."""
    if direct:
        return [(it.confidence, it.is_right) for it in direct if it.confidence is not None]
    scored = [it for it in episodes if it.correct is not None and it.confidence is not None]
    return [(it.confidence or 0.0, bool(it.correct)) for it in scored]


def sweep(direct: Sequence[DirectAnswer], seed: int, taus: Sequence[float] = TAUS) -> list[ThresholdRow]:
    """Compute accuracy and cost of the gate at each threshold.

    Args:
        direct: Direct answers, all of them rejected in the run.
        taus: Thresholds.
        seed: Seed of the bootstrap.
    """
    return [_row(direct, tau, seed) for tau in taus]


def calibration(points: Sequence[tuple[float, bool]]) -> tuple[list[CalibrationBin], float]:
    """Compare confidence with accuracy in bins of equal width.

    Returns:
        The non-empty bins, and the expected calibration error `sum_b n_b / n |accuracy_b - confidence_b|` (Naeini
        et al., AAAI 2015).
    """
    sure = np.array([confidence for confidence, _ in points])
    right = np.array([is_right for _, is_right in points], dtype=np.float64)
    places = np.array([bin_of(confidence) for confidence, _ in points])
    bins = [
        CalibrationBin(
            place / BINS, (place + 1) / BINS, int(held.sum()), float(sure[held].mean()), float(right[held].mean())
        )
        for place in range(BINS)
        if (held := places == place).any()
    ]
    return bins, sum(it.n * abs(it.accuracy - it.confidence) for it in bins) / len(points)


def bin_of(confidence: float) -> int:
    """Return the place of a confidence among `BINS` bins of equal width; the last includes 1."""
    return min(int(confidence * BINS), BINS - 1)


def _row(direct: Sequence[DirectAnswer], tau: float, seed: int) -> ThresholdRow:
    taken = [it.confidence is not None and it.confidence >= tau for it in direct]
    pairs = list(zip(direct, taken, strict=True))
    clusters = clustered_by_video(
        (it.video, it.final.task_id, float(it.is_right if is_direct else bool(it.final.correct)))
        for it, is_direct in pairs
    )
    accepted = [it.is_right for it, is_direct in pairs if is_direct]

    def average(early: Callable[[DirectAnswer], int], late: Callable[[DirectAnswer], int]) -> float:
        return float(np.mean([early(it) if is_direct else late(it) for it, is_direct in pairs]))

    return ThresholdRow(
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
