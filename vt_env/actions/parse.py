"""Read replies into actions and write actions as text.

    optional thought
    <tool_call>
    {"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}
    </tool_call>

or `<answer>47</answer>`: the canonical form (`vt_env.actions.canonical`), the only one that is written. A reply holds
one or more calls, or one answer. The forms of models (`vt_env.actions.model_forms`) and of public video agents
(`vt_env.actions.dialects`) are read as well, and named in the action. Everything that looks for an action in a text
goes through `ActionReader`, so that training, evaluation, environments and replay take one text for one action. What
cannot be read is malformed and never taken for an answer, and neither is a call inside `<answer>`.
"""

import json
import math
import numbers
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from vt_env.actions.answer_tool import is_offered, parsed_answer
from vt_env.actions.canonical import call_beside_answer, read_canonical, too_many
from vt_env.actions.dialects import ANY_OPENING_TAG, CALL_NAMES, FRAME_ZOOM, read_tags, translate, zoom_tool_of
from vt_env.actions.model_forms import FIRST_MARK, IN_ANSWER, is_call, read_forms
from vt_env.actions.parsed_reply import ParsedAction, ParsedReply
from vt_env.actions.thoughts import after_thinking, is_unclosed
from vt_env.tools.tool import Tool
from vt_env.types import Action, Answer, Malformed, ToolCall, format_time, parse_time
from vt_env.valid_text import is_valid_text

_START = re.compile(f"{ANY_OPENING_TAG.pattern}|{FIRST_MARK.pattern}")
_BUILT_IN = (
    "clip_retrieval", "subtitle_retrieval", "subtitle_summary", "frame_zoom", "caption_zoom", "subtitle_zoom",
    "spatial_zoom",
)  # fmt: skip
_BUILT_IN_TEXTS = ("query",)
_IN_ANSWER = "a call stands inside the answer; write the call alone, or <answer>the option</answer>"
_UNCLOSED = "the thought does not end; write </think> before the call or the answer"
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
    texts: Mapping[str, Collection[str]] = field(default_factory=lambda: {})
    """Names of the arguments of each tool that are texts, which forms without quotes do not tell."""
    max_calls: int | None = None
    """Calls that a reply may hold, as `BudgetConfig.max_parallel_calls`; one with more is malformed. `None` sets no
    limit."""
    strict: bool = False
    """Take the canonical form with the names of the tools on offer alone; any other is malformed."""

    @staticmethod
    def for_tools(tools: Iterable[Tool], zoom_tool: str | None = None, max_calls: int | None = None) -> "ActionReader":
        """Make a reader from tools; `zoom_tool=None` takes the built-in zoom that is among them."""
        return replace(ActionReader.for_schemas([tool.schema for tool in tools], zoom_tool), max_calls=max_calls)

    @staticmethod
    def for_schemas(schemas: Iterable[Mapping[str, Any]], zoom_tool: str | None = None) -> "ActionReader":
        """Make a reader from JSON schemas of tools, as `vt_env.tools.tool.Tool.schema` writes them."""
        properties = {it["function"]["name"]: it["function"]["parameters"]["properties"] for it in schemas}
        offered = {name: frozenset(arguments) for name, arguments in properties.items()}
        texts = {
            name: frozenset(key for key, it in arguments.items() if it.get("type") == "string")
            for name, arguments in properties.items()
        }
        return ActionReader(offered, zoom_tool or zoom_tool_of(offered), texts)

    def read(self, text: str) -> ParsedReply:
        """Read a reply; never raises.

        The canonical form goes first; a text that it cannot read is read in the forms of models, then searched for the
        tags of other agents. Tags inside a thought do not count where one of either kind follows it; a reply that never
        ends its thought is malformed.
        """
        if is_unclosed(text):
            return ParsedReply(text, (ParsedAction(Malformed(text, _UNCLOSED), None),))
        start = after_thinking(text, _START)
        found = read_canonical(text, start, self.max_calls)
        if isinstance(found[0].action, Answer):
            found = self._checked_answer(text, found[0])
        elif isinstance(found[0].action, Malformed) and not self.strict and is_valid_text(text):
            found = self._read_others(text, start, found[0])
        if not self.strict:
            found = tuple(translate(text, it, self.tools, self.zoom_tool) for it in found)
        if is_offered(self.tools):
            found = tuple(parsed_answer(text, it) for it in found)
        return ParsedReply(text, self._as_group(text, found))

    def spelt(self, call: ToolCall) -> ToolCall:
        """Return a call that a library parsed, with the names of the tools on offer where another agent's are used."""
        if call.name in self.tools:
            return call
        action = translate("", ParsedAction(call, (0, 0)), self.tools, self.zoom_tool).action
        return action if isinstance(action, ToolCall) else call

    def _as_group(self, text: str, found: tuple[ParsedAction, ...]) -> tuple[ParsedAction, ...]:
        if len(found) == 1:
            return found
        actions = [it.action for it in found]
        unread = next((it for it in actions if isinstance(it, Malformed)), None)
        reason = reason_against_group(actions, self.max_calls) if unread is None else unread.reason
        return found if reason is None else (ParsedAction(Malformed(text, reason), None),)

    def _checked_answer(self, text: str, found: ParsedAction) -> tuple[ParsedAction, ...]:
        """Return an answer as it is, or the calls that stand in its place."""
        answer, span, names = found.action, found.span, self.tools or _BUILT_IN
        if not isinstance(answer, Answer) or span is None or not is_call(answer.text, names):
            return (found,)
        calls = None if self.strict else self._read_forms(answer.text, 0, has_tags=False)
        if calls is None or isinstance(calls[0].action, Malformed):
            return (ParsedAction(Malformed(text, _IN_ANSWER), None),)
        return tuple(_moved(it, span[0], answer.thought if number == 0 else "") for number, it in enumerate(calls))

    def _read_others(self, text: str, start: int, unread: ParsedAction) -> tuple[ParsedAction, ...]:
        has_tags = ANY_OPENING_TAG.search(text, start) is not None
        found = self._read_forms(text, start, has_tags=has_tags)
        return (read_tags(text, start, unread),) if found is None else found

    def _read_forms(self, text: str, start: int, *, has_tags: bool) -> tuple[ParsedAction, ...] | None:
        names = (*(self.tools or _BUILT_IN), *CALL_NAMES)
        return read_forms(text, start, names, self._texts_of, max_calls=self.max_calls, has_tags=has_tags)

    def _texts_of(self, tool: str) -> Collection[str]:
        return self.texts.get(tool, ()) if self.tools else _BUILT_IN_TEXTS


