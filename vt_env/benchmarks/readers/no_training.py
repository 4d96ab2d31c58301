"""Guard that keeps evaluation splits of benchmarks out of training."""

from vt_env.errors import ConfigError
from vt_env.tasks.task_set import TaskSet


def check_trainable(tasks: TaskSet) -> None:
    """Check that no task belongs to the evaluation split of a benchmark.

    Raises:
        ConfigError: A task has `train_allowed=False`.
    """
    barred = [task.item.task_id for task in tasks if not task.item.train_allowed]
    if barred:
        raise ConfigError(
            f"tasks: {len(barred)} of {len(tasks)}, first {barred[0]!r}, are of a benchmark's evaluation split, and "
            "training on them would contaminate its scores; use a training split or your own tasks"
        )
