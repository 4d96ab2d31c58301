"""What a training run has spent, so that ways to train can be compared at equal cost: SFT, rejection sampling, GRPO."""

from dataclasses import dataclass
from pathlib import Path

from experiments.runs.run_dir import METRICS, read_jsonl, wall_s


@dataclass(frozen=True)
class Spent:
    """Everything a run directory's processes have used; work that was done again after a kill counts twice."""

    rollouts: int
    """Episodes that the policy played."""
    sampled_tokens: int
    """Tokens that the policy wrote in them."""
    trained_tokens: int
    """Tokens that forward and backward passes of updates read, padding left out."""
    wall_s: float
    """Seconds, loading included."""


def read_spent(path: Path) -> Spent:
    """Add up what the metrics of a run directory say.

    Raises:
        DataError: A line of the metrics is damaged.
    """
    lines = read_jsonl(path / METRICS)
    totals = {
        name: sum(line.get(name, 0) for line in lines) for name in ("rollouts", "sampled_tokens", "trained_tokens")
    }
    return Spent(**totals, wall_s=wall_s(path))