def _moved(found: ParsedAction, by: int, thought: str) -> ParsedAction:
    """Return a call that was read inside an answer as one of the whole reply."""
    if not isinstance(found.action, ToolCall) or found.span is None:
        return found
    call = replace(found.action, thought=thought, form=IN_ANSWER)
    return ParsedAction(call, (found.span[0] + by, found.span[1] + by))


def parse_action(text: str) -> Action:
    """Read the action of a reply with one action for the built-in tools; never raises. Several calls are malformed.

    `ActionReader` also reads several, tells where in the text each stands, and knows tools of other names.
    """
    return ActionReader(max_calls=1).read(text).action


def reason_against_group(actions: Sequence[Action], max_calls: int | None) -> str | None:
    """Say why actions may not stand in one reply; `None` where they may: one action, or calls up to a limit.

    Raises:
        ValueError: There is no action.
    """
    if not actions:
        raise ValueError("no action: need one or more")
    if len(actions) == 1:
        return None
    if any(isinstance(it, Answer) for it in actions):
        return str(call_beside_answer(max_calls))
    return str(too_many(max_calls)) if max_calls is not None and len(actions) > max_calls else None


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


def render_actions(actions: Iterable[Action]) -> str:
    """Write the actions of one reply, one behind the other, as `render_action` writes each."""
    return "\n".join(map(render_action, actions))


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
    """Return an action that can be recorded: a call that JSON cannot hold becomes malformed.

    Such calls (not-a-number, bytes, arrays, numbers beyond 64 bits) come from programs, not from text. NumPy's numbers
    become Python's, and tuples lists; any other action is unchanged.
    """
    if not isinstance(action, ToolCall):
        return action
    plain = {name: _plain(value) for name, value in action.arguments.items()}
    if all(map(_is_written, plain, plain.values())):
        return action if _has_kinds_of(action.arguments, plain) else replace(action, arguments=plain)
    shown = str(dict(action.arguments))[:_SHOWN_CHARS]
    return read_canonical(f"<tool_call>\n{action.name}({shown})\n</tool_call>")[0].action


def _write(name: str, value: object) -> object:
    if not name.endswith("_s") or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if not math.isfinite(value):
        return value
    mark = format_time(value)
    return mark if parse_time(mark) == value else value


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(it) for it in cast("Sequence[object]", value)]
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return str(value) if isinstance(value, str) else value


def _has_kinds_of(given: Mapping[str, object], plain: Mapping[str, object]) -> bool:
    def kinds(value: object) -> object:
        return (type(value), *map(kinds, cast("list[object]", value))) if isinstance(value, list) else type(value)

    return all(kinds(given[name]) == kinds(value) for name, value in plain.items())


def _is_written(name: object, value: object) -> bool:
    parts = cast("list[object]", value) if isinstance(value, list) else [value]
    return isinstance(name, str) and all(map(_is_plain, parts))


def _is_plain(part: object) -> bool:
    if isinstance(part, float):
        return math.isfinite(part)
    if isinstance(part, int):
        return -(2**63) <= part < 2**63
    return part is None or isinstance(part, str)
