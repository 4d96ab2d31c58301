"""Thresholds of the confidence gate, and calibration: `vt-env eval --agent gated --gate.tau 2`, `vt-env sweep RUN`.

With a threshold above 1 no direct answer is accepted, so the journal holds for every question the direct answer with
its confidence and what came of the tools. Every threshold's table row then follows offline, and exactly: accepting a
direct answer changes nothing about another question. A run of any other model gives the calibration of its answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from experiments.evaluate.eval import read_journal
from experiments.report.gate_plots import plot_calibration, plot_sweep
from experiments.runs.run_dir import CONFIG, read_json, write_json
from vt_env.actions.parse import parse_action
from vt_env.actions.read_answer import is_correct
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError
from vt_env.stats import bootstrap_ci95, clustered_by_video, mean
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import Task
from vt_env.types import Answer

TAUS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 2.0)
"""Thresholds of the table; the last one turns every direct answer down."""
BINS = 10


@dataclass(frozen=True)
class SweepRun:
    """What the confidence gate would have done at other thresholds, and whether confidence means anything."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory of an evaluation of a model."""
    tasks: str | None = None
    """Where the tasks are now, if not where they were; their keys score the direct answers."""
    seed: int = 0
    """Seed of the bootstrap."""
    json_file: Path | None = None
    """Write the numbers here as well."""


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


def main(run: SweepRun) -> None:
    """Print the table, and draw the sweep and the calibration into the run's `plots`.

    Raises:
        ConfigError: The run has no confidences, or its tasks are gone.
        DataError: The journal cannot be read.
    """
    config = read_json(run.run / CONFIG)
    if config.get("run") != "eval":
        raise ConfigError(f"{run.run}: a run of {config.get('run')!r}; sweep takes evaluations of a model")
    episodes = [episode for episode in read_journal(run.run) if episode.invalid is None]
    found: dict[str, object] = {}
    tasks = {it.item.task_id: it for it in load_tasks(run.tasks or config["tasks"], config["split"])}
    direct = direct_answers(episodes, tasks)
    points = confidences(episodes, direct)
    if not points:
        raise ConfigError(f"{run.run}: no answer has a confidence; take a model's run, with --model.server.logprobs")
    if direct and all(not it.final.gate.accepted for it in direct if it.final.gate is not None):
        rows = sweep(direct, run.seed)
        print("\n".join(sweep_table(rows)))
        plot_sweep(rows, run.run / "plots" / "sweep.png")
        found["sweep"] = [asdict(row) for row in rows]
    elif direct:
        print("some direct answers were accepted, so their tools never played: sweep a run with --gate.tau 2")
    bins, error = calibration(points)
    print(f"calibration: n = {len(points)} answers, expected calibration error {error:.3f}")
    plot_calibration(bins, error, len(points), run.run / "plots" / "calibration.png")
    found |= {"calibration": [asdict(it) for it in bins], "expected_calibration_error": error, "answers": len(points)}
    if run.json_file is not None:
        write_json(run.json_file, found)


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


def sweep_table(rows: Sequence[TauRow]) -> list[str]:
    """Write the rows as a Markdown table."""
    heads = ("tau", "accepted", "accuracy", "95 %", "of accepted", "frames", "calls", "tokens")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        low, high = row.ci95
        of_accepted = "" if row.accepted_accuracy is None else f"{row.accepted_accuracy:.2f}"
        tau = "never" if row.tau > 1 else f"{row.tau:g}"
        lines.append(
            f"| {tau} | {row.accepted:.2f} | {row.accuracy:.2f} | {low:.2f} to {high:.2f} | {of_accepted} | "
            f"{row.frames:.1f} | {row.calls:.1f} | {row.tokens:.0f} |"
        )
    return lines


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
