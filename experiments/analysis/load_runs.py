"""Find and load finished run directories."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.analysis.finished_run import FinishedRun
from experiments.runs import read_run
from experiments.settings.policies import POLICIES
from vt_env.errors import ConfigError


def load_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """Load all run directories in or below the folders.

    Raises:
        ConfigError: There is no run directory.
        DataError: One is damaged.
    """
    if not folders:
        raise ConfigError("no path given: name run directories or folders of them, such as runs/eval")
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


def named_runs(folders: Sequence[Path]) -> dict[str, Path]:
    """Find the run directories in or below the folders and name them by the shortest path that tells them apart.

    Raises:
        ConfigError: There is none.
    """
    found = list(dict.fromkeys(path.resolve() for folder in folders for path in find_runs(folder)))
    if not found:
        raise ConfigError(
            f"{', '.join(map(str, folders)) or 'no path given'}: no run directory there; "
            "runs are written by vt-env commands, such as vt-env eval --out runs/eval"
        )
    return dict(zip(_shortest_names(found), found, strict=True))


def _shortest_names(paths: Sequence[Path]) -> list[str]:
    """Return the ends of whole paths that are just long enough to tell all of them apart."""
    depth = next((size for size in range(1, 100) if len({it.parts[-size:] for it in paths}) == len(paths)), 100)
    return ["/".join(path.parts[-depth:]) for path in paths]


def load_run(path: Path) -> FinishedRun:
    """Load a run directory.

    Raises:
        DataError: A file is damaged.
    """
    return FinishedRun(path, read_run.read_json(path / read_run.CONFIG), read_run.read_json(path / read_run.PROVENANCE))


def by_policy(evaluations: Sequence[FinishedRun]) -> dict[str, FinishedRun]:
    """Map policy names to evaluations, in table order; the folder is added where two runs share a policy."""
    names = [run.name for run in evaluations]
    labels = [f"{run.name} ({run.path.name})" if names.count(run.name) > 1 else run.name for run in evaluations]
    # Two folders of one name differ in their parents.
    shortest = _shortest_names([run.path.resolve() for run in evaluations])
    labels = [
        f"{run.name} ({name})" if labels.count(label) > 1 else label
        for run, name, label in zip(evaluations, shortest, labels, strict=True)
    ]
    order = sorted(range(len(names)), key=lambda number: (_place(names[number]), labels[number]))
    return {labels[number]: evaluations[number] for number in order}


def _place(policy: str) -> int:
    """Return the position in the table; user policies follow the built-in ones."""
    return POLICIES.index(policy) if policy in POLICIES else len(POLICIES)
