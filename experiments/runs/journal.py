"""Journals of episodes in run directories."""

from pathlib import Path

from experiments.runs.read_run import JOURNAL
from experiments.runs.run_dir import Run
from vt_env.episode.trajectory import Trajectory, read_trajectories, write_trajectories


def read_journal(path: Path) -> list[Trajectory]:
    """Read the episodes of a run directory; a torn last line, left by a killed process, is skipped.

    Raises:
        DataError: A line is damaged.
    """
    return list(read_trajectories(path / JOURNAL, skip_torn=True)) if (path / JOURNAL).exists() else []


def drop_failed(directory: Run) -> list[Trajectory]:
    """Read the journal of a run and remove failed episodes from it, so that they are played again.

    Returns:
        The remaining episodes, in order.
    """
    journal = read_journal(directory.path)
    kept = [it for it in journal if it.invalid is None]
    if len(kept) < len(journal):
        directory.metric({"event": "tried again", "episodes": len(journal) - len(kept)})
        write_trajectories(directory.path / JOURNAL, kept)
    return kept
