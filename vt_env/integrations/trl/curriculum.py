"""Curriculum over difficulty by the policy's own success rate: which questions a step of GRPO takes.

Each question has a weight by its success rate p, the share of right answers among its latest rollouts; one that was not
played yet counts as p = 1/2. Without a rule all questions have the same weight; dynamic sampling draws them so.

| rule | weight | source |
|---|---|---|
| learnability | p (1 - p), the variance of the outcome | arXiv 2502.12272 (SFL for language models) |
| prioritized | 1 - p | Kimi k1.5, arXiv 2501.12599, prioritized sampling |

A share `explore` of the draws is uniform, so that rates of questions without weight are renewed as the policy changes;
the window and this share are our choice. Success is the right answer, whatever the rewards pay. Draws depend on the
seed, the step and what was played before, so a run that is resumed with its state goes on as it would have.
"""

import json
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vt_env.config import at_least
from vt_env.errors import ConfigError
from vt_env.integrations.trl.checked_trainer import TrainingStopped

CurriculumRule = Literal["learnability", "prioritized"]
STATE_FILE = "curriculum.json"
"""State of a curriculum in a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class CurriculumConfig:
    """Settings of a curriculum."""

    rule: CurriculumRule = "learnability"
    """Weight of a question; see the table of this module."""
    window: int = 16
    """Latest rollouts of a question that its success rate is taken over."""
    explore: float = 0.1
    """Share of the questions of a step that are drawn from all with equal chances."""

    def __post_init__(self) -> None:
        if self.rule not in ("learnability", "prioritized"):
            raise ConfigError(f"curriculum={self.rule!r}: allowed are 'learnability' and 'prioritized'")
        at_least(self, "window", 1)
        if not 0 <= self.explore < 1:
            raise ConfigError(f"explore={self.explore}: need a share of 0 or more and below 1")


class Curriculum:
    """Success rates of questions, and draws by them.

    Args:
        task_ids: All questions.
        config: Rule, window and share of uniform draws; `None` draws all questions with equal chances.
        seed: Seed of the draws.

    Raises:
        ConfigError: There is no question.
    """

    def __init__(self, task_ids: Iterable[str], config: CurriculumConfig | None, seed: int) -> None:
        self._rule, self._explore = (None, 0.0) if config is None else (config.rule, config.explore)
        self._window = 1 if config is None else config.window
        self._seed = seed
        self._outcomes: dict[str, deque[bool]] = {it: deque(maxlen=self._window) for it in task_ids}
        if not self._outcomes:
            raise ConfigError("curriculum: no question; need one or more")

    def count(self, outcomes: Iterable[tuple[str, bool]]) -> None:
        """Count rollouts: the question and whether the answer was right."""
        for task_id, is_right in outcomes:
            self._outcomes[task_id].append(is_right)

    def success_rate(self, task_id: str) -> float | None:
        """Return the share of right answers among the latest rollouts of a question; `None` before the first."""
        own = self._outcomes[task_id]
        return sum(own) / len(own) if own else None

    def draw(self, count: int, step: int, draw: int = 0, without: Sequence[str] = ()) -> list[str]:
        """Draw questions, each once while there are enough.

        Args:
            count: How many.
            step: Optimiser steps done.
            draw: Number of the draw within the step.
            without: Questions that are not drawn while there are others.

        Raises:
            TrainingStopped: No question has a weight.
        """
        weights = self._weights()
        if not weights.any():
            raise TrainingStopped(self._nothing_left(step))
        rng = np.random.default_rng([self._seed, step, draw])
        chances = self._explore / len(weights) + (1 - self._explore) * weights / weights.sum()
        task_ids, taken = list(self._outcomes), set(without)
        drawn: list[str] = []
        while len(drawn) < count:
            open_places = [place for place, it in enumerate(task_ids) if it not in taken]
            if not open_places:
                taken = set[str]()
                continue
            places = _draw_places(rng, chances[open_places], min(count - len(drawn), len(open_places)))
            new = [task_ids[open_places[place]] for place in places]
            drawn += new
            taken.update(new)
        return drawn

    def save(self, folder: Path) -> None:
        """Write the state into a checkpoint's folder, which is made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / STATE_FILE).write_text(json.dumps({name: list(own) for name, own in self._outcomes.items() if own}))

    def load(self, folder: Path) -> None:
        """Read the state from a checkpoint's folder.

        Raises:
            ConfigError: The checkpoint has none, or it is about other questions.
        """
        path = folder / STATE_FILE
        if not path.is_file():
            raise ConfigError(f"{folder}: no {STATE_FILE}; it was saved without a curriculum: give another --out")
        state: dict[str, list[bool]] = json.loads(path.read_text())
        other = sorted(set(state) - set(self._outcomes))
        if other:
            raise ConfigError(f"{path}: {other[0]!r} is no question of this run; give another --out")
        for task_id, own in self._outcomes.items():
            own.clear()
            own.extend(state.get(task_id, ()))

    def _weights(self) -> NDArray[np.float64]:
        if self._rule is None:
            return np.ones(len(self._outcomes))
        rates = np.array([0.5 if (it := self.success_rate(name)) is None else it for name in self._outcomes])
        return rates * (1 - rates) if self._rule == "learnability" else 1 - rates

    def _nothing_left(self, step: int) -> str:
        right = sum(self.success_rate(it) == 1 for it in self._outcomes)
        wrong = len(self._outcomes) - right
        return (
            f"step {step}: curriculum={self._rule} has nothing left: of {len(self._outcomes)} questions {right} "
            f"were right and {wrong} wrong in each of their latest rollouts (at most {self._window}); take other "
            "tasks, a higher temperature or no curriculum"
        )


def _draw_places(rng: np.random.Generator, chances: NDArray[np.float64], count: int) -> list[int]:
    """Draw different places by their chances, and by equal chances once those with any are used up."""
    likely = int(np.count_nonzero(chances))
    first = rng.choice(len(chances), min(count, likely), replace=False, p=chances / chances.sum()) if likely else []
    drawn = [int(it) for it in first]
    rest = np.setdiff1d(np.arange(len(chances)), drawn)
    return drawn + [int(it) for it in rng.choice(rest, count - len(drawn), replace=False)]
