"""RLlib's PPO on the numeric environment: `python -m experiments.examples.rllib_ppo`.

RLlib 2.60 wants gymnasium 1.2.2, so it has an environment of its own: `.ci/engines rllib`, or
`pip install 'ray[rllib]==2.60.0' torch==2.13.0` beside the core. Invalid actions are masked by the module that RLlib
ships with its examples, which reads the mask from the observation.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.spaces import Box, Dict, Discrete
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from ray.tune.registry import register_env

from experiments.examples.held_out import Choose, HeldOutWorld, report, training_env

FEATURES, MASK = "observations", "action_mask"
"""Keys of an observation, as RLlib's module names them."""
ENV = "vt_env_numeric"


@dataclass(frozen=True)
class RLlibRun:
    """Train, then evaluate on held-out videos beside a random policy."""

    world: HeldOutWorld = field(default_factory=HeldOutWorld)
    """Training and test videos."""
    iterations: int = 60
    """Iterations of `batch` steps each."""
    batch: int = 2048
    """Environment steps of an iteration."""
    minibatch: int = 512
    """Steps of a minibatch."""
    envs: int = 32
    """Environments of each process that plays."""
    env_runners: int = 0
    """Further processes that play; 0 plays in this one."""
    learning_rate: float = 1e-3
    """Initial learning rate; it decays linearly to 0."""
    seed: int = 0
    """Seed of the model and the environments."""
    out: Path | None = None
    """JSON file for the result."""


class MaskInObservation(gym.Wrapper[dict[str, NDArray[np.float32]], Any, NDArray[np.float32], Any]):
    """Moves the mask of valid actions from `info` into the observation, where RLlib looks for it."""

    def __init__(self, env: gym.Env[NDArray[np.float32], Any]) -> None:
        super().__init__(env)
        assert isinstance(env.action_space, Discrete)
        mask = Box(0.0, 1.0, (int(env.action_space.n),), np.float32)
        self.observation_space = Dict({FEATURES: env.observation_space, MASK: mask})

    def reset(self, **choice: Any) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Begin an episode."""
        features, info = self.env.reset(**choice)
        return _masked(features, info), info

    def step(self, action: Any) -> tuple[dict[str, NDArray[np.float32]], Any, bool, bool, dict[str, Any]]:
        """Take an action."""
        features, reward, terminated, truncated, info = self.env.step(action)
        return _masked(features, info), reward, terminated, truncated, info


def main(run: RLlibRun) -> None:
    """Train, evaluate and report."""
    algorithm = train(run)
    try:
        report("rllib-ppo", run.world, greedy(algorithm), run.out)
    finally:
        algorithm.stop()


def train(run: RLlibRun) -> Algorithm:
    """Train a policy and return it with its algorithm."""
    # Without them Ray asks the network who it is, and waits for a dashboard.
    for name, value in {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}.items():
        os.environ.setdefault(name, value)
    register_env(ENV, _creator(run.world))
    algorithm = ppo_config(run).build_algo()
    for number in range(run.iterations):
        result = algorithm.train()
        if (number + 1) % max(1, run.iterations // 20) == 0:
            mean_return = result["env_runners"]["episode_return_mean"]
            print(f"{(number + 1) * run.batch} steps: mean return {mean_return:.3f}", flush=True)
    return algorithm


def ppo_config(run: RLlibRun) -> PPOConfig:
    """Return RLlib's configuration; where it is silent, the values of `experiments.examples.ppo`."""
    steps = run.iterations * run.batch
    module = RLModuleSpec(
        module_class=ActionMaskingTorchRLModule,
        model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], fcnet_activation="tanh"),
    )
    return (
        PPOConfig()
        .environment(ENV)
        .env_runners(num_env_runners=run.env_runners, num_envs_per_env_runner=run.envs)
        .learners(num_learners=0)
        .training(
            lr=[[0, run.learning_rate], [steps, 0.0]],
            gamma=1.0,
            lambda_=0.95,
            clip_param=0.2,
            use_kl_loss=False,
            entropy_coeff=0.01,
            vf_loss_coeff=0.5,
            grad_clip=0.5,
            train_batch_size_per_learner=run.batch,
            minibatch_size=run.minibatch,
            num_epochs=4,
        )
        .rl_module(rl_module_spec=module)
        .debugging(seed=run.seed, log_level="ERROR")
    )


def greedy(algorithm: Algorithm) -> Choose:
    """Return the greedy policy of an algorithm."""
    module = algorithm.get_module()

    def choose(features: NDArray[np.float32], mask: NDArray[np.int8]) -> int:
        observation = {key: torch.from_numpy(it)[None] for key, it in _masked(features, {MASK: mask}).items()}
        with torch.no_grad():
            scores = module.forward_inference({Columns.OBS: observation})[Columns.ACTION_DIST_INPUTS]
        return int(scores.argmax())

    return choose


def _creator(world: HeldOutWorld) -> Callable[[Any], gym.Env[Any, Any]]:
    make = training_env(world)
    return lambda config: MaskInObservation(make())


def _masked(features: NDArray[np.float32], info: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
    return {FEATURES: features, MASK: info[MASK].astype(np.float32)}


if __name__ == "__main__":
    main(tyro.cli(RLlibRun))
