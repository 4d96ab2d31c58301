"""Reports of run directories: `vt-env report RUN...` writes `report.json`, `report.md` and `plots/`.

Works offline, from journals and metrics. Policies without a run are listed as not run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.analysis.accuracy import DURATIONS
from experiments.analysis.build_report import Report, build_report
from experiments.report.plots import plot_accuracy, plot_groups, plot_reward
from experiments.report.report_page import render_latex, render_report
from experiments.report.tables import policy_table
from experiments.runs.run_dir import write_json, write_text
from experiments.settings.prices import read_prices


@dataclass(frozen=True)
class ReportRun:
    """Tables and plots of run directories."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories, or folders of them."""
    out: Path | None = None
    """Folder of the report; by default RUN itself, or `runs/report` for several."""
    seed: int = 0
    """Seed of the bootstrap."""
    latex_file: Path | None = None
    """Also write the LaTeX rows of the report to this file."""
    prices: Path | None = None
    """JSON file with dated prices of tokens and captions (`experiments/settings/prices.py`)."""


def main(run: ReportRun) -> None:
    """Write the report and print its result table.

    Raises:
        ConfigError: There is no run directory.
        DataError: A run directory is damaged.
    """
    out = run.out or (run.runs[0] if len(run.runs) == 1 else Path("runs/report"))
    report = build_report(run.runs, run.seed, None if run.prices is None else read_prices(run.prices))
    _draw(report, out / "plots")
    write_json(out / "report.json", report.to_json())
    write_text(out / "report.md", render_report(report))
    if run.latex_file is not None:
        write_text(run.latex_file, render_latex(report))
    print("\n".join(policy_table(report.rows)))
    for row in report.benchmarks:
        if row.board is None or not row.complete:
            print(f"{row.policy}: {row.benchmark}/{row.split} is {row.coverage} played, so no official name is used")
    print(f"\nchance {report.chance:.2f}; report: {out / 'report.md'}")


def _draw(report: Report, folder: Path) -> None:
    if report.rows:
        plot_accuracy(report.rows, report.chance, folder / "accuracy.png")
        plot_groups({row.policy: row.families for row in report.rows}, report.chance, folder / "families.png")
    lengths = {row.policy: row.durations for row in report.rows if row.durations}
    if lengths:
        order = [name for _, name in DURATIONS]
        plot_groups(lengths, report.chance, folder / "durations.png", order)
    if report.grpo is not None and report.grpo.reward:
        plot_reward(report.grpo.reward, report.grpo.terms, folder / "reward.png")
