"""PPO on the numeric environment in one file, in the manner of CleanRL: `python -m experiments.examples.ppo`.

Source: Schulman et al., "Proximal Policy Optimization Algorithms" (2017), with the details for discrete actions of
Huang et al., "The 37 Implementation Details of Proximal Policy Optimization" (2022). Invalid actions are masked as in
Huang and Ontañón, "A Closer Look at Invalid Action Masking in Policy Gradient Algorithms" (2022).
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor, nn
from torch.distributions import Categorical

from experiments.examples.held_out import Choose, HeldOutWorld, report, training_env


@dataclass(frozen=True)
class PPORun:
    """Train, then evaluate on held-out videos beside a random policy."""

    world: HeldOutWorld = field(default_factory=HeldOutWorld)
    """Training and test videos."""
    steps: int = 200_000
    """Environment steps in total."""
    envs: int = 32
    """Number of vectorised environments."""
    horizon: int = 64
    """Steps of each environment between two updates."""
    learning_rate: float = 1e-3
    """Initial learning rate of Adam; it decays linearly to 0."""
    gamma: float = 1.0
    """Discount factor; 1, since an episode has at most nine steps and one final reward."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    epochs: int = 4
    """Passes over the batch per update."""
    minibatches: int = 4
    """Minibatches per pass."""
    clip: float = 0.2
    """Clip range of the probability ratio."""
    entropy: float = 0.01
    """Coefficient of the entropy bonus."""
    value: float = 0.5
    """Coefficient of the value loss."""
    max_grad_norm: float = 0.5
    """Maximum norm of the gradient."""
    hidden: int = 64
    """Units of each hidden layer."""
    seed: int = 0
    """Seed of the networks, the actions and the environments."""
    out: Path | None = None
    """JSON file for the result."""


class Agent(nn.Module):
    """Actor and critic, each with two hidden layers."""

    def __init__(self, features: int, actions: int, hidden: int) -> None:
        super().__init__()
        self.actor = _layers(features, hidden, actions, 0.01)
        self.critic = _layers(features, hidden, 1, 1.0)

    def policy(self, features: Tensor, masks: Tensor) -> Categorical:
        """Return the distribution over actions: features float32[N, D], masks bool[N, A]."""
        return Categorical(logits=self.actor(features).masked_fill(~masks, -1e8))


@dataclass(eq=False)
class Batch:
    """Transitions between two updates; the first two dimensions are time T and environment N."""

    features: Tensor
    """float32[T, N, D]."""
    masks: Tensor
    """bool[T, N, A], true for each valid action."""
    actions: Tensor
    """int64[T, N]."""
    log_probs: Tensor
    """float32[T, N], under the policy that chose the actions."""
    rewards: Tensor
    """float32[T, N]."""
    dones: Tensor
    """float32[T, N], 1 if the action ended its episode."""
    values: Tensor
    """float32[T, N]."""


def main(run: PPORun) -> None:
    """Train, evaluate and report."""
    agent = train(run)
    report("ppo", run.world, greedy(agent), run.out)


