"""Keep tasks with mixed outcomes; a group with equal rewards has zero advantage."""

from collections import defaultdict
from pathlib import Path

from experiments.runs.read_run import JOURNAL
from vt_env.episode.trajectory import read_trajectories
from vt_env.errors import ConfigError
from vt_env.tasks.task_set import TaskSet


def mixed_outcome_tasks(tasks: TaskSet, played: Path) -> TaskSet:
    """Return the tasks with correct and incorrect rollouts, in order.

    Half of DAPO's dynamic sampling (arXiv 2503.14476), applied once before training. The share of such tasks falls as
    the policy improves.

    Args:
        tasks: Candidate tasks; those without rollouts are dropped.
        played: Run directory with a journal of rollouts, from `vt-env rft` or `vt-env grpo`. Invalid rollouts are
            ignored.

    Raises:
        ConfigError: The journal does not exist, or no task has mixed outcomes.
        DataError: A line of the journal is damaged.
    """
    journal = played / JOURNAL
    if not journal.is_file():
        raise ConfigError(f"played={played}: no {JOURNAL} there; need the directory of a run of vt-env rft or grpo")
    outcomes: defaultdict[str, set[bool]] = defaultdict(set)
    for rollout in (it for it in read_trajectories(journal) if it.invalid is None):
        outcomes[rollout.task_id].add(bool(rollout.correct))
    mixed = tasks.filter(lambda item: len(outcomes.get(item.task_id, ())) == 2)
    if not mixed:
        raise ConfigError(
            f"played={played}: of its {len(outcomes)} questions none among the tasks has right and wrong rollouts; "
            "give the tasks that were played, or play more, with more --samples or a higher --temperature"
        )
    return mixed
