"""Questions that a policy gets right at times: of all others GRPO learns nothing, since their groups do not differ."""

from collections import defaultdict
from pathlib import Path

from experiments.runs.run_dir import JOURNAL
from vt_env.episode.trajectory import read_trajectories
from vt_env.errors import ConfigError
from vt_env.tasks.task_set import TaskSet


def undecided_tasks(tasks: TaskSet, played: Path) -> TaskSet:
    """Return the tasks of which some rollouts were right and some were wrong, in order.

    Half of DAPO's dynamic sampling (arXiv 2503.14476) done once, before training: a policy that learns decides more and
    more of them.

    Args:
        tasks: What was played, and perhaps more.
        played: Run directory whose journal holds the rollouts, as `vt-env rft` and `vt-env grpo` write it. Those whose
            data failed say nothing.

    Raises:
        ConfigError: There is no journal, or no such task in it.
        DataError: A line of the journal is damaged.
    """
    journal = played / JOURNAL
    if not journal.is_file():
        raise ConfigError(f"played={played}: no {JOURNAL} there; need the directory of a run of vt-env rft or grpo")
    outcomes: defaultdict[str, set[bool]] = defaultdict(set)
    for rollout in (it for it in read_trajectories(journal) if it.invalid is None):
        outcomes[rollout.task_id].add(bool(rollout.correct))
    undecided = tasks.filter(lambda item: len(outcomes.get(item.task_id, ())) == 2)
    if not undecided:
        raise ConfigError(
            f"played={played}: of its {len(outcomes)} questions none among the tasks has right and wrong rollouts; "
            "give the tasks that were played, or play more, with more --samples or a higher --temperature"
        )
    return undecided
