"""Cost of training runs in rollouts, tokens and seconds, to compare SFT, rejection sampling and GRPO at equal cost."""

from dataclasses import dataclass
from pathlib import Path

from experiments.runs.read_run import read_metrics, wall_s


@dataclass(frozen=True)
class TrainingCost:
    """Totals over all processes of a run directory; work repeated after a kill counts twice."""

    rollouts: int
    """Episodes sampled from the policy."""
    sampled_tokens: int
    """Tokens generated in these episodes."""
    trained_tokens: int
    """Tokens in the forward and backward passes of updates, without padding."""
    wall_s: float
    """Wall time in seconds, loading included."""


def read_training_cost(path: Path) -> TrainingCost:
    """Sum the metrics of a run directory.

    Raises:
        DataError: A line of the metrics is damaged.
    """
    lines = read_metrics(path)
    totals = {
        name: sum(line.get(name, 0) for line in lines) for name in ("rollouts", "sampled_tokens", "trained_tokens")
    }
    return TrainingCost(**totals, wall_s=wall_s(path))
