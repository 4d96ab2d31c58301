"""Threshold sweep and calibration: `vt-env eval --agent gated --gate.tau 2`, then `vt-env sweep RUN`.

With a threshold above 1 no direct answer is accepted, so the journal holds the direct answer, its confidence and the
outcome with tools for every question. The rows of all thresholds then follow exactly, offline: accepting a direct
answer changes no other question. A run of any other model yields the calibration of its answers.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.analysis.gate_sweep import ThresholdRow, calibration, confidences, direct_answers, sweep
from experiments.report.gate_plots import plot_calibration, plot_sweep
from experiments.runs.journal import read_journal
from experiments.runs.read_run import CONFIG, read_json
from experiments.runs.run_dir import write_json
from vt_env.errors import ConfigError
from vt_env.markdown import markdown_table
from vt_env.task_sources import load_tasks


@dataclass(frozen=True)
class SweepRun:
    """Confidence gate at other thresholds, and calibration of confidences."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory of an evaluation of a model."""
    tasks: str | None = None
    """Tasks whose answer keys score the direct answers; by default those of the run."""
    seed: int = 0
    """Seed of the bootstrap."""
    json_file: Path | None = None
    """Also write the results to this JSON file."""


def main(run: SweepRun) -> None:
    """Print the table, and plot sweep and calibration into `plots` of the run.

    Raises:
        ConfigError: The run has no confidences, or its tasks are missing.
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
        raise ConfigError(f"{run.run}: no answer has a confidence; take a run of a model, with --model.server.logprobs")
    if direct and all(not it.final.gate.accepted for it in direct if it.final.gate is not None):
        rows = sweep(direct, run.seed)
        print("\n".join(sweep_table(rows)))
        plot_sweep(rows, run.run / "plots" / "sweep.png")
        found["sweep"] = [asdict(row) for row in rows]
    elif direct:
        print("some direct answers were accepted, so their tools were not run: sweep a run with --gate.tau 2")
    bins, error = calibration(points)
    print(f"calibration: n = {len(points)} answers, expected calibration error {error:.3f}")
    plot_calibration(bins, error, len(points), run.run / "plots" / "calibration.png")
    found |= {"calibration": [asdict(it) for it in bins], "expected_calibration_error": error, "answers": len(points)}
    if run.json_file is not None:
        write_json(run.json_file, found)


def sweep_table(rows: Sequence[ThresholdRow]) -> list[str]:
    """Return the rows as lines of a Markdown table."""
    heads = ("tau", "accepted", "accuracy", "95 %", "of accepted", "frames", "calls", "tokens")
    cells: list[list[str]] = []
    for row in rows:
        low, high = row.ci95
        of_accepted = "" if row.accepted_accuracy is None else f"{row.accepted_accuracy:.2f}"
        tau = "never" if row.tau > 1 else f"{row.tau:g}"
        shares = [f"{row.accepted:.2f}", f"{row.accuracy:.2f}", f"{low:.2f} to {high:.2f}", of_accepted]
        cells.append([tau, *shares, f"{row.frames:.1f}", f"{row.calls:.1f}", f"{row.tokens:.0f}"])
    return list(markdown_table(heads, cells))
