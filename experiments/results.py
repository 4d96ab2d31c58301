"""What run directories say together: rows, pairs, the log of GRPO. Read from journals and metrics, offline."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from experiments import runs
from experiments.evaluate import read_journal
from experiments.grpo_log import GRPOLog, read_grpo_log
from experiments.metrics import PairRow, PolicyRow, pair_row, policy_row
from experiments.policies import POLICIES
from vt_env.errors import ConfigError
from vt_env.trajectory import Trajectory

SCHEMA = 1

COMPARED: Mapping[str, Sequence[str]] = {
    "sft+grpo": ("sft", "base", "uniform", "blind", "caption-only"),
    "sft": ("base", "uniform", "blind", "caption-only"),
    "base": ("uniform", "blind"),
    "uniform": ("blind",),
    "subtitles": ("random", "constant"),
}
"""For each policy the ones it is built on or has to beat."""


@dataclass(frozen=True)
class FinishedRun:
    """What one run directory says about itself."""

    path: Path
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """`"eval"`, `"sft"`, `"grpo"`, ..."""
        return self.config["run"]

    @cached_property
    def episodes(self) -> list[Trajectory]:
        """The journalled episodes of an evaluation."""
        return read_journal(self.path)


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
            "pairs": [asdict(pair) for pair in self.pairs],
            "grpo": grpo,
            "chance": self.chance,
            "not_run": self.not_run,
        }

    @property
    def not_run(self) -> list[str]:
        """Policies of which there is no episode."""
        return [name for name in POLICIES if name not in {row.policy for row in self.rows}]


def build_report(folders: Sequence[Path], seed: int = 0) -> Report:
    """Read all run directories in or below the folders.

    Args:
        folders: Run directories, or folders that hold some.
        seed: Seed of the bootstrap.

    Raises:
        ConfigError: There is none.
        DataError: One is damaged.
    """
    found = [load_run(path) for path in dict.fromkeys(path for folder in folders for path in find_runs(folder))]
    if not found:
        raise ConfigError(
            f"{', '.join(map(str, folders))}: no run directory there; runs are written by vt-env commands"
        )
    played = _by_policy([run for run in found if run.kind == "eval" and run.episodes])
    rows = [policy_row(name, episodes, seed) for name, episodes in played.items()]
    compared = [(a, b) for a, others in COMPARED.items() for b in others if a in played and b in played]
    pairs = [pair_row(played[a], played[b], (a, b), seed) for a, b in compared]
    options = [len(episode.options) for episodes in played.values() for episode in episodes]
    grpo = [read_grpo_log(run.path) for run in found if run.kind == "grpo"]
    return Report(
        runs=found,
        rows=rows,
        pairs=[pair for pair in pairs if pair is not None],
        grpo=grpo[-1] if grpo else None,
        wall_s=_wall_s(found),
        chance=float(np.mean([1 / count for count in options])) if options else 0.0,
    )


def find_runs(folder: Path) -> Iterator[Path]:
    """List the run directories in or below a folder, in alphabetical order."""
    yield from (path.parent for path in sorted(folder.rglob(runs.PROVENANCE)) if (path.parent / runs.CONFIG).exists())


def load_run(path: Path) -> FinishedRun:
    """Read what a run directory says about itself.

    Raises:
        DataError: A file is damaged.
    """
    return FinishedRun(path, runs.read_json(path / runs.CONFIG), runs.read_json(path / runs.PROVENANCE))


def _by_policy(evaluations: Sequence[FinishedRun]) -> dict[str, list[Trajectory]]:
    """Episodes of each policy in the order of the table; of two runs of one policy the folder tells which is which."""
    names = [run.config["agent"] for run in evaluations]
    labels = [
        f"{name} ({run.path.name})" if names.count(name) > 1 else name
        for name, run in zip(names, evaluations, strict=True)
    ]
    order = sorted(range(len(names)), key=lambda number: (POLICIES.index(names[number]), labels[number]))
    return {labels[number]: evaluations[number].episodes for number in order}


def _wall_s(found: Sequence[FinishedRun]) -> dict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for run in found:
        if run.kind == "quickstart":
            # Its other phases are runs of their own.
            done = {
                line["phase"]: line["seconds"] for line in runs.read_jsonl(run.path / runs.METRICS) if "phase" in line
            }
            total |= {phase: seconds for phase, seconds in done.items() if phase in ("world", "index")}
        else:
            total[run.kind] = round(total[run.kind] + runs.wall_s(run.path), 3)
    return dict(total)