def train(run: PPORun) -> Agent:
    """Train a policy and return it; print the mean return of episodes on the way."""
    torch.manual_seed(run.seed)
    # Networks this small are slower on several threads.
    torch.set_num_threads(1)
    rng = np.random.default_rng(run.seed)
    make = training_env(run.world)
    envs = SyncVectorEnv([make] * run.envs, autoreset_mode=AutoresetMode.SAME_STEP)
    observations, actions = envs.single_observation_space, envs.single_action_space
    assert isinstance(observations, Box) and isinstance(actions, Discrete)
    agent = Agent(observations.shape[0], int(actions.n), run.hidden)
    optimiser = torch.optim.Adam(agent.parameters(), lr=run.learning_rate, eps=1e-5)
    seen, info = envs.reset(seed=run.seed)
    updates = max(1, run.steps // (run.envs * run.horizon))
    for update in range(updates):
        optimiser.param_groups[0]["lr"] = run.learning_rate * (1 - update / updates)
        batch, seen, info = collect(run, agent, envs, seen, info)
        with torch.no_grad():
            last = agent.critic(torch.from_numpy(seen)).squeeze(-1)
        improve(run, agent, optimiser, batch, advantages(run, batch, last), rng)
        if update % max(1, updates // 20) == 0 or update == updates - 1:
            reward = float(batch.rewards.sum() / batch.dones.sum().clamp(min=1))
            done = (update + 1) * run.envs * run.horizon
            print(f"{done} steps, {time.process_time():.0f} s of CPU, reward {reward:.3f}", flush=True)
    envs.close()
    return agent


def collect(
    run: PPORun, agent: Agent, envs: gym.vector.VectorEnv, seen: np.ndarray, info: dict
) -> tuple[Batch, np.ndarray, dict]:
    """Collect `horizon` steps of every environment; return the batch, the last features and the last info."""
    rows: list[tuple[Tensor, ...]] = []
    for _ in range(run.horizon):
        features, masks = torch.from_numpy(seen), torch.from_numpy(np.stack(info["action_mask"])).bool()
        with torch.no_grad():
            policy, values = agent.policy(features, masks), agent.critic(features).squeeze(-1)
            actions = policy.sample()
            log_probs = policy.log_prob(actions)
        seen, rewards, terminated, truncated, info = envs.step(actions.numpy())
        ended = torch.from_numpy(terminated | truncated).float()
        rows.append((features, masks, actions, log_probs, torch.from_numpy(rewards).float(), ended, values))
    return Batch(*(torch.stack(column) for column in zip(*rows, strict=True))), seen, info


def advantages(run: PPORun, batch: Batch, last: Tensor) -> Tensor:
    """Return generalised advantage estimates, float32[T, N]; truncation counts as the end, since no reward follows."""
    result = torch.zeros_like(batch.rewards)
    following, running = last, torch.zeros_like(last)
    for row in reversed(range(len(result))):
        going_on = 1 - batch.dones[row]
        surprise = batch.rewards[row] + run.gamma * following * going_on - batch.values[row]
        running = surprise + run.gamma * run.gae_lambda * going_on * running
        result[row], following = running, batch.values[row]
    return result


def improve(
    run: PPORun,
    agent: Agent,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    gains: Tensor,
    rng: np.random.Generator,
) -> None:
    """Update the agent in several passes over a batch, by the clipped PPO objective."""
    flat = {name: values.flatten(0, 1) for name, values in vars(batch).items()}
    returns, gains = (gains + batch.values).flatten(), gains.flatten()
    for _ in range(run.epochs):
        for rows in np.array_split(rng.permutation(len(gains)), run.minibatches):
            policy = agent.policy(flat["features"][rows], flat["masks"][rows])
            ratio = (policy.log_prob(flat["actions"][rows]) - flat["log_probs"][rows]).exp()
            gain = (gains[rows] - gains[rows].mean()) / (gains[rows].std() + 1e-8)
            surrogate = torch.min(ratio * gain, ratio.clamp(1 - run.clip, 1 + run.clip) * gain).mean()
            error = (agent.critic(flat["features"][rows]).squeeze(-1) - returns[rows]).square().mean() / 2
            loss = run.value * error - surrogate - run.entropy * policy.entropy().mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), run.max_grad_norm)
            optimiser.step()


def greedy(agent: Agent) -> Choose:
    """Return the greedy policy of an agent."""

    def choose(features: np.ndarray, mask: np.ndarray) -> int:
        with torch.no_grad():
            scores = agent.policy(torch.from_numpy(features)[None], torch.from_numpy(mask)[None].bool()).logits
        return int(scores.argmax())

    return choose


def _layers(features: int, hidden: int, outputs: int, gain: float) -> nn.Sequential:
    sizes = ((features, hidden, 2**0.5), (hidden, hidden, 2**0.5), (hidden, outputs, gain))
    layers: list[nn.Module] = []
    for size_in, size_out, scale in sizes:
        linear = nn.Linear(size_in, size_out)
        nn.init.orthogonal_(linear.weight, scale)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


if __name__ == "__main__":
    main(tyro.cli(PPORun))
