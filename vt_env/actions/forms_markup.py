"""Calls of models that write tags around each argument; see the table in `vt_env.actions.model_forms`."""

import re
from collections.abc import Callable, Collection

from vt_env.actions.call_json import (
    Unreadable,
    decode_value,
    decode_whole,
    make_call,
    normalise_name,
    skip_space,
    value_of_text,
)
from vt_env.actions.forms_json import FoundCalls

TextArguments = Callable[[str], Collection[str]]
"""Names of a tool's arguments that are texts."""

_FUNCTION = re.compile(r"<function=([^<>\n]*)>")
_ATTRIBUTES_START = re.compile(r"<function\s+name=")
_ATTRIBUTES = re.compile(
    r"<function\s+name=(?P<quote>[\"'])(?P<name>[^\"'<>\n]*)(?P=quote)\s+(?:arguments|parameters)=(?P<around>[\"'])"
)
_ATTRIBUTES_END = re.compile(r"\s*/?>")
_PARAMETER = re.compile(r"\s*<parameter=([^<>\n]*)>")
_INVOKE = re.compile(r'<(\uff5cDSML\uff5c)?invoke name="([^"<>\n]*)"\s*>')
_INVOKE_PARAMETER = re.compile(r'\s*<(?:\uff5cDSML\uff5c)?parameter name="([^"<>\n]*)"(?: string="(true|false)")?\s*>')
_GLM_CALL = re.compile(r"<tool_call>\s*([A-Za-z][\w.-]*)\s*(?=<arg_key>|</tool_call>)")
_GLM_PAIR = re.compile(r"\s*<arg_key>([^<]*)</arg_key>\s*<arg_value>")
_GEMMA_CALL = re.compile(r"(?:<start_function_call>|<\|tool_call>)\s*call:([A-Za-z][\w.-]*)\{")
_GEMMA_KEY = re.compile(r"[\s,]*([A-Za-z]\w*)\s*:\s*")
_GEMMA_BARE = re.compile(r"[^,\[\]{}<]*")
_GEMMA_QUOTES = ("<escape>", '<|"|>')


def read_functions(text: str, start: int, texts: TextArguments) -> FoundCalls:
    """Read `<function=name>` around `<parameter=key>` tags, or around the JSON of all arguments."""
    calls: FoundCalls = []
    for opening in _FUNCTION.finditer(text, start):
        name, arguments = opening[1].strip(), dict[str, object]()
        end = opening.end()
        if text.startswith("{", skip_space(text, end)):
            body, _, _ = text[end:].partition("</function>")
            calls.append((make_call(name, decode_whole(body)), (opening.start(), end + len(body))))
            continue
        known = texts(normalise_name(name))
        while parameter := _PARAMETER.match(text, end):
            value, end = _until(text, parameter.end(), "</parameter>")
            key = parameter[1].strip()
            arguments[key] = value_of_text(_without_line_ends(value), key, known)
        _check_closed(text, end, ("</function>", "</tool_call>"))
        calls.append((make_call(name, arguments), (opening.start(), end)))
    return calls


def read_attributes(text: str, start: int) -> FoundCalls:
    """Read `<function name="..." arguments='{...}'/>`: the arguments are JSON, whatever quotes stand around it."""
    calls: FoundCalls = []
    for mark in _ATTRIBUTES_START.finditer(text, start):
        opening = _ATTRIBUTES.match(text, mark.start())
        if opening is None:
            raise Unreadable("the call does not end")
        try:
            arguments, end = decode_value(text, skip_space(text, opening.end()))
        except ValueError:
            raise Unreadable('"arguments" is not JSON') from None
        end = skip_space(text, end)
        if not text.startswith(opening["around"], end) or not _ATTRIBUTES_END.match(text, end + 1):
            raise Unreadable("the call does not end")
        calls.append((make_call(opening["name"], arguments), (opening.start(), end + 1)))
    return calls


