"""Keeps benchmarks out of training."""

from vt_env.errors import ConfigError
from vt_env.tasks.task_set import TaskSet


def refuse_training(tasks: TaskSet) -> None:
    """Refuse tasks that others evaluate on.

    Raises:
        ConfigError: There is one.
    """
    barred = [task.item.task_id for task in tasks if not task.item.train_allowed]
    if barred:
        raise ConfigError(
            f"tasks: {len(barred)} of {len(tasks)}, first {barred[0]!r}, are of a benchmark's evaluation split, and "
            "training on them would spoil its numbers; take a training split or tasks of your own"
        )
