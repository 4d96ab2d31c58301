"""sb3-contrib's MaskablePPO on the numeric environment: `python -m experiments.examples.sb3_maskable_ppo` (extra `rl`).

The environment's `action_masks()` gives invalid actions probability 0, in training and in evaluation.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3.common.env_util import make_vec_env

from experiments.examples.held_out import HeldOutWorld, report, training_env


@dataclass(frozen=True)
class SB3Run:
    """Train, then evaluate on held-out videos beside a random policy."""

    world: HeldOutWorld = field(default_factory=HeldOutWorld)
    """Training and test videos."""
    steps: int = 500_000
    """Environment steps in total."""
    envs: int = 32
    """Number of vectorised environments."""
    seed: int = 0
    """Seed of the model and the environments."""
    out: Path | None = None
    """JSON file for the result."""


def main(run: SB3Run) -> None:
    """Train, evaluate and report."""
    model = train(run)

    def choose(features: NDArray[np.float32], mask: NDArray[np.int8]) -> int:
        return int(model.predict(features, deterministic=True, action_masks=mask)[0])

    report("sb3-maskable-ppo", run.world, choose, run.out)


def train(run: SB3Run) -> MaskablePPO:
    """Train a policy and return it."""
    envs = make_vec_env(training_env(run.world), n_envs=run.envs, seed=run.seed)
    model = MaskablePPO(
        "MlpPolicy",
        envs,
        n_steps=64,
        batch_size=512,
        n_epochs=4,
        learning_rate=lambda left: 1e-3 * left,
        gamma=1.0,
        ent_coef=0.01,
        seed=run.seed,
        device="cpu",
        verbose=1,
    )
    return model.learn(run.steps, log_interval=max(1, run.steps // (64 * run.envs) // 20))


if __name__ == "__main__":
    main(tyro.cli(SB3Run))
