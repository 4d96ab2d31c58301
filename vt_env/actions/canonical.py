"""The canonical form of actions: `<tool_call>` around JSON, `<answer>` around an option. `parse` writes it.

One text holds one action: two calls, or a call and an answer, are malformed, and so is text with neither. Tags inside
`<think>...</think>` do not count. Knows the form of calls, not which tools exist.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast

from vt_env.actions.parsed_reply import ParsedAction
from vt_env.types import Answer, Malformed, ToolCall, parse_time

OPENING_TAG = re.compile(r"<(tool_call|answer)>")
"""Start of an action."""
SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Half of a character, which no file in UTF-8 holds."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ -]*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_FORM = '<tool_call>{"name": ..., "arguments": {...}}</tool_call> or <answer>the option</answer>'


class _Unreadable(Exception):
    """Why a text is malformed; never leaves this module."""


def read_canonical(text: str, start: int = 0) -> ParsedAction:
    """Read one action in canonical form; never raises.

    A call whose closing tag is missing is accepted if its JSON is complete, since generation often stops there. An
    answer without its closing tag is malformed, since it may have been cut. Times (arguments whose names end in `_s`)
    are read into seconds; values are not checked any further.

    Args:
        text: Reply of a model.
        start: Position from which tags count, see `vt_env.actions.thoughts.after_thinking`.
    """
    try:
        return _read(text, start)
    except _Unreadable as reason:
        return ParsedAction(Malformed(text, str(reason)), None)


def normalise_name(name: str) -> str:
    """Spell a tool's name as the tools do: `Clip_Retrieval` and `ClipRetrieval` become `clip_retrieval`."""
    return re.sub(r"[ -]", "_", _HUMP.sub("_", name.strip())).lower()


def _read(text: str, start: int) -> ParsedAction:
    if SURROGATE.search(text):
        raise _Unreadable("the text is not valid Unicode")
    opening = OPENING_TAG.search(text, start)
    if opening is None:
        raise _Unreadable(f"neither a call nor an answer; write {_FORM}")
    thought = text[: opening.start()].strip()
    return (_read_call if opening[1] == "tool_call" else _read_answer)(text, opening.end(), thought)


def _read_answer(text: str, start: int, thought: str) -> ParsedAction:
    _check_alone(text, start)
    end = text.find("</answer>", start)
    if end < 0:
        raise _Unreadable("the answer does not end; write <answer>the option</answer>")
    answer = text[start:end].strip()
    if not answer:
        raise _Unreadable("the answer is empty; write <answer>the option</answer>")
    start = text.index(answer, start)
    return ParsedAction(Answer(answer, thought), (start, start + len(answer)))


def _read_call(text: str, start: int, thought: str) -> ParsedAction:
    start = len(text) - len(text[start:].lstrip())
    try:
        call, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        raise _Unreadable('the call is not JSON; write {"name": ..., "arguments": {...}}') from None
    rest = text[end:].strip()
    if rest and not rest.startswith("</tool_call>"):
        raise _Unreadable("there is text after the JSON of the call; close it with </tool_call>")
    _check_alone(text, end)
    if not isinstance(call, dict) or not call.keys() <= {"name", "arguments"}:
        raise _Unreadable('the call needs the keys "name" and "arguments" and no other')
    fields = cast("dict[str, Any]", call)
    arguments = fields.get("arguments", {})
    if not isinstance(arguments, dict):
        raise _Unreadable('"arguments" must be an object such as {"query": "a red car"}')
    name, read = _read_name(fields.get("name")), _read_arguments(cast("dict[str, Any]", arguments))
    return ParsedAction(ToolCall(name, read, thought), (start, end))


def _check_alone(text: str, start: int) -> None:
    if OPENING_TAG.search(text, start):
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
        if SURROGATE.search(name) or any(isinstance(part, str) and SURROGATE.search(part) for part in parts):
            raise _Unreadable("an argument is not valid Unicode")
    return {name: _read_value(name, value) for name, value in arguments.items()}


def _read_value(name: str, value: object) -> object:
    seconds = parse_time(value) if isinstance(value, str) and name.endswith("_s") else None
    return value if seconds is None else seconds


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
