"""Tools and results as text, for trainers that render neither tools nor the role `tool` beside pictures.

Both are written as the chat templates of Qwen2.5, Qwen2.5-VL and Qwen3-VL write them, so that the tokens are the same.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vt_env.prompts import PromptSet
from vt_env.tools.tool import Tool

RESPONSE_TAGS = ("<tool_response>\n", "\n</tool_response>")
"""What stands around a result in the turn of the user."""

_BEFORE = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
)
_AFTER = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)


def tools_text(schemas: Sequence[Mapping[str, Any]]) -> str:
    """Write tools as they stand behind the system text; nothing where there is none."""
    if not schemas:
        return ""
    lines = "\n".join(json.dumps(it, ensure_ascii=False) for it in schemas)
    return f"\n\n{_BEFORE}{lines}{_AFTER}"


def system_text(prompts: PromptSet, tools: Sequence[Tool]) -> str:
    """Return the text of the system message with the tools on offer, as a prompt set shows them, sorted by name."""
    schemas = sorted_schemas(prompts.shown_schemas(it.schema for it in tools))
    return prompts.system_text(has_tools=bool(tools)) + tools_text(schemas)


def sorted_schemas(schemas: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort schemas by the names of the tools, as TRL renders them."""
    return sorted(schemas, key=lambda it: it["function"]["name"])
