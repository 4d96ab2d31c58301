"""Accuracy against cost: `vt-env budget RUN...` plots it against frames, calls, image tokens and all tokens.

Reads journals alone. Runs of one policy at several budgets form one line. Each point has its interval.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from experiments.analysis.budget_curves import ENOUGH, UNITS, Curve, curves_of
from experiments.analysis.episode_facts import EpisodeFacts
from experiments.analysis.finished_run import FinishedRun
from experiments.analysis.load_runs import load_runs
from experiments.report.compare import refuse_other_tasks
from experiments.runs import run_dir
from vt_env.errors import ConfigError
from vt_env.markdown import markdown_table


@dataclass(frozen=True)
class BudgetRun:
    """Accuracy against frames, calls, image tokens, all tokens and seconds of video."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories of evaluations on the same tasks, or folders of them."""
    out: Path | None = None
    """Folder of `budget.json`, `budget.md` and `plots/`; by default `runs/budget`, or only `plots/` in a single RUN."""
    seed: int = 0
    """Seed of the bootstrap."""


def main(run: BudgetRun) -> None:
    """Print the tables and draw the curves.

    Raises:
        ConfigError: There is no evaluation, or the evaluations are on different tasks.
        DataError: A run directory is damaged.
    """
    found = [it for it in load_runs(run.runs) if it.kind == "eval" and it.facts]
    if not found:
        raise ConfigError(f"{', '.join(map(str, run.runs))}: no evaluation with an episode")
    for other in found[1:]:
        refuse_other_tasks(found[0], other, shared=True)
    out = run.out or (Path("runs/budget") if len(found) > 1 else None)
    curves = {unit: curves_of(_by_policy(found), unit, run.seed) for unit in UNITS}
    curves = {unit: some for unit, some in curves.items() if any(curve.within[-1].spent for curve in some)}
    lines = list(budget_lines(curves))
    print("\n".join(lines).rstrip())
    folder = (out or found[0].path) / "plots"
    _draw(curves, [it for one in found for it in one.facts], folder)
    if out is not None:
        pictures = [f"![{unit}](plots/{_file_name(unit)})" for unit in curves]
        text = "\n".join(["# Accuracy against cost", "", *lines, "", *pictures])
        run_dir.write_json(
            out / "budget.json", {unit: [run_dir.as_json(it) for it in some] for unit, some in curves.items()}
        )
        run_dir.write_text(out / "budget.md", f"{text}\n")
    print(f"\nplots: {', '.join(str(folder / _file_name(unit)) for unit in curves) or 'none, all costs are 0'}")


def budget_lines(curves: Mapping[str, Sequence[Curve]]) -> Iterator[str]:
    """Yield one table per unit: the runs, and the smallest sufficient budget."""
    for unit, some in curves.items():
        rows: list[list[object]] = []
        for curve in some:
            for point in curve.runs:
                area = "-" if curve.area is None else f"{curve.area:.2f}"
                interval = f"{point.ci95[0]:.2f} to {point.ci95[1]:.2f}"
                cells = [curve.policy, point.label, f"{point.spent:.1f}", f"{point.accuracy:.2f}", interval, point.n]
                rows.append([*cells, f"{curve.enough:g}", area])
        heads = [f"{unit} per episode", "run", "mean", "accuracy", "95 %", "n", f"enough for {ENOUGH:.0%}"]
        yield from markdown_table([*heads, "over log budget"], rows)
        yield ""


def _by_policy(found: Sequence[FinishedRun]) -> dict[str, dict[str, list[EpisodeFacts]]]:
    policies: defaultdict[str, dict[str, list[EpisodeFacts]]] = defaultdict(dict)
    for it in found:
        label = it.path.name if it.path.name not in policies[it.name] else str(it.path)
        policies[it.name][label] = it.facts
    return dict(policies)


def _draw(curves: Mapping[str, Sequence[Curve]], facts: Sequence[EpisodeFacts], folder: Path) -> None:
    # Imported here since reading a journal needs no plotting library.
    from experiments.report.comparison_plots import plot_budget

    chance = float(np.mean([1 / it.options for it in facts]))
    for unit, some in curves.items():
        plot_budget(some, unit, chance, folder / _file_name(unit))


def _file_name(unit: str) -> str:
    return f"budget_{unit.replace(' ', '_')}.png"
