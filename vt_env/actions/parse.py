"""Read replies into actions and write actions as text.

    optional thought
    <tool_call>
    {"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}
    </tool_call>

or `<answer>47</answer>`: the canonical form (`vt_env.actions.canonical`), the only one that is written. The forms of
public video agents (`vt_env.actions.dialects`) are read as well. Everything that looks for an action in a text goes
through `ActionReader`, so that training, evaluation, environments and replay take one text for one action. What cannot
be read is malformed and never taken for an answer.
"""

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from vt_env.actions.canonical import read_canonical
from vt_env.actions.dialects import ANY_OPENING_TAG, FRAME_ZOOM, read_tags, translate, zoom_tool_of
from vt_env.actions.parsed_reply import ParsedReply
from vt_env.actions.thoughts import after_thinking
from vt_env.tools.tool import Tool
from vt_env.types import Action, Answer, Malformed, ToolCall, format_time, parse_time

_SHOWN_CHARS = 200
"""What is kept of arguments that cannot be written."""


@dataclass(frozen=True, slots=True)
class ActionReader:
    """Reads replies of a policy to which certain tools are offered.

    The names of the tools decide how the calls of other agents are translated. Without any, the built-in tools are
    assumed.
    """

    tools: Mapping[str, Collection[str]] = field(default_factory=lambda: {})
    """Names of the arguments of each tool on offer. These names are never translated."""
    zoom_tool: str = FRAME_ZOOM
    """Tool that looks at an interval."""

    @staticmethod
    def for_tools(tools: Iterable[Tool], zoom_tool: str | None = None) -> "ActionReader":
        """Make a reader from tools; `zoom_tool=None` takes the built-in zoom that is among them."""
        offered = {tool.name: frozenset(it.name for it in tool.parameters) for tool in tools}
        return ActionReader(offered, zoom_tool or zoom_tool_of(offered))

    @staticmethod
    def for_schemas(schemas: Iterable[Mapping[str, Any]]) -> "ActionReader":
        """Make a reader from JSON schemas of tools, as `vt_env.tools.tool.Tool.schema` writes them."""
        functions = [schema["function"] for schema in schemas]
        offered = {it["name"]: frozenset(it["parameters"]["properties"]) for it in functions}
        return ActionReader(offered, zoom_tool_of(offered))

    def read(self, text: str) -> ParsedReply:
        """Read a reply; never raises.

        The canonical form goes first; a text that it cannot read is searched for the tags of other agents. Tags inside
        a thought do not count where one of either kind follows it.
        """
        start = after_thinking(text, ANY_OPENING_TAG)
        found = read_canonical(text, start)
        if isinstance(found.action, Malformed):
            found = read_tags(text, start, found)
        return ParsedReply(text, (translate(text, found, self.tools, self.zoom_tool),))


def parse_action(text: str) -> Action:
    """Read the action of a reply for the built-in tools; never raises.

    `ActionReader` also tells where in the text it stands, and knows tools of other names.
    """
    return ActionReader().read(text).action


def render_action(action: Action) -> str:
    """Write an action as the text that `parse_action` reads back into an equal one.

    Times are written as `mm:ss` where that is exact and as numbers elsewhere.

    Raises:
        ValueError: An argument is not finite.
        TypeError: An argument is not JSON.
    """
    if isinstance(action, Malformed):
        return action.text
    thought = f"{action.thought}\n" if action.thought else ""
    if isinstance(action, Answer):
        return f"{thought}<answer>{action.text}</answer>"
    return f"{thought}<tool_call>\n{render_call(action)}\n</tool_call>"


def render_call(call: ToolCall) -> str:
    """Write the JSON of a call, without tags and thought.

    Raises:
        ValueError: An argument is not finite.
        TypeError: An argument is not JSON.
    """
    row = {"name": call.name, "arguments": {name: _write(name, it) for name, it in call.arguments.items()}}
    # Other parsers look for the closing tag first; an escaped "<" hides one inside a query from them.
    return json.dumps(row, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def as_written(action: Action) -> Action:
    """Return an action that can be recorded: a call that JSON cannot hold becomes malformed, any other is unchanged.

    Such calls (not-a-number, bytes, arrays) come from programs, not from text.
    """
    if not isinstance(action, ToolCall) or all(map(_is_written, action.arguments, action.arguments.values())):
        return action
    shown = str(dict(action.arguments))[:_SHOWN_CHARS]
    return read_canonical(f"<tool_call>\n{action.name}({shown})\n</tool_call>").action


def _write(name: str, value: object) -> object:
    if not name.endswith("_s") or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if not math.isfinite(value):
        return value
    mark = format_time(value)
    return mark if parse_time(mark) == value else value


def _is_written(name: object, value: object) -> bool:
    parts = cast("list[object]", value) if isinstance(value, list | tuple) else [value]
    return isinstance(name, str) and all(
        math.isfinite(it) if isinstance(it, float) else it is None or isinstance(it, str | int) for it in parts
    )
