"""Calls of models that write Python: `[frame_zoom(start_s=320, end_s=340)]`; see `vt_env.actions.model_forms`.

The text is parsed and never run. Only calls of plain names with literals by keyword are read.
"""

import ast
import math
import re
from typing import cast

from vt_env.actions.call_json import Unreadable, make_call
from vt_env.actions.forms_json import FoundCalls
from vt_env.types import ToolCall

_MAX_CHARS = 8000
"""Longest text that is parsed as Python."""
_MAX_BITS = 63
_NESTED = re.compile(r"(?:[-+~(\[{]\s*){32}|(?:not\s+){32}|lambda")
"""What no call needs and a parser recurses into."""
_LIST = re.compile(r"\[\s*[A-Za-z][\w.]*\s*\(")
_FENCE = re.compile(r"```(?:tool_code|python|py)[ \t]*\n")
_TOOL_CODE = re.compile(r"<tool_code>")
_ESCAPE = re.compile(r"\\(?P<next>.)", re.DOTALL)
_KNOWN_ESCAPES = "\\'\"abfnrtvxuUN01234567\n"
_WORDS: dict[str, object] = {"true": True, "false": False, "null": None}
"""JSON's names, which models write in Python too."""


def read_list(text: str, start: int) -> FoundCalls:
    """Read a list of calls that ends the text."""
    opening = _LIST.search(text, start)
    if opening is None:
        raise Unreadable("no call")
    written = text[opening.start() :].strip()
    calls = read_python(written)
    return [(it, (opening.start(), opening.start() + len(written))) for it in calls]


def read_fenced(text: str, start: int) -> FoundCalls:
    """Read calls in fences of code, one a line or as lists; `print` around one is taken off."""
    calls: FoundCalls = []
    opening = _FENCE.search(text, start)
    while opening is not None:
        end = text.find("```", opening.end())
        end = len(text) if end < 0 else end
        calls += [(it, (opening.end(), end)) for it in read_python(text[opening.end() : end].strip())]
        opening = _FENCE.search(text, end + 3)
    return calls


def read_tool_code(text: str, start: int) -> FoundCalls:
    """Read calls between `<tool_code>` and its end, one a line or as lists."""
    calls: FoundCalls = []
    for opening in _TOOL_CODE.finditer(text, start):
        inside, closed, _ = text[opening.end() :].partition("</tool_code>")
        if not closed:
            raise Unreadable("the call does not end")
        calls += [(it, (opening.end(), opening.end() + len(inside))) for it in read_python(inside.strip())]
    return calls


def read_tagged(text: str, start: int) -> FoundCalls:
    """Read `<|python_tag|>` before Python, such as Llama's `search.call(query="...")`."""
    at = text.index("<|python_tag|>", start) + len("<|python_tag|>")
    written = text[at:].replace("<|eom_id|>", "").replace("<|eot_id|>", "").strip()
    return [(it, (at, len(text))) for it in read_python(written)]


def read_python(written: str) -> list[ToolCall]:
    """Read a text of Python that holds calls and nothing else.

    Raises:
        Unreadable: It is no Python, longer than 8,000 characters, or holds anything but calls with literals.
    """
    if len(written) > _MAX_CHARS or _NESTED.search(written):
        raise Unreadable("the call is too long or too deep")
    try:
        body = ast.parse(_ESCAPE.sub(_valid_escape, written)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Unreadable("the call is no Python") from None
    nodes = [it.value for it in body if isinstance(it, ast.Expr)]
    flat = [part for it in nodes for part in (it.elts if isinstance(it, ast.List | ast.Tuple) else [it])]
    if not flat or len(nodes) != len(body):
        raise Unreadable("there is more than calls")
    return [_call(it) for it in flat]


def _valid_escape(found: re.Match[str]) -> str:
    # Python warns of escapes that it does not know, and keeps the backslash.
    return found[0] if found["next"] in _KNOWN_ESCAPES else f"\\{found[0]}"


def _call(node: ast.expr) -> ToolCall:
    if not isinstance(node, ast.Call):
        raise Unreadable("there is more than calls")
    if isinstance(node.func, ast.Name) and node.func.id == "print" and len(node.args) == 1:
        return _call(node.args[0])
    if node.args or any(it.arg is None for it in node.keywords):
        raise Unreadable("arguments need their names")
    return make_call(_name(node.func), {cast("str", it.arg): _literal(it.value) for it in node.keywords})


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id if node.attr == "call" else node.attr
    raise Unreadable("the call has no name")


def _literal(node: ast.expr) -> object:
    if isinstance(node, ast.List | ast.Tuple):
        return [_scalar(it) for it in node.elts]
    return _scalar(node)


def _scalar(node: ast.expr) -> object:
    if isinstance(node, ast.Name) and node.id in _WORDS:
        return _WORDS[node.id]
    is_negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner = node.operand if isinstance(node, ast.UnaryOp) and is_negative else node
    value = inner.value if isinstance(inner, ast.Constant) else inner
    if isinstance(value, int | float) and (not is_negative or not isinstance(value, bool)):
        is_small = value.bit_length() <= _MAX_BITS if isinstance(value, int) else math.isfinite(value)
        if is_small:
            return -value if is_negative else value
    elif not is_negative and (value is None or isinstance(value, str)):
        return value
    raise Unreadable("an argument must be a text, a number or a list of them")
