"""Tool definitions and results of the Model Context Protocol; raw schemas, so that nothing of a tool is lost."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mcp_types import CallToolResult, TextContent, Tool

from vt_env.episode.serialisers import PictureFormat, mcp_content
from vt_env.types import Observation

MAX_MESSAGE_BYTES = 1 << 20
"""Largest request: arguments are a query and some numbers."""


def server_version() -> str:
    """Return the version of this package; nothing where it is not installed."""
    try:
        return version("vt-env")
    except PackageNotFoundError:
        return ""


def tool_definition(name: str, description: str, schema: Mapping[str, Any]) -> Tool:
    """Make a tool definition; the schema is passed on as it is."""
    return Tool(name=name, description=description, input_schema=dict(schema))


def observation_result(
    observation: Observation,
    *,
    is_error: bool = False,
    meta: Mapping[str, Any] | None = None,
    picture_format: PictureFormat = "png",
) -> CallToolResult:
    """Make a result: pictures, then the text. `meta` is for the program that calls; hosts do not show it to a model."""
    result: dict[str, Any] = {"content": mcp_content(observation, picture_format), "isError": is_error}
    return CallToolResult.model_validate({**result, "_meta": dict(meta)} if meta else result)


def error_result(message: str, meta: Mapping[str, Any] | None = None) -> CallToolResult:
    """Make the result of a call that could not be made: got, allowed, remedy in one line."""
    content = [{"type": "text", "text": message}]
    return CallToolResult.model_validate({"content": content, "isError": True, "_meta": dict(meta or {})})


def with_note(result: CallToolResult, note: str) -> CallToolResult:
    """Add a text block behind the content of a result."""
    return result.model_copy(update={"content": [*result.content, TextContent(text=note)]})


def is_too_large(arguments: Mapping[str, Any]) -> bool:
    """Tell whether arguments are longer than `MAX_MESSAGE_BYTES` allows; for connections that limit nothing."""
    return len(str(arguments)) > MAX_MESSAGE_BYTES
