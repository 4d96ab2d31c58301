"""Checks of tasks whose rows another trainer reads; imports no trainer."""

from vt_env.benchmarks.readers.no_training import check_trainable
from vt_env.errors import ConfigError
from vt_env.tasks.task_set import TaskSet


def check_rows(tasks: TaskSet, *, is_training: bool) -> None:
    """Refuse tasks that cannot be scored or are not to be trained on.

    Args:
        tasks: The tasks.
        is_training: Whether the rows are for updates; then every task needs leave to train on it.

    Raises:
        ConfigError: There is no task, one has no answer key, or one is not to be trained on.
    """
    if not tasks:
        raise ConfigError("tasks: the task set is empty; need one task or more")
    keyless = next((task.item.task_id for task in tasks if task.gold is None), None)
    if keyless is not None:
        raise ConfigError(f"tasks: {keyless!r} has no answer, so it cannot be scored")
    if is_training:
        check_trainable(tasks)
