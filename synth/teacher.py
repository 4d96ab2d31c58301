"""Teachers write the demonstrations. A teacher is handed the public half of a task and sees what tools return.

It never sees the answer key: which of its attempts were right is decided afterwards, by `synth.filters`.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from agents.base import Agent
from agents.scripted import ScriptedAgent
from vt_env.types import Item


class Teacher(Protocol):
    """Makes an agent for each attempt at a task."""

    @property
    def name(self) -> str:
        """Name kept in trajectories and on the data card; names every setting that changes what is written."""
        ...

    def agent(self, item: Item, sample: int, rng: np.random.Generator) -> Agent:
        """Make the agent of one attempt.

        Args:
            item: The public half of the task.
            sample: Which attempt at the task it is, from 0.
            rng: All randomness of this attempt.
        """
        ...


@dataclass(frozen=True)
class ScriptedTeacher:
    """The script for the embedded world; needs no model."""

    persistence: float = 0.8
    """Chance to go on after a wrong candidate. Below 1, so that attempts at the same question differ."""

    @property
    def name(self) -> str:
        """Name with the persistence."""
        return f"scripted-{self.persistence:g}"

    def agent(self, item: Item, sample: int, rng: np.random.Generator) -> Agent:
        """Make a scripted agent; it reads the question from its first observation."""
        return ScriptedAgent(rng, self.persistence)
