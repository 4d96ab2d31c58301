"""Calls as JSON: bounded decoding, and the object of one call.

    {"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}

Decoding never fails with anything but `ValueError`, whatever a model wrote: nesting beyond the decoder's limit, numbers
that are not finite or have thousands of digits, and calls of more than `MAX_CALL_CHARS` characters are refused.
"""

import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, cast

from vt_env.types import ToolCall, parse_time
from vt_env.valid_text import is_valid_text

MAX_CALL_CHARS = 20_000
"""Longest JSON of a call that is read."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ -]*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAME_KEYS = ("name", "function", "tool")
"""The last is EVA's (arXiv 2603.22918)."""
_ARGUMENT_KEYS = ("arguments", "parameters")
_EXTRA_KEYS = {"id", "type", "index", "tool_call_id"}
_SCHEMA_KEYS = {"description", "required", "strict"}


class Unreadable(Exception):
    """Why a text is malformed: one line for the model. Never leaves `vt_env.actions`."""


def decode_value(text: str, start: int = 0) -> tuple[Any, int]:
    """Decode the JSON value that begins at `start`; return it and the position behind it.

    Raises:
        ValueError: It is not JSON, is nested too deeply or is longer than `MAX_CALL_CHARS`.
    """
    try:
        value, length = _DECODER.raw_decode(text[start : start + MAX_CALL_CHARS])
    except RecursionError as reason:
        raise ValueError("nested too deeply") from reason
    return value, start + length


def skip_space(text: str, start: int, also: str = "") -> int:
    """Return the position of the first character from `start` that is neither white space nor one of `also`."""
    while start < len(text) and (text[start].isspace() or text[start] in also):
        start += 1
    return start


def read_own_call(value: object, thought: str = "") -> ToolCall:
    """Read a call in the form that `vt_env.render_action` writes.

    Raises:
        Unreadable: It has another form.
    """
    if not isinstance(value, dict) or not value.keys() <= {"name", "arguments"}:
        raise Unreadable('the call needs the keys "name" and "arguments" and no other')
    fields = cast("dict[str, Any]", value)
    return make_call(fields.get("name"), fields.get("arguments", {}), thought)


def read_any_call(value: object) -> ToolCall:
    """Read a call in a form of some model: `parameters` for `arguments`, arguments as JSON text, OpenAI's wrapper.

    A tool's own schema with values in place of types, as Qwen2.5-Coder writes it, is a call with these arguments.

    Raises:
        Unreadable: It is no call.
    """
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if isinstance(fields.get("function"), dict) and "name" not in fields:
        # OpenAI's chat completions: {"type": "function", "function": {"name": ..., "arguments": "..."}}.
        fields = cast("dict[str, Any]", fields["function"])
    name_key = next((it for it in _NAME_KEYS if it in fields), None)
    argument_key = next((it for it in _ARGUMENT_KEYS if it in fields), None)
    allowed = {name_key, argument_key, *_EXTRA_KEYS, *(_SCHEMA_KEYS if argument_key == "parameters" else ())}
    if name_key is None or argument_key is None or not fields.keys() <= allowed:
        raise Unreadable('the call needs the keys "name" and "arguments" and no other')
    arguments = fields[argument_key]
    if argument_key == "parameters" and isinstance(arguments, dict):
        arguments = cast("dict[str, Any]", arguments)
        arguments = arguments.get("properties", arguments)
    if isinstance(arguments, str):
        arguments = decode_whole(arguments or "{}")
    return make_call(fields[name_key], arguments)


def decode_whole(text: str) -> Any:
    """Decode a text that is one JSON value and nothing else.

    Raises:
        Unreadable: It is not.
    """
    try:
        value, end = decode_value(text, skip_space(text, 0))
    except ValueError:
        raise Unreadable('"arguments" is not JSON') from None
    if text[end:].strip():
        raise Unreadable('there is text after the JSON of "arguments"')
    return value


def make_call(name: object, arguments: object, thought: str = "") -> ToolCall:
    """Build a call from a name and arguments that somebody decoded.

    Times (arguments whose names end in `_s`) are read into seconds; values are not checked any further.

    Raises:
        Unreadable: The name is none, or an argument is no text, number or list of them.
    """
    if not isinstance(arguments, dict):
        raise Unreadable('"arguments" must be an object such as {"query": "a red car"}')
    if not isinstance(name, str) or not _NAME.fullmatch(name.strip()):
        raise Unreadable('"name" must be the name of a tool')
    return ToolCall(normalise_name(name), _read_arguments(cast("dict[str, Any]", arguments)), thought)


def normalise_name(name: str) -> str:
    """Spell a tool's name as the tools do: `Clip_Retrieval` and `ClipRetrieval` become `clip_retrieval`."""
    return re.sub(r"[ -]", "_", _HUMP.sub("_", name.strip())).lower()


def value_of_text(text: str, name: str, texts: Collection[str]) -> object:
    """Read an argument that a form writes as bare text.

    Args:
        text: The text.
        name: Name of the argument.
        texts: Names of the arguments that are texts; any other is read as JSON where it is JSON.
    """
    if name in texts:
        return text
    try:
        value, end = decode_value(text.strip())
    except ValueError:
        return text
    is_plain = value is None or isinstance(value, str | int | float | list)
    return value if is_plain and not text.strip()[end:] else text


def _read_arguments(arguments: Mapping[str, Any]) -> dict[str, object]:
    for name, value in arguments.items():
        parts = cast("list[Any]", value) if isinstance(value, list) else [value]
        if not all(part is None or isinstance(part, str | int | float) for part in parts):
            raise Unreadable("an argument must be a text, a number or a list of them")
        if not is_valid_text(name) or any(isinstance(part, str) and not is_valid_text(part) for part in parts):
            raise Unreadable("an argument is not valid Unicode")
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
