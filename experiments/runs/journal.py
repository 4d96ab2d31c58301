"""Journals of played episodes: read, and cleared of the attempts to be played again."""

from pathlib import Path

from experiments.runs.read_run import JOURNAL
from experiments.runs.run_dir import Run
from vt_env.episode.trajectory import Trajectory, read_trajectories, write_trajectories


def read_journal(path: Path) -> list[Trajectory]:
    """Read the episodes of a run directory; a torn last line (its writer was killed) does not count.

    Raises:
        DataError: A line is damaged.
    """
    return list(read_trajectories(path / JOURNAL, skip_torn=True)) if (path / JOURNAL).exists() else []


def without_failed(directory: Run) -> list[Trajectory]:
    """Read the journal of a run and take out the episodes that failed, since they are to be played again."""
    journal = read_journal(directory.path)
    kept = [it for it in journal if it.invalid is None]
    if len(kept) < len(journal):
        directory.metric({"event": "tried again", "episodes": len(journal) - len(kept)})
        write_trajectories(directory.path / JOURNAL, kept)
    return kept
