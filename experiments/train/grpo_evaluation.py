"""Evaluations inside a GRPO run: when, on which tasks, and their lines of `metrics.jsonl`."""

from collections.abc import Mapping
from typing import Any

from experiments.train.grpo_config import GRPORun
from experiments.train.grpo_metrics import Clock
from experiments.train.grpo_options import evaluation_sizes
from experiments.train.training_run import draw_tasks, process_count
from vt_env.errors import ConfigError
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import TaskSet


def evaluation_tasks(config: GRPORun) -> TaskSet | None:
    """Draw the tasks of evaluations; `None` without evaluations.

    Raises:
        ConfigError: There are too few, or they are those that are trained on.
        DataError: The tasks cannot be read.
    """
    if config.eval_every is None:
        return None
    if config.eval_split == config.split:
        raise ConfigError(f"eval_split={config.eval_split}: that is trained on; give another split")
    tasks = load_tasks(config.tasks, config.eval_split)
    count, _ = evaluation_sizes(len(tasks), config.eval_tasks, config.micro_batch * process_count(), config.rollouts)
    return draw_tasks(tasks, count, config.seed)


def evaluates_after(config: GRPORun, step: int) -> bool:
    """Tell whether a run is evaluated after a number of steps: where the trained rollouts pass a multiple, and last."""
    every = config.eval_every
    if every is None:
        return False
    rollouts = config.rollouts
    return step == config.steps or step * rollouts // every > (step - 1) * rollouts // every


def evaluate_every(trainer: Any, config: GRPORun) -> None:
    """Add a callback that evaluates after the steps of `evaluates_after`."""
    from transformers import TrainerCallback

    class Evaluate(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_evaluate = evaluates_after(config, state.global_step)

    trainer.add_callback(Evaluate())


def evaluation_record(step: int, logs: Mapping[str, Any], clock: Clock, config: GRPORun) -> Mapping[str, object] | None:
    """Return the metrics of an evaluation; `None` for other logs.

    `no_answer` is the share of episodes without an answer that names an option, `kl` the mean over tokens of the
    estimated divergence from the first model (k3 of Schulman, "Approximating KL divergence", 2020, as TRL has it).
    """
    if logs.get("eval_reward") is None:
        return None
    names = {
        "accuracy": "terms/accuracy", "reward": "reward", "calls": "episode/calls", "frames": "episode/frames",
        "entropy": "entropy", "kl": "kl", "tokens": "completions/mean_length",
    }  # fmt: skip
    means = {name: logs[f"eval_{own}"] for name, own in names.items() if f"eval_{own}" in logs}
    families = {
        name.removeprefix("eval_families/"): value for name, value in logs.items() if name.startswith("eval_families/")
    }
    own = {**means, "no_answer": 0.0 - logs["eval_terms/no_option"], "rollouts": step * config.rollouts}
    return {"step": step, "eval": {**own, "families": families, "seconds": round(sum(clock.take().values()), 3)}}
