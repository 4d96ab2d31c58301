"""Random policy: the lower baseline, which also covers every tool."""

from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

import numpy as np

from vt_env.actions.parse import render_action
from vt_env.tools.tool import REQUIRED, Parameter, Tool
from vt_env.types import Answer, Item, Observation, ToolCall


class RandomAgent:
    """Make a random number of valid calls without optional arguments, then answer a random option."""

    def __init__(self, rng: np.random.Generator, tools: Sequence[Tool]) -> None:
        """Create an agent.

        Args:
            rng: Random generator of all choices.
            tools: Tools to call.
        """
        self._rng = rng
        self._tools = tools

    def reset(self, task: Item, observation: Observation) -> None:
        """Draw the number of calls."""
        self._task = task
        self._calls = int(self._rng.integers(observation.remaining.calls + 1)) if self._tools else 0

    def act(self, observation: Observation) -> str:
        """Call a tool while calls are planned and frames are left, then answer."""
        if not self._calls or not observation.remaining.can_look:
            options = self._task.options
            return render_action(Answer(options[int(self._rng.integers(len(options)))]))
        self._calls -= 1
        tool = self._tools[int(self._rng.integers(len(self._tools)))]
        return render_action(ToolCall(tool.name, self._arguments(tool)))

    def _arguments(self, tool: Tool) -> dict[str, object]:
        arguments = {it.name: self._argument(it) for it in tool.parameters if it.default is REQUIRED}
        if "start_s" in arguments and "end_s" in arguments:
            start_s = self._second(0)
            arguments |= {"start_s": start_s, "end_s": self._second(start_s) + 1}
        return arguments

    def _argument(self, parameter: Parameter) -> object:
        if parameter.name == "box":
            (left, right), (top, bottom) = (self._edges(), self._edges())
            return [left, top, right, bottom]
        if parameter.is_time:
            return self._second(0)
        return self._value(parameter.kind)

    def _value(self, kind: Any) -> object:
        if get_origin(kind) is Literal:
            choices = get_args(kind)
            return choices[self._rng.integers(len(choices))]
        if get_origin(kind) is list:
            return [self._value(get_args(kind)[0])]
        if kind is str:
            words = self._task.question.split()
            return words[self._rng.integers(len(words))]
        return kind(self._rng.integers(2))

    def _edges(self) -> list[float]:
        """Draw two different fractions, the smaller one first."""
        return (np.sort(self._rng.choice(11, size=2, replace=False)) / 10).tolist()

    def _second(self, earliest_s: int) -> int:
        """Draw a whole second of the video, `earliest_s` or later."""
        return int(self._rng.integers(earliest_s, max(int(self._task.duration_s), earliest_s + 1)))
