"""Write conversations so that TRL's `log_completions` can print and store them.

TRL (1.16) puts the messages of a step into one Parquet table, whose columns need one type: it crashes where some
contents are text and others are blocks, as with tools that return pictures, and where an argument of a call is text in
one row and a number in another. It also crashes on arguments that are not a JSON object.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def uniform_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return messages whose contents are blocks and whose call arguments are JSON objects as text.

    Images lose their pixels. What comes out goes in again unchanged.
    """
    return [_uniform(message) for message in messages]


def _uniform(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content") or ""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    uniform = {"role": message["role"], "content": [{"type": it["type"], "text": it.get("text")} for it in blocks]}
    if message.get("tool_calls"):
        uniform["tool_calls"] = [_uniform_call(call) for call in message["tool_calls"]]
    return uniform


def _uniform_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or call
    arguments = function.get("arguments")
    text = arguments if _is_json_object(arguments) else json.dumps(_as_object(arguments))
    return {"type": "function", "function": {"name": str(function.get("name")), "arguments": text}}


def _as_object(arguments: object) -> object:
    return arguments if isinstance(arguments, Mapping) else {"": arguments}


def _is_json_object(arguments: object) -> bool:
    if not isinstance(arguments, str):
        return False
    try:
        return isinstance(json.loads(arguments), dict)
    except ValueError:
        return False