def read_invokes(text: str, start: int, texts: TextArguments) -> FoundCalls:
    """Read `<invoke name="...">` around `<parameter name="...">` tags, as they are or with DeepSeek's marks."""
    calls: FoundCalls = []
    for opening in _INVOKE.finditer(text, start):
        mark, name = opening[1] or "", opening[2]
        known, arguments, end = texts(normalise_name(name)), dict[str, object](), opening.end()
        while parameter := _INVOKE_PARAMETER.match(text, end):
            value, end = _until(text, parameter.end(), f"</{mark}parameter>")
            is_text = parameter[2] == "true"
            arguments[parameter[1]] = value if is_text else value_of_text(value, parameter[1], known)
        _check_closed(text, end, (f"</{mark}invoke>",))
        calls.append((make_call(name, arguments), (opening.start(), end)))
    return calls


def read_glm(text: str, start: int, texts: TextArguments) -> FoundCalls:
    """Read a name before `<arg_key>` and `<arg_value>` pairs."""
    calls: FoundCalls = []
    for opening in _GLM_CALL.finditer(text, start):
        name, arguments, end = opening[1], dict[str, object](), opening.end()
        known = texts(normalise_name(name))
        while pair := _GLM_PAIR.match(text, end):
            value, end = _until(text, pair.end(), "</arg_value>")
            key = pair[1].strip()
            arguments[key] = value_of_text(value, key, known)
        _check_closed(text, end, ("</tool_call>",))
        calls.append((make_call(name, arguments), (opening.start(), end)))
    return calls


def read_gemma(text: str, start: int, texts: TextArguments) -> FoundCalls:
    """Read `call:name{key:value}` with Gemma's own quotes around texts."""
    calls: FoundCalls = []
    for opening in _GEMMA_CALL.finditer(text, start):
        name, arguments, end = opening[1], dict[str, object](), opening.end()
        known = texts(normalise_name(name))
        while key := _GEMMA_KEY.match(text, end):
            if text.startswith("[", key.end()):
                arguments[key[1]], end = _gemma_list(text, key.end() + 1)
            else:
                arguments[key[1]], end = _gemma_value(text, key.end(), key[1], known)
        if not text.startswith("}", skip_space(text, end)):
            raise Unreadable("the call does not end")
        calls.append((make_call(name, arguments), (opening.start(), end)))
    return calls


def _gemma_value(text: str, start: int, key: str, known: Collection[str]) -> tuple[object, int]:
    quote = next((it for it in _GEMMA_QUOTES if text.startswith(it, start)), None)
    if quote is not None:
        value, end = _until(text, start + len(quote), quote)
        return value_of_text(value, key, known), end
    bare = _GEMMA_BARE.match(text, start)
    value = bare[0].strip() if bare else ""
    return value_of_text(value, key, known), start + len(bare[0] if bare else "")


def _gemma_list(text: str, start: int) -> tuple[list[object], int]:
    values: list[object] = []
    while not text.startswith("]", start):
        value, end = _gemma_value(text, start, "", ())
        if end == start:
            raise Unreadable("an argument must be a text, a number or a list of them")
        values.append(value)
        start = end
        while text.startswith((",", " "), start):
            start += 1
    return values, start + 1


def _until(text: str, start: int, closing: str) -> tuple[str, int]:
    end = text.find(closing, start)
    if end < 0:
        raise Unreadable("an argument does not end")
    return text[start:end], end + len(closing)


def _check_closed(text: str, end: int, closings: Collection[str]) -> None:
    # A reply that was cut may lack arguments, so an end without its tag is none.
    if not text.startswith(tuple(closings), skip_space(text, end)):
        raise Unreadable("the call does not end")


def _without_line_ends(value: str) -> str:
    """Strip one line end on either side, which Qwen3-Coder's template writes."""
    return value.removeprefix("\n").removesuffix("\n")
