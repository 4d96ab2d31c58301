"""Curricula: play one stage until it is mastered, then the next. Stages are budgets or kinds of tasks."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from vt_env.config import BudgetConfig
from vt_env.envs.base import base_env
from vt_env.envs.wrappers import StepResult
from vt_env.errors import ConfigError
from vt_env.types import Item

ElementT = TypeVar("ElementT")
StepT = TypeVar("StepT")


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
        self._base = base_env(env)
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
