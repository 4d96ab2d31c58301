"""Wrappers for all environments of this package: trajectories and statistics. Curricula: `vt_env.envs.curricula`.

Gymnasium's own work as well: `RecordVideo` films the storyboard of `render_mode="rgb_array"` (it needs moviepy; the
extra `dev` has it), `RecordEpisodeStatistics` keeps returns and lengths, `TimeLimit` ends episodes early.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from vt_env.actions.parse import render_action
from vt_env.envs.base import EpisodeEnv, base_env
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import record_episode
from vt_env.errors import ConfigError, DataError
from vt_env.intervals import length_s
from vt_env.jsonl import append_line

ElementT = TypeVar("ElementT")
StepT = TypeVar("StepT")
StepResult = tuple[ElementT, float, bool, bool, dict[str, Any]]


class RecordTrajectories(gym.Wrapper[ElementT, StepT, ElementT, StepT], RecordConstructorArgs):
    """Appends the record of every episode to a JSONL file, which `vt_env.read_trajectories` reads.

    A line is written and flushed when an episode ends, when its video fails, and when a reset or `close` breaks it off
    after an action or more. Give each environment of a vector a file of its own.
    """

    def __init__(
        self, env: gym.Env[ElementT, StepT], path: str | Path, policy: str = "", seed: int | None = None
    ) -> None:
        """Wrap an environment of this package.

        Args:
            env: The environment; other wrappers may lie between.
            path: The file; an existing one is continued.
            policy: Name of the policy; kept in the records.
            seed: Seed of the policy; kept in the records.

        Raises:
            ConfigError: It is not an environment of this package.
        """
        RecordConstructorArgs.__init__(self, path=path, policy=policy, seed=seed)
        super().__init__(env)
        self._base = base_env(env)
        self._path, self._policy, self._seed = Path(path), policy, seed
        self._texts: list[str] = []
        self._is_open = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ElementT, dict[str, Any]]:
        """Record an episode that is broken off, and begin another one."""
        self._write()
        result = super().reset(seed=seed, options=options)
        self._texts, self._is_open = [], True
        return result

    def step(self, action: StepT) -> StepResult[ElementT]:
        """Apply one action and record the episode where it ends.

        Raises:
            DataError: The video cannot be read; the episode is recorded as invalid.
        """
        try:
            element, reward, terminated, truncated, info = super().step(action)
        except DataError:
            self._write()
            raise
        # What a language model wrote is kept as it is; everything else is written in its place.
        turn = _episode(self._base).turns[-1]
        self._texts.append(action if isinstance(action, str) else render_action(turn.action))
        if terminated or truncated:
            self._write()
        return element, float(reward), terminated, truncated, info

    def close(self) -> None:
        """Record an episode that is broken off."""
        self._write()
        super().close()

    def _write(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        episode = _episode(self._base)
        if not episode.turns and episode.invalid is None:
            return
        record = record_episode(episode, self._texts, policy=self._policy, seed=self._seed)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        append_line(self._path, record.to_json())


class EpisodeStatistics(gym.Wrapper[ElementT, StepT, ElementT, StepT], RecordConstructorArgs):
    """Adds `info["statistics"]` at the end of an episode: calls, frames, image tokens and failures.

    | key | meaning |
    |---|---|
    | `calls`, `failed_calls` | calls that were paid for, and those that were malformed, refused or over budget |
    | `frames` | frames shown, those with the question included |
    | `image_tokens` | image tokens of these frames |
    | `viewed_s` | seconds of the video that tools showed, each second once |
    | `viewed_share` | the same as a share of the video |
    | `calls_by_tool` | number of calls of each tool on offer |
    """

    def __init__(self, env: gym.Env[ElementT, StepT]) -> None:
        """Wrap an environment of this package.

        Raises:
            ConfigError: It is not an environment of this package.
        """
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._base = base_env(env)

    def step(self, action: StepT) -> StepResult[ElementT]:
        """Apply one action and sum up the episode where it ends."""
        element, reward, terminated, truncated, info = super().step(action)
        if terminated or truncated:
            info["statistics"] = self._summed_up()
        return element, float(reward), terminated, truncated, info

    def _summed_up(self) -> dict[str, Any]:
        record = record_episode(_episode(self._base))
        names = [turn.call.name for turn in record.turns if turn.call is not None]
        viewed_s = length_s(record.viewed)
        return {
            "calls": record.calls,
            "failed_calls": sum(turn.error is not None for turn in record.paid_turns),
            "frames": len(record.frames),
            "image_tokens": record.image_tokens,
            "viewed_s": viewed_s,
            "viewed_share": min(1.0, viewed_s / _episode(self._base).video.duration_s),
            "calls_by_tool": {tool.name: names.count(tool.name) for tool in self._base.tools},
        }


def reset_groups(
    envs: VectorEnv[Any, Any, Any], task_ids: Sequence[str], *, seed: int | None = None
) -> tuple[Any, dict[str, Any]]:
    """Begin an episode in every environment of a vector, the members of a group all about the same task.

    The environments are split into as many groups of neighbours as there are ids, as GRPO compares them.

    Args:
        envs: A `SyncVectorEnv` or `AsyncVectorEnv` of this package's environments.
        task_ids: One a group; their number divides the number of environments.
        seed: Seeds the tasks that automatic resets draw later, the same within a group, so that its members go on to
            meet the same tasks in the same order.

    Returns:
        Observations and information as of `envs.reset`.

    Raises:
        ConfigError: The number of ids does not divide the number of environments, or there is no such task.
    """
    if not task_ids or envs.num_envs % len(task_ids):
        raise ConfigError(
            f"task_ids: {len(task_ids)} for {envs.num_envs} environments; need a number that divides them evenly"
        )
    size = envs.num_envs // len(task_ids)
    groups = np.repeat(np.arange(len(task_ids)), size)
    seeds = (
        None if seed is None else [int(state) for state in np.random.SeedSequence(seed).generate_state(len(task_ids))]
    )
    per_env = None if seeds is None else [seeds[group] for group in groups]
    # The first reset is of all, since a vector holds no observation that a partial one could leave as it is.
    observations, infos = envs.reset(seed=cast("Any", per_env), options={"task_id": task_ids[0]})
    for group, task_id in enumerate(task_ids[1:], start=1):
        observations, of_group = envs.reset(options={"task_id": task_id, "reset_mask": groups == group})
        infos = _merged(infos, of_group, groups == group)
    return observations, infos


def _merged(infos: Mapping[str, Any], newer: Mapping[str, Any], where: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Take the values of `newer` for the environments in `where`; both hold an array a key."""
    merged = dict(infos)
    for key, values in newer.items():
        rows = where.reshape(-1, *[1] * (np.ndim(values) - 1))
        merged[key] = np.where(rows, values, infos[key]) if key in infos else values
    return merged


def _episode(env: EpisodeEnv[Any, Any]) -> Episode:
    assert env.episode is not None, "a wrapper looks at an episode only after a reset"
    return env.episode
