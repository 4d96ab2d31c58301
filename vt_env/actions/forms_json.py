"""Calls of models that write JSON, with or without tags around it; see the table in `vt_env.actions.model_forms`."""

import re

from vt_env.actions.call_json import Unreadable, decode_value, decode_whole, make_call, read_any_call, skip_space
from vt_env.actions.parsed_reply import CharSpan
from vt_env.types import ToolCall

FoundCalls = list[tuple[ToolCall, CharSpan]]
"""Calls and where they stand."""
CALL_OBJECT = r'\{\s*"(?:name|function|arguments|parameters|type|id)"\s*:'
"""Start of a JSON object that is a call."""
BARE = re.compile(rf"(?:\[\s*)?{CALL_OBJECT}")
_TAG = re.compile(r"<(tool_call|tool_calls|tools|function_call)>")
_FENCE = re.compile(r"```\w*\s*")
_TOOL_CALLS = "[TOOL_CALLS]"
_MISTRAL_NAME = re.compile(r"\s*([A-Za-z][\w.-]*)\s*(?:\[CALL_ID\]\w+)?\s*(?:\[ARGS\])?\s*(?=\{)")
_PYTHON_TAG = "<|python_tag|>"


def read_tagged(text: str, start: int) -> FoundCalls:
    """Read `<tool_call>`, `<tools>` and the like around JSON objects, a list of them, or a fence around either."""
    calls: FoundCalls = []
    opening = _TAG.search(text, start)
    while opening is not None:
        fence = _FENCE.match(text, skip_space(text, opening.end()))
        found, end = _read_objects(text, fence.end() if fence else opening.end())
        calls += found
        if fence and text.startswith("```", end):
            end = skip_space(text, end + 3)
        if not found or (end < len(text) and not text.startswith(f"</{opening[1]}>", end)):
            raise Unreadable('the call is not JSON; write {"name": ..., "arguments": {...}}')
        opening = _TAG.search(text, end)
    return calls


def read_bare(text: str, start: int) -> FoundCalls:
    """Read every JSON object of a text, whatever stands between them; each must be a call."""
    calls: FoundCalls = []
    opening = BARE.search(text, start)
    while opening is not None:
        found, end = _read_objects(text, opening.start())
        calls += found
        opening = BARE.search(text, end)
    return calls


def read_mistral(text: str, start: int) -> FoundCalls:
    """Read `[TOOL_CALLS]` before a JSON list, or before a name and its arguments."""
    calls: FoundCalls = []
    start = text.find(_TOOL_CALLS, start)
    while start >= 0:
        end = start + len(_TOOL_CALLS)
        named = _MISTRAL_NAME.match(text, end)
        if named is None:
            found, end = _read_objects(text, end)
            calls += found
        while named is not None:
            arguments, end = _decode(text, named.end())
            calls.append((make_call(named[1], arguments), (named.start(1), end)))
            named = _MISTRAL_NAME.match(text, skip_space(text, end, ",;"))
        start = text.find(_TOOL_CALLS, end)
    return calls


def read_python_tag(text: str, start: int) -> FoundCalls:
    """Read JSON objects behind `<|python_tag|>`, separated by semicolons."""
    found, _ = _read_objects(text, text.index(_PYTHON_TAG, start) + len(_PYTHON_TAG))
    return found


_DEEPSEEK_CALL = re.compile(r"<[|\uff5c]tool[\u2581_]call[\u2581_]begin[|\uff5c]>")
_DEEPSEEK_SEP = re.compile(r"<[|\uff5c]tool[\u2581_]sep[|\uff5c]>")
_DEEPSEEK_END = re.compile(r"<[|\uff5c]tool[\u2581_]call[\u2581_]end[|\uff5c]>|\Z")


def read_deepseek(text: str, start: int) -> FoundCalls:
    """Read DeepSeek's tokens around `function<sep>name` and a fence (V3, R1), or around `name<sep>` and JSON (V3.1)."""
    calls: FoundCalls = []
    for opening in _DEEPSEEK_CALL.finditer(text, start):
        closing = _DEEPSEEK_END.search(text, opening.end())
        end = closing.start() if closing else len(text)
        separator = _DEEPSEEK_SEP.search(text, opening.end(), end)
        if separator is None:
            raise Unreadable("the call has no name")
        name, arguments = text[opening.end() : separator.start()], text[separator.end() : end]
        fence = re.search(r"```(?:json)?", arguments)
        if fence:
            name, arguments = arguments[: fence.start()], arguments[fence.end() :].strip().removesuffix("```")
        calls.append((make_call(name.strip(), decode_whole(arguments)), (opening.start(), end)))
    return calls


def _read_objects(text: str, start: int) -> tuple[FoundCalls, int]:
    """Read the call objects from `start` on, as a list or one after the other; return them and the position behind."""
    calls: FoundCalls = []
    start = skip_space(text, start)
    while text.startswith(("{", "["), start):
        value, end = _decode(text, start)
        calls += [(read_any_call(it), (start, end)) for it in (value if isinstance(value, list) else [value])]
        start = skip_space(text, end, ",;")
    return calls, start


def _decode(text: str, start: int) -> "tuple[object, int]":
    try:
        return decode_value(text, start)
    except ValueError:
        raise Unreadable('the call is not JSON; write {"name": ..., "arguments": {...}}') from None
