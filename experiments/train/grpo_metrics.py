"""Metrics of a GRPO step, one line of `metrics.jsonl`. Their reader is `experiments.train.grpo_log`."""

from collections.abc import Mapping
from typing import Any, Protocol

from experiments.train.grpo_config import GRPORun
from vt_env.integrations.trl.zero_advantage import MIXED_GROUPS, SAMPLED, SILENT_GROUPS

PROGRESS_METRICS = {"reward": "reward", "calls": "episode/calls", "no answer": "episode/no_answer"}
"""Labels of the progress bar, with the trainer's names of the metrics."""


class Clock(Protocol):
    """Measures the parts of a step."""

    def take(self) -> Mapping[str, float]:
        """Return the seconds since the last time, by part of a step, and begin anew."""
        ...


def step_record(step: int, logs: Mapping[str, Any], clock: Clock, config: GRPORun) -> Mapping[str, object] | None:
    """Return the metrics of a step; `None` for the trainer's last log, and for a step without any reward."""
    if logs.get("reward") is None:
        return None
    rollouts = int(logs.get(SAMPLED, config.rollouts))
    sampled = round(logs["completions/mean_length"] * rollouts)
    mixed = {"mixed_groups": logs[MIXED_GROUPS]} if MIXED_GROUPS in logs else {}
    return {
        "step": step,
        "reward": logs["reward"],
        "families": _under("families/", logs),
        "terms": _under("terms/", logs),
        "episode": _under("episode/", logs),
        "logp_difference": logs["sampling/sampling_logp_difference/mean"],
        "logp_difference_token": logs["sampling/sampling_logp_difference/max"],
        "seconds": clock.take(),
        "groups_without_variance": logs[SILENT_GROUPS],
        **mixed,
        "rollouts": rollouts,
        "sampled_tokens": sampled,
        "tokens": logs["completions/mean_length"],
        "clipped": logs["completions/clipped_ratio"],
        "entropy": logs["entropy"],
        "kl": logs.get("kl", 0.0),
        "loss": logs["loss"],
        "grad_norm": logs["grad_norm"],
    }


def _under(prefix: str, logs: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in logs.items() if name.startswith(prefix)}
