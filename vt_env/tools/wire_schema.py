"""JSON schemas of tools for protocols and frameworks that check a call against its schema before they pass it on.

`vt_env.tools.tool.Tool.schema` is for prompts and chat templates. It calls a time a number, while models and our own
texts write `"05:20"`; an episode takes both, but a checker refuses the text, and the call never arrives.
"""

from typing import Any

from vt_env.tools.tool import Parameter, Tool

_TIME = [{"type": "number"}, {"type": "string"}]


def wire_schema(tool: Tool) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments, an object, in which times are numbers or texts."""
    arguments: dict[str, Any] = dict(tool.schema["function"]["parameters"])
    return {**arguments, "properties": {it.name: _property(it) for it in tool.parameters}}


def _property(parameter: Parameter) -> dict[str, Any]:
    if not parameter.is_time:
        return parameter.schema
    return {"anyOf": _TIME, "description": parameter.description}
