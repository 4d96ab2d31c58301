"""What run directories say together: rows, pairs, the log of GRPO. Read from journals and metrics, offline."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments.analysis.benchmark_coverage import BenchmarkRow, benchmark_rows
from experiments.analysis.clue_runs import clue_run_of
from experiments.analysis.finished_run import FinishedRun
from experiments.analysis.metrics import PairRow, PolicyRow, compare, summarise
from experiments.runs import read_run
from experiments.settings.policies import POLICIES
from experiments.settings.prices import Prices
from experiments.train.grpo_log import GRPOLog, read_grpo_log
from experiments.train.training_cost import TrainingCost, read_training_cost
from vt_env.errors import ConfigError
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
"""For each policy the ones it is built on or has to beat."""


@dataclass(frozen=True)
class Report:
    """Everything that a report says."""

    runs: Sequence[FinishedRun]
    rows: Sequence[PolicyRow]
    pairs: Sequence[PairRow]
    grpo: GRPOLog | None
    wall_s: Mapping[str, float]
    """Seconds by kind of run, summed over runs and over the processes that continued them."""
    chance: float
    """Expected accuracy of guessing among the options of the tasks played."""
    benchmarks: Sequence[BenchmarkRow] = ()
    """Coverage and scores of the runs that were played on a benchmark."""
    training: Mapping[str, TrainingCost] = field(default_factory=dict)
    """Kind and folder of each training run to its cost."""

    def to_json(self) -> dict[str, Any]:
        """Write the report in the schema that tools read."""
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
            "not_run": self.not_run,
        }

    @property
    def holm(self) -> list[float]:
        """McNemar p values of the pairs, adjusted for their number."""
        return holm([pair.p_mcnemar for pair in self.pairs])

    @property
    def not_run(self) -> list[str]:
        """Policies of which there is no episode."""
        return [name for name in POLICIES if name not in {row.policy for row in self.rows}]


def build_report(folders: Sequence[Path], seed: int = 0, prices: Prices | None = None) -> Report:
    """Read all run directories in or below the folders.

    Args:
        folders: Run directories, or folders that hold some.
        seed: Seed of the bootstrap.
        prices: What tokens cost, where no server has told it.

    Raises:
        ConfigError: There is none.
        DataError: One is damaged.
    """
    found = load_runs(folders)
    played = by_policy([run for run in found if run.kind == "eval" and run.facts])
    facts = {name: run.facts for name, run in played.items()}
    compared = [(a, b) for a, others in COMPARED.items() for b in others if a in played and b in played]
    pairs = [compare(facts[a], facts[b], (a, b), seed) for a, b in compared]
    options = [it.options for some in facts.values() for it in some]
    grpo = [read_grpo_log(run.path) for run in found if run.kind == "grpo"]
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
            f"{run.kind} ({run.path.name})": read_training_cost(run.path) for run in found if run.kind in TRAINED
        },
    )


def load_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """Read what all run directories in or below the folders say about themselves.

    Raises:
        ConfigError: There is none.
        DataError: One is damaged.
    """
    found = [load_run(path) for path in dict.fromkeys(path for folder in folders for path in find_runs(folder))]
    if not found:
        raise ConfigError(
            f"{', '.join(map(str, folders))}: no run directory there; runs are written by vt-env commands"
        )
    return found


def find_runs(folder: Path) -> Iterator[Path]:
    """List the run directories in or below a folder, in alphabetical order."""
    yield from (
        path.parent for path in sorted(folder.rglob(read_run.PROVENANCE)) if (path.parent / read_run.CONFIG).exists()
    )


def load_run(path: Path) -> FinishedRun:
    """Read what a run directory says about itself.

    Raises:
        DataError: A file is damaged.
    """
    return FinishedRun(path, read_run.read_json(path / read_run.CONFIG), read_run.read_json(path / read_run.PROVENANCE))


def by_policy(evaluations: Sequence[FinishedRun]) -> dict[str, FinishedRun]:
    """Name the evaluations in the order of the table; of two runs of one policy the folder tells which is which."""
    names = [run.name for run in evaluations]
    labels = [f"{run.name} ({run.path.name})" if names.count(run.name) > 1 else run.name for run in evaluations]
    # Two folders of one name, in different parents, are told apart by their parents.
    labels = [
        f"{run.name} ({run.path})" if labels.count(label) > 1 else label
        for run, label in zip(evaluations, labels, strict=True)
    ]
    order = sorted(range(len(names)), key=lambda number: (_place(names[number]), labels[number]))
    return {labels[number]: evaluations[number] for number in order}


def _place(policy: str) -> int:
    """Place in the table; policies of the user's own stand behind the known ones."""
    return POLICIES.index(policy) if policy in POLICIES else len(POLICIES)


def _wall_s(found: Sequence[FinishedRun]) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for run in found:
        if run.kind == "quickstart":
            # Its other phases are runs of their own.
            done = {line["phase"]: line["seconds"] for line in read_run.read_metrics(run.path) if "phase" in line}
            total |= {phase: seconds for phase, seconds in done.items() if phase in ("world", "index")}
        else:
            total[run.kind] = round(total[run.kind] + read_run.wall_s(run.path), 3)
    return dict(total)
