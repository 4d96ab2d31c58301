"""Paired comparison of two evaluations: `vt-env compare runs/eval-grpo runs/eval-sft`.

Prints the difference in accuracy with its interval over videos, the exact McNemar test, the questions only one run
answered correctly, by family, and the difference in cost. Reads journals alone. Runs on different tasks or annotations
are refused, since their difference says nothing about the policies.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.analysis.finished_run import FinishedRun
from experiments.analysis.load_runs import load_run
from experiments.analysis.paired_comparison import OUTCOMES, Comparison, Difference, GroupPair, compare_runs
from experiments.report.tables import p_value
from experiments.runs import run_dir
from experiments.settings.controls import named_as_control
from vt_env.errors import ConfigError
from vt_env.markdown import markdown_table

MAX_LISTED = 8
"""Discordant questions listed per family and run."""


@dataclass(frozen=True)
class CompareRun:
    """Paired comparison of two runs on the same tasks."""

    a: Annotated[Path, tyro.conf.Positional]
    """Run directory of an evaluation."""
    b: Annotated[Path, tyro.conf.Positional]
    """Run directory of the evaluation to compare it with."""
    out: Path | None = None
    """Folder of `compare.json`, `compare.md` and `plots/`; by default nothing is written."""
    shared: bool = False
    """Compare on the shared tasks where each run also has others."""
    all: bool = False
    """List all discordant questions."""
    seed: int = 0
    """Seed of the bootstrap."""


def main(run: CompareRun) -> None:
    """Print the comparison, and write it with `--out`.

    Raises:
        ConfigError: The runs are on different tasks or annotations.
        DataError: A run directory is damaged.
    """
    a, b = load_run(run.a), load_run(run.b)
    refuse_other_tasks(a, b, shared=run.shared)
    found = compare_runs(a.facts, b.facts, _names(a, b), run.seed)
    lines = list(comparison_lines(found, None if run.all else MAX_LISTED))
    print("\n".join(lines))
    if run.out is not None:
        from experiments.report.comparison_plots import plot_discordant

        plot_discordant(found, run.out / "plots" / "compare.png")
        picture = ["", "![discordant questions](plots/compare.png)"]
        run_dir.write_json(run.out / "compare.json", run_dir.as_json(found))
        run_dir.write_text(run.out / "compare.md", "\n".join(["# Comparison", "", *lines, *picture]) + "\n")


def refuse_other_tasks(a: FinishedRun, b: FinishedRun, *, shared: bool = False) -> None:
    """Reject two runs on different tasks.

    Args:
        a: One run.
        b: The other run.
        shared: Allow task sets that differ; shared task ids must still be the same tasks.

    Raises:
        ConfigError: The tasks differ, or a run is no evaluation.
    """
    for run in (a, b):
        if run.kind != "eval":
            raise ConfigError(f"{run.path}: a run of kind {run.kind!r}; compare takes evaluations")
        if len(run.annotation_hashes) > 1:
            raise ConfigError(f"{run.path}: its annotations changed while it ran; evaluate again")
    are_hashed = a.annotation_hashes and b.annotation_hashes
    for name in () if are_hashed else ("tasks", "split"):
        if a.config[name] != b.config[name]:
            raise ConfigError(
                f"{a.path} has {name}={a.config[name]!r}, {b.path} has {name}={b.config[name]!r}: compare runs on the "
                "same tasks"
            )
    if are_hashed and a.annotation_hashes != b.annotation_hashes and not shared:
        (one,), (other,) = a.annotation_hashes, b.annotation_hashes
        raise ConfigError(
            f"{a.path} has annotation hash {one}, {b.path} has {other}: their tasks differ; evaluate both on the same "
            "tasks, or compare the shared tasks with --shared"
        )


def comparison_lines(found: Comparison, shown: int | None = MAX_LISTED) -> Iterator[str]:
    """Yield the comparison as lines of Markdown.

    Args:
        found: The comparison.
        shown: Discordant questions to list per family and run; `None` lists all.
    """
    overall = found.overall
    yield f"a = {found.a}, b = {found.b}: {overall.n} pairs of episodes on {found.videos} videos"
    if found.left_out_a or found.left_out_b:
        yield f"without a partner in the other run, not compared: {found.left_out_a} of a, {found.left_out_b} of b"
    yield ""
    yield f"accuracy a {overall.accuracy_a:.3f}, b {overall.accuracy_b:.3f}"
    yield f"a - b = {_difference(overall.difference, '+.3f')}; exact McNemar p = {p_value(overall.p_mcnemar)}"
    yield ""
    yield from _family_table({"all": overall, **(found.families if len(found.families) > 1 else {})})
    yield ""
    yield from _cost_table(found)
    for name, group in found.families.items():
        for which, tasks in (("a", group.only_a), ("b", group.only_b)):
            if tasks:
                more = f" and {len(tasks) - shown} more" if shown is not None and len(tasks) > shown else ""
                yield ""
                yield f"{name or 'other'}, only {which} right: {', '.join(tasks[:shown])}{more}"


def _family_table(groups: Mapping[str, GroupPair]) -> Iterator[str]:
    rows: list[list[object]] = []
    for name, it in groups.items():
        interval = f"{it.difference.ci95[0]:+.2f} to {it.difference.ci95[1]:+.2f}"
        counts = [it.n, it.both_right, len(it.only_a), len(it.only_b), it.both_wrong]
        rows.append([name or "other", *counts, f"{it.difference.mean:+.2f}", interval, p_value(it.p_mcnemar)])
    heads = ("questions", "n", "both right", "only a", "only b", "both wrong", "a - b", "95 %", "p")
    yield from markdown_table(heads, rows)


def _cost_table(found: Comparison) -> Iterator[str]:
    rows: list[list[object]] = []
    for unit, it in found.spending.items():
        cells = [found.spending_by_outcome[name].get(unit) for name in OUTCOMES]
        shown = ["-" if cell is None else f"{cell:+.2f}" for cell in cells]
        rows.append([unit, f"{it.mean:+.2f}", f"{it.ci95[0]:+.2f} to {it.ci95[1]:+.2f}", it.n, *shown])
    yield from markdown_table(["per episode", "a - b", "95 %", "n", *OUTCOMES], rows)


def _names(a: FinishedRun, b: FinishedRun) -> tuple[str, str]:
    one, other = (named_as_control(it.config["agent"], it.controls) for it in (a, b))
    return (one, other) if one != other else (f"{one} ({a.path.name})", f"{other} ({b.path.name})")


def _difference(it: Difference, form: str) -> str:
    return f"{it.mean:{form}} (95 % {it.ci95[0]:{form}} to {it.ci95[1]:{form}}, bootstrap over videos)"
