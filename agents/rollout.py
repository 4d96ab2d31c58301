"""Rollouts: one agent in one episode, or one policy in many concurrent episodes, in rounds or in threads.

Malformed replies and exhausted budgets are data and end in an ordinary trajectory. A video that fails to decode
invalidates only its own trajectory. Any other exception is a bug and stops the run.
"""

from collections.abc import Callable, Iterator, Sequence
from threading import Event
from typing import cast

from agents.base import Agent, BatchPolicy, Conversation, Reply, ask, forget
from agents.bounded_threads import work_in_threads
from agents.running_episode import EpisodeLimits, RunningEpisode, Start, open_episode
from agents.running_episode import record_unopened as record_unopened
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError


class AgentBatch:
    """Adapter from agents to a batch policy, with one agent per episode.

    Args:
        make: Factory of the agent for an episode index, called before its first action; or one agent per episode.
    """

    def __init__(self, make: Callable[[int], Agent] | Sequence[Agent]) -> None:
        self._make = make if callable(make) else make.__getitem__
        self._agents: dict[int, Agent] = {}

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        """Ask the agent of each conversation.

        Raises:
            ConfigError: An agent returns neither a text nor a `Reply`.
        """
        return [self._act(it) for it in conversations]

    def forget(self, episode_idx: int) -> None:
        """Drop the agent of an episode."""
        self._agents.pop(episode_idx, None)

    def _act(self, conversation: Conversation) -> Reply:
        agent = self._agents.get(conversation.episode_idx)
        if agent is None:
            agent = self._agents[conversation.episode_idx] = self._make(conversation.episode_idx)
            agent.reset(conversation.task, conversation.observations[0])
        written = cast("object", agent.act(conversation.observations[-1]))
        if not isinstance(written, str | Reply):
            got = f"{type(agent).__name__}.act returned {type(written).__name__}"
            raise ConfigError(f"{got}; return the reply as a text or an agents.base.Reply")
        return Reply(written) if isinstance(written, str) else written


def run_episode(
    agent: Agent, episode: Episode, *, policy_name: str = "", seed: int | None = None, sample: int = 0
) -> Trajectory:
    """Play one episode to its end.

    Args:
        agent: Agent to play.
        episode: Episode that has not been started.
        policy_name: Name recorded in the trajectory.
        seed: Seed of the policy, recorded in the trajectory.
        sample: Number of the attempt at this task, recorded in the trajectory.
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
    """Play episodes in lock-step: each round asks the policy once, for all running episodes.

    Args:
        policy: Policy to play.
        episodes: Episodes that have not been started. All are open at once and must fit into memory.
        policy_name: Name recorded in the trajectories.
        seed: Seed of the policy, recorded in the trajectories.
        samples: Number of the attempt of each episode; `None` means 0 for all.

    Returns:
        One trajectory per episode, in order; without times, so that equal rollouts are equal records.
    """
    numbers = [0] * len(episodes) if samples is None else samples
    starts = [
        Start(episode.item, episode.config, lambda episode=episode: episode, seed, number)
        for episode, number in zip(episodes, numbers, strict=True)
    ]
    played = dict(play_in_rounds(policy, starts, max(1, len(starts)), policy_name=policy_name))
    return [played[idx].without_times() for idx in range(len(episodes))]


def play_in_rounds(
    policy: BatchPolicy,
    starts: Sequence[Start],
    width: int,
    *,
    policy_name: str = "",
    limits: EpisodeLimits | None = None,
    refill: bool = True,
) -> Iterator[tuple[int, Trajectory]]:
    """Play up to `width` episodes concurrently, in rounds of replies; for engines that batch.

    Args:
        policy: Policy to play.
        starts: Specifications of the episodes.
        width: Maximum number of open episodes.
        policy_name: Name recorded in the trajectories.
        limits: Limits of each episode besides its budget; `None` sets none.
        refill: Replace each finished episode at once. Otherwise the whole batch finishes first, which suits engines
            that pad to the longest conversation.

    Yields:
        Position in `starts` and the trajectory, as episodes end.
    """
    waiting = list(reversed(range(len(starts))))
    running: list[RunningEpisode] = []
    while waiting or running:
        while waiting and len(running) < width and (refill or not running or running[-1].is_new):
            idx = waiting.pop()
            open_one = open_episode(idx, starts[idx], policy_name, limits)
            if isinstance(open_one, Trajectory):
                yield idx, open_one
            else:
                running.append(open_one)
        replies = ask(policy, [open_one.conversation for open_one in running])
        ended = [open_one for open_one, reply in zip(running, replies, strict=True) if not open_one.apply(reply)]
        running = [open_one for open_one in running if open_one not in ended]
        for open_one in ended:
            forget(policy, open_one.conversation.episode_idx)
            yield open_one.conversation.episode_idx, open_one.record()


def play_in_threads(
    policy: BatchPolicy,
    starts: Sequence[Start],
    width: int,
    *,
    policy_name: str = "",
    limits: EpisodeLimits | None = None,
) -> Iterator[tuple[int, Trajectory]]:
    """Play up to `width` episodes concurrently, each in its own thread; for policies that wait on a server.

    An exception in one thread stops the run as in `work_in_threads`; closing the policy's client ends waiting threads.

    Args:
        policy: Policy to play; called from several threads, with one conversation each.
        starts: Specifications of the episodes.
        width: Maximum number of open episodes.
        policy_name: Name recorded in the trajectories.
        limits: Limits of each episode besides its budget; `None` sets none.

    Yields:
        Position in `starts` and the trajectory, as episodes end.
    """

    def play(idx: int, stopping: Event) -> Trajectory | None:
        return _play_alone(policy, idx, starts[idx], policy_name, limits, stopping)

    return work_in_threads(play, range(len(starts)), width)


def _play_alone(
    policy: BatchPolicy, idx: int, start: Start, policy_name: str, limits: EpisodeLimits | None, stopping: Event
) -> Trajectory | None:
    """Play one episode; `None` if the run stopped before its end."""
    open_one = None if stopping.is_set() else open_episode(idx, start, policy_name, limits)
    if not isinstance(open_one, RunningEpisode):
        return open_one
    while not stopping.is_set():
        if not open_one.ask_and_apply(policy):
            forget(policy, idx)
            return open_one.record()
    return None
