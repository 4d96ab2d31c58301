"""Reports from run directories: `vt-env report RUN...` writes `report.json`, `report.md` and `plots/`.

Works offline, from journals and metrics alone. What has not been run is said, never filled in.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.plots import plot_accuracy, plot_reward
from experiments.report_text import policy_table, render_report
from experiments.results import build_report
from experiments.runs import write_json, write_text
from vt_env.errors import ConfigError


@dataclass(frozen=True)
class ReportRun:
    """Tables and plots from run directories."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories, or folders that hold some."""
    out: Path | None = None
    """Where to write; with a single RUN it may be left out and means RUN itself."""
    seed: int = 0
    """Seed of the bootstrap."""


def main(run: ReportRun) -> None:
    """Write the report and print its table.

    Raises:
        ConfigError: There is no run directory, or several and no `out`.
        DataError: A run directory is damaged.
    """
    out = run.out or (run.runs[0] if len(run.runs) == 1 else None)
    if out is None:
        raise ConfigError(f"{len(run.runs)} runs: give --out, the folder to write the report to")
    report = build_report(run.runs, run.seed)
    if report.rows:
        plot_accuracy(report.rows, report.chance, out / "plots" / "accuracy.png")
    if report.grpo is not None and report.grpo.reward:
        plot_reward(report.grpo.reward, report.grpo.terms, out / "plots" / "reward.png")
    write_json(out / "report.json", report.to_json())
    write_text(out / "report.md", render_report(report))
    print("\n".join(policy_table(report.rows)))
    print(f"\nguessing gives {report.chance:.2f}; report: {out / 'report.md'}")
