"""Report over run directories: result table, paired differences, benchmarks and training. Works offline."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments.analysis.accuracy import PairRow, PolicyRow, compare, summarise
from experiments.analysis.attempts import RunNumbers, attempt_of_facts, attempt_of_row
from experiments.analysis.benchmark_coverage import BenchmarkRow, benchmark_rows
from experiments.analysis.calls_accuracy import CallsPoint, calls_point
from experiments.analysis.clue_runs import clue_run_of
from experiments.analysis.episode_rows import rows_of_journal
from experiments.analysis.finished_run import FinishedRun
from experiments.analysis.load_runs import by_policy, load_runs, named_runs
from experiments.analysis.run_plots import run_plots
from experiments.analysis.series import Plot
from experiments.runs import read_run
from experiments.runs.read_tags import read_tags
from experiments.settings.controls import named_as_control
from experiments.settings.policies import POLICIES
from experiments.settings.prices import Prices
from experiments.train.grpo_log import GRPOLog, read_grpo_log
from experiments.train.training_cost import TrainingCost, read_training_cost
from vt_env.stats import holm

SCHEMA = 1

TRAINED = ("sft", "rft", "grpo")
"""Kinds of run whose training cost is reported."""

COMPARED: Mapping[str, Sequence[str]] = {
    "sft+grpo": ("sft", "base", "uniform", "blind", "scripted"),
    "sft+rft": ("sft", "base", "uniform"),
    "sft": ("base", "uniform", "blind", "scripted"),
    "gated": ("sft+grpo", "sft", "base", "uniform"),
    "retrieval-only": ("uniform", "blind"),
    "base": ("uniform", "blind"),
    "uniform": ("blind",),
    "subtitles": ("random", "constant"),
}
"""Baselines of each policy: the policies that it starts from or has to beat."""


@dataclass(frozen=True)
class Report:
    """Content of `report.json` and of the report page."""

    runs: Sequence[FinishedRun]
    rows: Sequence[PolicyRow]
    pairs: Sequence[PairRow]
    grpo: GRPOLog | None
    wall_s: Mapping[str, float]
    """Wall time in seconds by kind of run, summed over runs and the processes that resumed them."""
    chance: float
    """Expected accuracy of guessing on the tasks played, in `[0, 1]`."""
    benchmarks: Sequence[BenchmarkRow] = ()
    """Coverage and scores of the runs on benchmarks."""
    training: Mapping[str, TrainingCost] = field(default_factory=dict)
    """Cost of each training run, by kind and folder."""
    tags: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Tag to number of episodes, by policy; policies without tags are absent."""

    calls: Sequence[CallsPoint] = ()
    """Calls and accuracy of every policy."""
    plots: Sequence[Plot] = ()
    """Numbers of the plots over steps, cost and confidence; they are written to `plots/series.json`."""

    def to_json(self) -> dict[str, Any]:
        """Return the report in the schema of `report.json`."""
        origin = self.runs[0].provenance
        grpo = None if self.grpo is None else self.grpo.to_json()
        return {
            "schema": SCHEMA,
            "commit": origin["commit"],
            "seed": self.runs[0].config.get("seed", 0),
            "machine": origin["machine"],
            "wall_s": dict(self.wall_s),
            "rows": [asdict(row) for row in self.rows],
            "pairs": [asdict(pair) | {"p_holm": p} for pair, p in zip(self.pairs, self.holm, strict=True)],
            "grpo": grpo,
            "chance": self.chance,
            "benchmarks": [row.to_json() for row in self.benchmarks],
            "training": {name: asdict(cost) for name, cost in self.training.items()},
            "tags": {name: dict(counts) for name, counts in self.tags.items()},
            "calls": [asdict(point) for point in self.calls],
            "not_run": self.not_run,
        }

    @property
    def holm(self) -> list[float]:
        """McNemar p values of the pairs, Holm-adjusted."""
        return holm([pair.p_mcnemar for pair in self.pairs])

    @property
    def not_run(self) -> list[str]:
        """Built-in policies without an episode."""
        return [name for name in POLICIES if name not in {row.policy for row in self.rows}]


def build_report(folders: Sequence[Path], seed: int = 0, prices: Prices | None = None) -> Report:
    """Build the report over all run directories in or below the folders.

    Args:
        folders: Run directories, or folders that hold some.
        seed: Seed of the bootstrap.
        prices: Prices of tokens and captions; by default the cost that the server reported.

    Raises:
        ConfigError: There is no run directory.
        DataError: A run directory is damaged.
    """
    found = load_runs(folders)
    played = by_policy([run for run in found if run.kind == "eval" and run.facts])
    facts = {name: run.facts for name, run in played.items()}
    compared = [(a, b) for a, others in COMPARED.items() for b in others if a in played and b in played]
    pairs = [compare(facts[a], facts[b], (a, b), seed) for a, b in compared]
    options = [it.options for some in facts.values() for it in some]
    grpo = [read_grpo_log(run.path) for run in found if run.kind == "grpo" and not run.controls]
    return Report(
        runs=found,
        rows=[summarise(name, some, seed, prices) for name, some in facts.items()],
        pairs=[pair for pair in pairs if pair is not None],
        grpo=grpo[-1] if grpo else None,
        wall_s=_wall_s(found),
        chance=float(np.mean([1 / count for count in options])) if options else 0.0,
        benchmarks=[
            row
            for name, run in played.items()
            for row in benchmark_rows(name, run, seed, clue_run_of(run, list(played.values())))
        ],
        training={
            named_as_control(f"{run.kind} ({run.path.name})", run.controls): read_training_cost(run.path)
            for run in found
            if run.kind in TRAINED
        },
        tags={name: counts for name, run in played.items() if (counts := _count_tags(run))},
        calls=[it for name, some in facts.items() if (it := calls_point(name, some, seed)) is not None],
        plots=run_plots(list(_numbers(folders, found)), seed),
    )


def _numbers(folders: Sequence[Path], found: Sequence[FinishedRun]) -> Iterator[RunNumbers]:
    names = {path: name for name, path in named_runs(folders).items()}
    for run in found:
        if run.kind == "eval":
            attempts = [attempt_of_facts(it) for it in run.facts]
        else:
            attempts = [attempt_of_row(row) for row in rows_of_journal(run.path, run.config)]
        yield RunNumbers(names[run.path.resolve()], run.config, read_run.read_metrics(run.path), attempts)


def _count_tags(run: FinishedRun) -> dict[str, int]:
    played = {(it.task_id, it.sample) for it in run.facts}
    counts = Counter(tag for key, tags in read_tags(run.path).items() if key in played for tag in tags)
    return dict(sorted(counts.items(), key=lambda it: (-it[1], it[0])))


def _wall_s(found: Sequence[FinishedRun]) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for run in found:
        if run.kind == "quickstart":
            # The other steps are runs with directories of their own.
            done = {line["phase"]: line["seconds"] for line in read_run.read_metrics(run.path) if "phase" in line}
            total |= {phase: seconds for phase, seconds in done.items() if phase in ("world", "index")}
        else:
            total[run.kind] = round(total[run.kind] + read_run.wall_s(run.path), 3)
    return dict(total)
