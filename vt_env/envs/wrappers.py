"""Wrappers for all environments of this package: records, statistics, and curricula of budgets and of tasks.

Gymnasium's own work as well: `RecordVideo` films the storyboard of `render_mode="rgb_array"` (it needs moviepy; the
extra `dev` has it), `RecordEpisodeStatistics` keeps returns and lengths, `TimeLimit` ends episodes early.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from vt_env.actions.parse import render_action
from vt_env.config import BudgetConfig
from vt_env.envs.base import EpisodeEnv
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import record_episode
from vt_env.errors import ConfigError, DataError
from vt_env.types import Item

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
        self._base = _base(env)
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
        self._texts.append(action if isinstance(action, str) else render_action(_episode(self._base).turns[-1].action))
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
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{record.to_json()}\n")


class EpisodeStatistics(gym.Wrapper[ElementT, StepT, ElementT, StepT], RecordConstructorArgs):
    """Adds `info["statistics"]` at the end of an episode: what it spent and how.

    | key | meaning |
    |---|---|
    | `calls`, `failed_calls` | calls that were paid for, and those that were malformed, refused or over budget |
    | `frames` | frames shown, those with the question included |
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
        self._base = _base(env)

    def step(self, action: StepT) -> StepResult[ElementT]:
        """Apply one action and sum up the episode where it ends."""
        element, reward, terminated, truncated, info = super().step(action)
        if terminated or truncated:
            info["statistics"] = self._summed_up()
        return element, float(reward), terminated, truncated, info

    def _summed_up(self) -> dict[str, Any]:
        record = record_episode(_episode(self._base))
        names = [turn.call.name for turn in record.turns if turn.call is not None]
        viewed_s, until_s = 0.0, 0.0
        for interval in sorted(record.viewed):
            viewed_s += max(0.0, interval.end_s - max(interval.start_s, until_s))
            until_s = max(until_s, interval.end_s)
        return {
            "calls": record.calls,
            "failed_calls": sum(turn.error is not None for turn in record.turns[: record.calls]),
            "frames": len(record.frames),
            "viewed_s": viewed_s,
            "viewed_share": min(1.0, viewed_s / _episode(self._base).video.duration_s),
            "calls_by_tool": {tool.name: names.count(tool.name) for tool in self._base.tools},
        }


class Curriculum(gym.Wrapper[ElementT, StepT, ElementT, StepT]):
    """Plays one stage until it is mastered, then the next; the last one stays. What a stage is, subclasses say.

    A stage counts as mastered once the share of right answers among the latest `window` episodes of it is `promote_at`
    or more; a task without an answer key and an episode that is cut off count as wrong. Our choice; the paper trains
    without a curriculum.
    """

    def __init__(self, env: gym.Env[ElementT, StepT], stages: int, promote_at: float, window: int) -> None:
        """Wrap an environment of this package.

        Args:
            env: The environment.
            stages: How many stages there are.
            promote_at: Share of right answers above 0 and up to 1.
            window: Episodes that are counted.

        Raises:
            ConfigError: It is not an environment of this package, or an argument is not allowed.
        """
        super().__init__(env)
        if not stages or not 0 < promote_at <= 1 or window < 1:
            got = f"stages={stages}, promote_at={promote_at}, window={window}"
            raise ConfigError(f"{got}: need a stage or more, a share above 0 and up to 1, an episode or more")
        self._base = _base(env)
        self.stage = 0
        """Position of the stage that the next episode is of."""
        self._stages, self._promote_at = stages, promote_at
        self._right: deque[bool] = deque(maxlen=window)

    def step(self, action: StepT) -> StepResult[ElementT]:
        """Apply one action; where the episode ends, count it."""
        element, reward, terminated, truncated, info = super().step(action)
        if terminated or truncated:
            # A cut from outside leaves no verdict.
            self._count(bool(info.get("correct")))
        return element, float(reward), terminated, truncated, info

    def _count(self, right: bool) -> None:
        self._right.append(right)
        is_full = len(self._right) == self._right.maxlen
        if is_full and sum(self._right) >= self._promote_at * len(self._right) and self.stage < self._stages - 1:
            self.stage += 1
            self._right.clear()


