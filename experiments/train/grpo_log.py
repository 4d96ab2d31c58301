"""Per-step metrics of a GRPO run, read back for reports and benchmarks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.runs.read_run import read_metrics
from vt_env.integrations.trl.step_parts import StepPart

STEP_PARTS: tuple[StepPart, ...] = ("generation", "environment", "logprobs", "update", "sync")
"""Parts of a step whose seconds every report has."""


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
    evaluations: Sequence[Mapping[str, Any]] = ()
    """Evaluations during training, in order: `step` and the values of `evaluation_record`."""

    def to_json(self) -> dict[str, Any]:
        """Write the log in the schema of `report.json`."""
        return {"steps": len(self.reward), **asdict(self)}


def read_grpo_log(path: Path) -> GRPOLog:
    """Read the steps of a run directory; of a step that was done twice (its first process was killed) the last counts.

    Raises:
        DataError: A line of the metrics is damaged.
    """
    metrics = read_metrics(path)
    lines = [line for line in metrics if "reward" in line]
    evaluations = {line["step"]: {"step": line["step"], **line["eval"]} for line in metrics if "eval" in line}
    steps = [line for _, line in sorted({line["step"]: line for line in lines}.items())]
    parts = dict.fromkeys(STEP_PARTS) | dict.fromkeys(part for line in steps for part in line["seconds"])
    terms = sorted({name for line in steps for name in line["terms"]})
    return GRPOLog(
        reward=[line["reward"] for line in steps],
        terms={name: [line["terms"][name] for line in steps] for name in terms},
        logp_difference_max=max((line["logp_difference"] for line in steps), default=0.0),
        logp_difference_token_max=max((line["logp_difference_token"] for line in steps), default=0.0),
        seconds={part: [line["seconds"][part] for line in steps] for part in parts},
        evaluations=[it for _, it in sorted(evaluations.items())],
    )
