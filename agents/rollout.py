"""Plays episodes: one agent in one episode, or one policy in many episodes in lock-step.

A rollout that goes badly is data: malformed text and spent budgets end in a trajectory like any other. A video that
fails in the middle makes its own trajectory invalid and leaves the others alone; any other exception is a bug and stops
everything.
"""

from collections.abc import Sequence

from agents.base import Agent, BatchPolicy, Conversation
from vt_env.actions import parse_action
from vt_env.config import EnvConfig
from vt_env.episode import Episode
from vt_env.errors import DataError
from vt_env.trajectory import Trajectory, record_episode
from vt_env.types import Item, Remaining


class AgentBatch:
    """Plays many episodes with one agent each, so that agents run where a batch policy does."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        """Give the agent at each position the episode at the same position."""
        self._agents = agents

    def act(self, conversations: Sequence[Conversation]) -> list[str]:
        """Ask each conversation's own agent."""
        return [self._act(self._agents[it.episode_idx], it) for it in conversations]

    def _act(self, agent: Agent, conversation: Conversation) -> str:
        if not conversation.replies:
            agent.reset(conversation.observations[0])
        return agent.act(conversation.observations[-1])


def run_episode(
    agent: Agent, episode: Episode, *, policy_name: str = "", seed: int | None = None, sample: int = 0
) -> Trajectory:
    """Play one fresh episode to its end.

    Args:
        agent: Who plays.
        episode: Not started yet.
        policy_name: Kept in the trajectory.
        seed: Seed of the policy; kept in the trajectory.
        sample: Which attempt at this task it is; kept in the trajectory.
    """
    return run_many(AgentBatch([agent]), [episode], policy_name=policy_name, seed=seed, samples=[sample])[0]


def run_many(
    policy: BatchPolicy,
    episodes: Sequence[Episode],
    *,
    policy_name: str = "",
    seed: int | None = None,
    samples: Sequence[int] | None = None,
) -> list[Trajectory]:
    """Play fresh episodes in lock-step: each round asks the policy once, for all episodes that still run.

    Args:
        policy: Who plays.
        episodes: Not started yet. All are open at once, so hand over as many as memory holds.
        policy_name: Kept in the trajectories.
        seed: Seed of the policy; kept in the trajectories.
        samples: Which attempt at its task each episode is; `None` means the first of each.

    Returns:
        One trajectory an episode, in order.
    """
    conversations = [Conversation(idx, []) for idx in range(len(episodes))]
    running = [it for it in conversations if _start(episodes[it.episode_idx], it)]
    while running:
        replies = policy.act(running)
        exchanges = zip(running, replies, strict=True)
        running = [it for it, reply in exchanges if _goes_on(episodes[it.episode_idx], it, reply)]
    numbers = [0] * len(episodes) if samples is None else samples
    return [
        record_episode(episode, conversation.replies, policy=policy_name, seed=seed, sample=number)
        for episode, conversation, number in zip(episodes, conversations, numbers, strict=True)
    ]


def record_unopened(
    item: Item, config: EnvConfig, reason: str, *, policy_name: str = "", seed: int | None = None, sample: int = 0
) -> Trajectory:
    """Record an episode that could not even be built, since its video does not open: invalid, without a turn."""
    return Trajectory(
        task_id=item.task_id,
        video_handle=item.video.handle,
        question=item.question,
        options=item.options,
        prompt_text="",
        perception=config.perception,
        turns=(),
        remaining=Remaining(config.budget.max_calls, config.budget.max_frames),
        stop=None,
        invalid=reason,
        policy=policy_name,
        seed=seed,
        sample=sample,
        family=item.family,
        split=item.split,
    )


def _start(episode: Episode, conversation: Conversation) -> bool:
    """Show the question; `False` where the video cannot be read, for which the episode keeps the reason."""
    try:
        conversation.observations.append(episode.start())
    except DataError:
        return False
    return True


def _goes_on(episode: Episode, conversation: Conversation, reply: str) -> bool:
    """Apply a reply; `False` where the episode has ended or become invalid."""
    conversation.replies.append(reply)
    try:
        outcome = episode.apply(parse_action(reply))
    except DataError:
        return False
    conversation.observations.append(outcome.observation)
    return outcome.stop is None
