"""Scripted agent for the generated worlds; reads captions, or views of the second world, and subtitles only.

Its episodes are the demonstrations for the tiny model. The scripts of the question kinds are in
`agents.baselines.world_plays` and `agents.baselines.world2_plays`; this module selects the script and guesses when the
script ends without an answer.
"""

import numpy as np

from agents.baselines.world2_plays import World2Scripts
from agents.baselines.world_plays import Play
from vt_env.actions.parse import render_action
from vt_env.types import Answer, Item, Observation, ToolCall


class ScriptedAgent:
    """Search for the answer with a script per kind of question; guess if the search fails."""

    def __init__(self, rng: np.random.Generator, persistence: float = 1.0) -> None:
        """Create an agent.

        Args:
            rng: Random generator for giving up and for guesses.
            persistence: Probability in `[0, 1]` to continue after a wrong candidate; otherwise the script gives up.

        Raises:
            ValueError: `persistence` lies outside `[0, 1]`.
        """
        if not 0 <= persistence <= 1:
            raise ValueError(f"persistence={persistence}: need a probability in [0, 1]")
        self._rng = rng
        self._persistence = persistence

    def reset(self, task: Item, observation: Observation) -> None:
        """Select the script for the question; a question of unknown form is guessed at once."""
        self._scripts = World2Scripts(task.options, lambda: self._rng.random() < self._persistence)
        self._play: Play = self._scripts.play(task.question)
        self._started = False

    def act(self, observation: Observation) -> str:
        """Write the next action of the script, or a guess at the end of the script or the budget."""
        try:
            action = self._play.send(observation) if self._started else next(self._play)
        except StopIteration:
            action = self._guess()
        self._started = True
        if isinstance(action, ToolCall) and not observation.remaining.calls:
            action = self._guess()
        return render_action(action)

    def _guess(self) -> Answer:
        possible = self._scripts.possible
        option = possible[int(self._rng.integers(len(possible)))]
        return self._scripts.answer_option(option) if len(possible) == 1 else self._scripts.answer_letter(option)
