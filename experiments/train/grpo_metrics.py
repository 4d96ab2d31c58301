"""Metrics of a GRPO run: a line per step, and reading them back for a report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from experiments.runs.run_dir import read_metrics
from experiments.train.grpo_config import GRPORun
from vt_env.integrations.trl.step_parts import StepPart
from vt_env.integrations.trl.zero_advantage import SILENT_GROUPS

STEP_PARTS: tuple[StepPart, ...] = ("generation", "environment", "logprobs", "update", "sync")
"""Parts of a step whose seconds every report has."""
PROGRESS_METRICS = {"reward": "reward", "calls": "episode/calls", "no answer": "episode/no_answer"}
"""Labels of the progress bar, with the trainer's names of the metrics."""


class Clock(Protocol):
    """Measures the parts of a step."""

    def take(self) -> Mapping[str, float]:
        """Return the seconds since the last time, by part of a step, and begin anew."""
        ...


@dataclass(frozen=True)
class GRPOLog:
    """One value a step, in order."""

    reward: Sequence[float]
    """Mean over the rollouts of a step."""
    terms: Mapping[str, Sequence[float]]
    """Reward term to its mean over the rollouts of a step."""
    logp_difference_max: float
    """Largest mean difference between the sampler's and the trainer's log-probabilities over all steps; a run stops at
    a limit."""
    logp_difference_token_max: float
    """Largest difference of one token, over all steps; unlikely tokens differ by more than the mean."""
    seconds: Mapping[str, Sequence[float]]
    """Part of a step to its seconds, one value a step."""

    def to_json(self) -> dict[str, Any]:
        """Write the log in the schema of `report.json`."""
        return {"steps": len(self.reward), **asdict(self)}


def step_record(step: int, logs: Mapping[str, Any], clock: Clock, config: GRPORun) -> Mapping[str, object] | None:
    """Return the metrics of a step; `None` for the trainer's last log, and for a step without any reward."""
    if logs.get("reward") is None:
        return None
    sampled = round(logs["completions/mean_length"] * config.rollouts)
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
        "rollouts": config.rollouts,
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


def read_grpo_log(path: Path) -> GRPOLog:
    """Read the steps of a run directory; of a step that was done twice (its first process was killed) the last counts.

    Raises:
        DataError: A line of the metrics is damaged.
    """
    lines = [line for line in read_metrics(path) if "reward" in line]
    steps = [line for _, line in sorted({line["step"]: line for line in lines}.items())]
    parts = dict.fromkeys(STEP_PARTS) | dict.fromkeys(part for line in steps for part in line["seconds"])
    terms = sorted({name for line in steps for name in line["terms"]})
    return GRPOLog(
        reward=[line["reward"] for line in steps],
        terms={name: [line["terms"][name] for line in steps] for name in terms},
        logp_difference_max=max((line["logp_difference"] for line in steps), default=0.0),
        logp_difference_token_max=max((line["logp_difference_token"] for line in steps), default=0.0),
        seconds={part: [line["seconds"][part] for line in steps] for part in parts},
    )
