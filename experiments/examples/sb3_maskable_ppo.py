"""Stable-Baselines3's PPO on the numeric environment: `python -m experiments.examples.sb3_maskable_ppo` (extra `rl`).

It knows no masks: an action that makes no sense costs a call, and it learns not to take it.
"""

from dataclasses import dataclass, field
from pathlib import Path

import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from experiments.examples.held_out import WorldRun, report, training_env


@dataclass(frozen=True)
class SB3Run:
    """Train, then measure on held-out videos beside a random policy."""

    world: WorldRun = field(default_factory=WorldRun)
    steps: int = 500_000
    """Actions in all."""
    envs: int = 32
    """Environments that are stepped together."""
    seed: int = 0
    out: Path | None = None
    """JSON file for the result."""


def main(run: SB3Run) -> None:
    """Train and report."""
    model = train(run)
    report("sb3-ppo", run.world, lambda features, _: int(model.predict(features, deterministic=True)[0]), run.out)


def train(run: SB3Run) -> PPO:
    """Train a policy and return it."""
    envs = make_vec_env(training_env(run.world), n_envs=run.envs, seed=run.seed)
    model = PPO(
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
