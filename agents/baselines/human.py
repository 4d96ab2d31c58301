"""Human policy at a terminal, with a short line per action.

clip_retrieval red square
frame_zoom 05:20, 05:40
spatial_zoom 05:20, 0, 0, 0.5, 0.5
B
"""

from collections.abc import Callable, Sequence
from typing import get_args, get_origin

from vt_env.actions.parse import render_action
from vt_env.actions.read_answer import read_answer
from vt_env.tools.tool import Parameter, Tool
from vt_env.types import Answer, Item, Observation, ToolCall, parse_time


class HumanAgent:
    """Read lines until one is a valid call or option.

    Args:
        tools: Available tools.
        ask: Function that shows a prompt and returns a line, such as `input`; its exceptions end the episode.
    """

    def __init__(self, tools: Sequence[Tool], ask: Callable[[str], str]) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._ask = ask

    def reset(self, task: Item, observation: Observation) -> None:
        """Store the options."""
        self._options = task.options

    def act(self, observation: Observation) -> str:
        """Ask for the next action."""
        prompt = f"{observation.text}\n> "
        while True:
            line = self._ask(prompt).strip()
            name, _, rest = line.partition(" ")
            if name in self._tools:
                return render_action(ToolCall(name, read_arguments(self._tools[name], rest)))
            if read_answer(line, self._options).option_idx is not None:
                return render_action(Answer(line))
            calls = "\n".join(tool.line for tool in self._tools.values())
            prompt = f"Neither a call nor an option. Write an option or its letter, or one of\n{calls}\n> "


def read_arguments(tool: Tool, text: str) -> dict[str, object]:
    """Parse comma-separated arguments in the order of the tool's parameters; a list takes all remaining parts.

    An invalid value stays text, and the episode reports the error.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    arguments: dict[str, object] = {}
    for parameter in tool.parameters:
        if parts and get_origin(parameter.kind) is list:
            arguments[parameter.name] = [_value(get_args(parameter.kind)[0], part) for part in parts]
            parts = []
        elif parts:
            arguments[parameter.name] = _argument(parameter, parts.pop(0))
    return arguments


def _argument(parameter: Parameter, text: str) -> object:
    if parameter.is_time:
        time_s = parse_time(text)
        return text if time_s is None else time_s
    return _value(parameter.kind, text)


def _value(kind: type, text: str) -> object:
    if kind not in (int, float):
        return text
    try:
        return kind(text)
    except ValueError:
        return text
