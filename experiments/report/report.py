"""Reports of run directories: `vt-env report RUN...` writes `report.json`, `report.md` and `plots/`.

Works offline, from journals and metrics. Policies without a run are listed as not run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.analysis.accuracy import DURATIONS
from experiments.analysis.build_report import Report, build_report
from experiments.analysis.load_runs import named_runs
from experiments.analysis.series import GROUPS
from experiments.report.comparison_plots import plot_calls
from experiments.report.plots import plot_accuracy, plot_groups, plot_reward
from experiments.report.publish import publish
from experiments.report.report_page import render_latex, render_report
from experiments.report.series_plots import plot_series
from experiments.report.tables import policy_table
from experiments.runs.run_dir import as_json, write_json, write_text
from experiments.settings.prices import read_prices
from vt_env.config import at_least
from vt_env.errors import ConfigError


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
    inspect: Path | None = None
    """Also write logs for `inspect view` into this folder, one an evaluation; needs the package inspect-ai."""
    inspect_limit: int = 1000
    """With --inspect: largest number of episodes of a log, the first ones; its pictures are held in memory."""
    publish: Path | None = None
    """Also write the numbers of every episode, with configurations and tables, into this folder, such as
    `experiments/results/NAME`."""
    prices: Path | None = None
    """JSON file with dated prices of tokens and captions (`experiments/settings/prices.py`)."""

    def __post_init__(self) -> None:
        at_least(self, "inspect_limit", 1)


def main(run: ReportRun) -> None:
    """Write the report and print its result table.

    Raises:
        ConfigError: There is no run directory, or `--inspect` and no evaluation or no inspect-ai.
        DataError: A run directory is damaged.
    """
    out = run.out or (run.runs[0] if len(run.runs) == 1 else Path("runs/report"))
    report = build_report(run.runs, run.seed, None if run.prices is None else read_prices(run.prices))
    if run.inspect is not None:
        _write_inspect_logs(run, report)
    _draw(report, out / "plots")
    write_json(out / "plots" / "series.json", [as_json(plot) for plot in report.plots])
    for group in GROUPS:
        plot_series(
            [plot for plot in report.plots if plot.group == group and plot.is_main], out / "plots" / f"{group}.png"
        )
    write_json(out / "report.json", report.to_json())
    write_text(out / "report.md", render_report(report))
    if run.publish is not None:
        publish(run.runs, run.publish)
        write_json(run.publish / "report.json", build_report([run.publish], run.seed).to_json())
    if run.latex_file is not None:
        write_text(run.latex_file, render_latex(report))
    print("\n".join(policy_table(report.rows)))
    for row in report.benchmarks:
        if row.board is None or not row.complete:
            print(f"{row.policy}: {row.benchmark}/{row.split} is {row.coverage} played, so no official name is used")
    print(f"\nchance {report.chance:.2f}; report: {out / 'report.md'}")


def _write_inspect_logs(run: ReportRun, report: Report) -> None:
    # Imported here since most reports need neither.
    from experiments.integrations.inspect_logs import LogSource, write_inspect_log
    from experiments.view.run_videos import RunVideos

    assert run.inspect is not None
    played = [it for it in report.runs if it.kind == "eval" and it.facts]
    if not played:
        raise ConfigError(f"--inspect: {', '.join(map(str, run.runs))}: no evaluation with an episode")
    names = {path: name for name, path in named_runs(run.runs).items()}
    for it in played:
        videos = RunVideos(it.config)
        name = names[it.path.resolve()]
        source = LogSource(name, it, videos.picture_or_none, videos.option_or_none, run.inspect_limit)
        path, count = write_inspect_log(source, run.inspect)
        print(f"{path}: {count} of {len(it.facts)} episodes; open with inspect view --log-dir {run.inspect}")


def _draw(report: Report, folder: Path) -> None:
    if report.rows:
        plot_accuracy(report.rows, report.chance, folder / "accuracy.png")
        plot_groups({row.policy: row.families for row in report.rows}, report.chance, folder / "families.png")
    lengths = {row.policy: row.durations for row in report.rows if row.durations}
    if lengths:
        order = [name for _, name in DURATIONS]
        plot_groups(lengths, report.chance, folder / "durations.png", order)
    if report.calls:
        plot_calls(report.calls, report.chance, folder / "calls.png")
    if report.grpo is not None and report.grpo.reward:
        plot_reward(report.grpo.reward, report.grpo.terms, folder / "reward.png")
