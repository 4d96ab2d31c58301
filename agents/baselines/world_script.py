"""A script that plays the embedded world from the text it is shown, captions and subtitles, and from nothing else.

It writes the demonstrations that a tiny model learns from. What it does for each kind of question is in
`agents.baselines.world_plays`; here is what all kinds have in common: the choice of the script, and the guess where it
ends.
"""

import numpy as np

from agents.baselines.world_plays import Play, Scripts
from vt_env.actions.parse import render_action
from vt_env.types import Answer, Item, Observation, ToolCall


class ScriptedAgent:
    """Looks for the answer with the tools that the question calls for; guesses where it finds none."""

    def __init__(self, rng: np.random.Generator, persistence: float = 1.0) -> None:
        """Make an agent whose every choice is drawn from `rng`.

        Args:
            rng: Decides when to give up, and every guess.
            persistence: Chance to go on after a wrong candidate; otherwise the script gives up and guesses.

        Raises:
            ValueError: `persistence` lies outside `[0, 1]`.
        """
        if not 0 <= persistence <= 1:
            raise ValueError(f"persistence={persistence}: need a chance in [0, 1]")
        self._rng = rng
        self._persistence = persistence

    def reset(self, task: Item, observation: Observation) -> None:
        """Choose the script for the question; a question of no known form is guessed at once."""
        self._scripts = Scripts(task.options, lambda: self._rng.random() < self._persistence)
        self._play: Play = self._scripts.play(task.question)
        self._started = False

    def act(self, observation: Observation) -> str:
        """Write the script's next action, or a guess once the budget or the script is at its end."""
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
        return self._scripts.take(option) if len(possible) == 1 else self._scripts.name(option)
