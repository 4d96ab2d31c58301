"""Rows and agent loops as files that verl (0.9.1) reads; imports no verl."""

from collections.abc import Mapping
from typing import Any

from vt_env.integrations.row_checks import check_rows
from vt_env.tasks.task_set import TaskSet

TARGET = "vt_env.integrations.verl.agent_loop.EpisodeAgentLoop"
"""Class that verl's configuration names."""


def agent_name(split: str) -> str:
    """Return the name of the loop that plays a split."""
    return f"vt_env_{split}"


def verl_rows(tasks: TaskSet, split: str, *, is_training: bool) -> list[dict[str, Any]]:
    """Make one row a task, as `RLHFDataset` reads it; no row holds an answer.

    The loop makes the prompt itself, from the episode. The question in `prompt` is for readers of the rows.

    Args:
        tasks: The tasks.
        split: Their split; names the loop.
        is_training: Whether the rows are for updates; then every task needs an answer key and leave to train on it.

    Raises:
        ConfigError: There is no task, or one is not to be trained on.
    """
    check_rows(tasks, is_training=is_training)
    return [
        {
            "data_source": f"vt_env/{task.item.family or split}",
            "agent_name": agent_name(split),
            "prompt": [{"role": "user", "content": task.item.question}],
            "reward_model": {"style": "rule", "ground_truth": ""},
            "extra_info": {"task_id": task.item.task_id, "split": split, "index": number},
        }
        for number, task in enumerate(tasks)
    ]


def loop_entry(split: str, source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of `agent_loop_config_path` for a split.

    Args:
        split: The split.
        source: Plain keyword arguments of `vt_env.SessionSource`.
    """
    return {"name": agent_name(split), "_target_": TARGET, "source": source}
