"""Between the text a model writes and an action: `parse_action` reads it, `render_action` writes it.

    optional thought
    <tool_call>
    {"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}
    </tool_call>

or `<answer>47</answer>`. One text holds one action: two calls, or a call and an answer, are malformed, and so is text
with neither; what cannot be read is never taken for an answer. Tags inside `<think>...</think>` do not count. Knows the
form of calls, not which tools exist.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast

from vt_env.types import Action, Answer, Malformed, ToolCall, format_time, parse_time

_OPENING_TAG = re.compile(r"<(tool_call|answer)>")
_THOUGHT_END = "</think>"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ -]*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_SHOWN_CHARS = 200
"""What is kept of arguments that cannot be written."""
_FORM = '<tool_call>{"name": ..., "arguments": {...}}</tool_call> or <answer>the option</answer>'


class _Unreadable(Exception):
    """Why a text is malformed; never leaves this module."""


def parse_action(text: str) -> Action:
    """Read one action from what a model wrote; never raises.

    A call whose closing tag is missing is accepted if its JSON is complete, since generation often stops there. An
    answer without its closing tag is malformed, since it may have been cut. Times (arguments whose names end in `_s`)
    are read into seconds; values are not checked any further.
    """
    try:
        return _parse(text)
    except _Unreadable as reason:
        return Malformed(text, str(reason))


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
    call = {"name": action.name, "arguments": {name: _write(name, it) for name, it in action.arguments.items()}}
    # Other parsers look for the closing tag first; an escaped "<" hides one inside a query from them.
    text = json.dumps(call, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return f"{thought}<tool_call>\n{text}\n</tool_call>"


def as_written(action: Action) -> Action:
    """Return the action, or what a text of it is read as where it is a call that no JSON holds: malformed.

    Not a number, bytes, arrays: so whatever is played can be recorded and read back, whichever door it came through.
    """
    if not isinstance(action, ToolCall) or all(map(_is_written, action.arguments, action.arguments.values())):
        return action
    return parse_action(f"<tool_call>\n{action.name}({str(dict(action.arguments))[:_SHOWN_CHARS]})\n</tool_call>")


def normalise_name(name: str) -> str:
    """Spell a tool's name as the tools do: `Clip_Retrieval` and `ClipRetrieval` become `clip_retrieval`."""
    return re.sub(r"[ -]", "_", _HUMP.sub("_", name.strip())).lower()


def after_thinking(text: str, tag: re.Pattern[str]) -> int:
    """Return where to look for the action: behind the last `</think>` before one, else at the start.

    What a model thinks about a tag is no tag.
    """
    start = text.rfind(_THOUGHT_END) + len(_THOUGHT_END)
    return start if start >= len(_THOUGHT_END) and tag.search(text, start) else 0


def _parse(text: str) -> Action:
    if _SURROGATE.search(text):
        raise _Unreadable("the text is not valid Unicode")
    opening = _OPENING_TAG.search(text, after_thinking(text, _OPENING_TAG))
    if opening is None:
        raise _Unreadable(f"neither a call nor an answer; write {_FORM}")
    thought, body = text[: opening.start()].strip(), text[opening.end() :]
    return _parse_call(body, thought) if opening.group(1) == "tool_call" else _parse_answer(body, thought)


def _parse_answer(body: str, thought: str) -> Answer:
    answer, closed, rest = body.partition("</answer>")
    _check_alone(answer + rest)
    if not closed:
        raise _Unreadable("the answer does not end; write <answer>the option</answer>")
    if not answer.strip():
        raise _Unreadable("the answer is empty; write <answer>the option</answer>")
    return Answer(answer.strip(), thought)


def _parse_call(body: str, thought: str) -> ToolCall:
    body = body.lstrip()
    try:
        call, end = _DECODER.raw_decode(body)
    except (ValueError, RecursionError):
        raise _Unreadable('the call is not JSON; write {"name": ..., "arguments": {...}}') from None
    rest = body[end:].strip()
    if rest and not rest.startswith("</tool_call>"):
        raise _Unreadable("there is text after the JSON of the call; close it with </tool_call>")
    _check_alone(rest)
    if not isinstance(call, dict) or not call.keys() <= {"name", "arguments"}:
        raise _Unreadable('the call needs the keys "name" and "arguments" and no other')
    fields = cast("dict[str, Any]", call)
    arguments = fields.get("arguments", {})
    if not isinstance(arguments, dict):
        raise _Unreadable('"arguments" must be an object such as {"query": "a red car"}')
    return ToolCall(_read_name(fields.get("name")), _read_arguments(cast("dict[str, Any]", arguments)), thought)


def _check_alone(rest: str) -> None:
    if _OPENING_TAG.search(rest):
        raise _Unreadable("more than one call or answer; write exactly one")


def _read_name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name.strip()):
        raise _Unreadable('"name" must be the name of a tool')
    return normalise_name(name)


def _read_arguments(arguments: Mapping[str, Any]) -> dict[str, object]:
    for name, value in arguments.items():
        parts = cast("list[Any]", value) if isinstance(value, list) else [value]
        if not all(part is None or isinstance(part, str | int | float) for part in parts):
            raise _Unreadable("an argument must be a text, a number or a list of them")
        if _SURROGATE.search(name) or any(isinstance(part, str) and _SURROGATE.search(part) for part in parts):
            raise _Unreadable("an argument is not valid Unicode")
    return {name: _read(name, value) for name, value in arguments.items()}


def _read(name: str, value: object) -> object:
    seconds = parse_time(value) if isinstance(value, str) and name.endswith("_s") else None
    return value if seconds is None else seconds


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


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _bounded(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError(text)
    return value


def _refuse_constant(text: str) -> float:
    raise ValueError(text)


_DECODER = json.JSONDecoder(parse_float=_finite, parse_int=_bounded, parse_constant=_refuse_constant)