class BudgetCurriculum(Curriculum[ElementT, StepT], RecordConstructorArgs):
    """Plays under one budget until it is mastered, then under the next; the last one stays.

    `info["budget_stage"]` counts from 0.
    """

    def __init__(
        self,
        env: gym.Env[ElementT, StepT],
        budgets: Sequence[str | BudgetConfig],
        promote_at: float = 0.8,
        window: int = 100,
    ) -> None:
        """Wrap an environment of this package.

        Args:
            env: The environment; its own budget is the largest that can be chosen.
            budgets: Presets or configs, in the order in which they are played.
            promote_at: As `Curriculum`.
            window: As `Curriculum`.

        Raises:
            ConfigError: As `Curriculum`, there is no such budget, or it is larger than the environment's own.
        """
        RecordConstructorArgs.__init__(self, budgets=budgets, promote_at=promote_at, window=window)
        super().__init__(env, len(budgets), promote_at, window)
        self._budgets = [self._base.choose_budget(budget) for budget in budgets]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ElementT, dict[str, Any]]:
        """Begin an episode under the budget of this stage; a budget in `options` goes first."""
        self._played = self.stage
        element, info = super().reset(seed=seed, options={"budget": self._budgets[self.stage], **(options or {})})
        return element, info | {"budget_stage": self._played}

    def step(self, action: StepT) -> StepResult[ElementT]:
        """Apply one action."""
        element, reward, terminated, truncated, info = super().step(action)
        return element, reward, terminated, truncated, info | {"budget_stage": self._played}


class TaskCurriculum(Curriculum[ElementT, StepT], RecordConstructorArgs):
    """Asks one kind of task until it is mastered, then the next; the last one stays.

        TaskCurriculum(env, [lambda item: item.family == "subtitle", lambda item: True])

    `info["task_stage"]` counts from 0.
    """

    def __init__(
        self,
        env: gym.Env[ElementT, StepT],
        kinds: Sequence[Callable[[Item], bool]],
        promote_at: float = 0.8,
        window: int = 100,
    ) -> None:
        """Wrap an environment of this package.

        Args:
            env: The environment, with the tasks of all stages.
            kinds: Which of its tasks each stage asks, in the order in which they are played.
            promote_at: As `Curriculum`.
            window: As `Curriculum`.

        Raises:
            ConfigError: As `Curriculum`, or a stage has no task.
        """
        RecordConstructorArgs.__init__(self, kinds=kinds, promote_at=promote_at, window=window)
        super().__init__(env, len(kinds), promote_at, window)
        self._rng = np.random.default_rng()
        self._ids = [[task.item.task_id for task in self._base.tasks.filter(kind)] for kind in kinds]
        if not all(self._ids):
            empty = next(stage for stage, ids in enumerate(self._ids) if not ids)
            raise ConfigError(f"kinds[{empty}]: none of the {len(self._base.tasks)} tasks is of it; need one or more")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ElementT, dict[str, Any]]:
        """Begin an episode about a random task of this stage; a `task_id` in `options` goes first.

        Args:
            seed: Chooses the task, and the tasks of all resets without a seed that follow.
            options: As of the environment.
        """
        self._played = self.stage
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        ids = self._ids[self.stage]
        chosen = {"task_id": ids[int(self._rng.integers(len(ids)))], **(options or {})}
        element, info = super().reset(seed=seed, options=chosen)
        return element, info | {"task_stage": self._played}

    def step(self, action: StepT) -> StepResult[ElementT]:
        """Apply one action."""
        element, reward, terminated, truncated, info = super().step(action)
        return element, reward, terminated, truncated, info | {"task_stage": self._played}


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


def _base(env: gym.Env[Any, Any]) -> EpisodeEnv[Any, Any]:
    base = env.unwrapped
    if not isinstance(base, EpisodeEnv):
        raise ConfigError(f"env {type(base).__name__}: need an environment of vt_env")
    return base


def _episode(env: EpisodeEnv[Any, Any]) -> Episode:
    assert env.episode is not None, "a wrapper looks at an episode only after a reset"
    return env.episode
