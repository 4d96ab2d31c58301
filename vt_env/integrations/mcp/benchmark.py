"""An MCP server that plays episodes: `begin`, the tools of the episode, `answer`.

The protocol cannot end an episode and knows no reward: the text of the last result says that the episode is over, and
its `_meta` holds the score, which hosts do not show to a model. Where a connection has no session (protocol
2026-07-28), `begin` returns a handle that every call gives as `episode`.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import anyio.to_thread
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, Tool

from vt_env.episode.serialisers import PictureFormat
from vt_env.errors import ConfigError, DataError, ToolError
from vt_env.integrations.mcp.results import (
    error_result,
    is_too_large,
    observation_result,
    server_version,
    tool_definition,
    with_note,
)
from vt_env.integrations.open_sessions import OpenSessions, SessionLimits
from vt_env.prompts import OVER
from vt_env.session import Session, SessionSource
from vt_env.tools.builtin import ANSWER_TOOL
from vt_env.tools.check_arguments import show
from vt_env.types import Outcome

BEGIN, ANSWER, EPISODE = "begin", "answer", "episode"
"""Names of the two tools besides those of the episode, and of the argument that names an episode."""
META = "vt-env/"
"""Prefix of the keys in `_meta`: episode, stop, reward, terms, correct, invalid."""

_CHOICES: Mapping[str, Any] = {
    "task_id": {"type": "string", "description": "Id of the task."},
    "index": {"type": "integer", "description": "Position of the task, from 0."},
    "seed": {"type": "integer", "description": "Draws the task at random."},
}
_KINDS: Mapping[str, type] = {"task_id": str, "index": int, "seed": int}
_ANSWER = {
    "type": "object",
    "properties": {"answer": {"type": "string", "description": "Letter or text of the option."}},
    "required": ["answer"],
}
_HANDLE = {"type": "string", "description": "Handle of the episode, as begin returned it."}
_INSTRUCTIONS = (
    "Call begin once; it returns a multiple-choice question about a long video. Explore the video with the other "
    "tools, within the budget that each result names, and call answer with the letter of the option."
)

_log = logging.getLogger(__name__)


class BenchmarkServer:
    """Handlers of the protocol.

    Args:
        source: Tasks, rules and library.
        limits: Episodes open at once, and how long they may idle; `None` takes the defaults.
        is_single_client: The server has one client, which needs no handle (stdio).
        picture_format: Format of frames.

    Raises:
        ConfigError: A tool has a name that the server needs.
    """

    def __init__(
        self,
        source: SessionSource,
        limits: SessionLimits | None = None,
        *,
        is_single_client: bool = False,
        picture_format: PictureFormat = "png",
    ) -> None:
        for tool in source.tools:
            is_taken = tool.name == BEGIN or (tool.name == ANSWER and tool is not ANSWER_TOOL)
            if is_taken or any(it.name == EPISODE for it in tool.parameters):
                used = f"{BEGIN!r}, {ANSWER!r} and the argument {EPISODE!r}"
                raise ConfigError(f"tool {tool.line}: {used} are the MCP server's own; rename yours")
        self.source = source
        self.sessions = OpenSessions(limits or SessionLimits())
        self._is_single_client = is_single_client
        self._picture_format: PictureFormat = picture_format
        self._current: dict[str, str] = {}
        """Handle of the episode that each connection began last."""

    def server(self) -> Server:
        """Make the low-level server of the SDK."""
        return Server(
            "vt-env",
            version=server_version(),
            instructions=_INSTRUCTIONS,
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
        )

    async def list_tools(
        self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """List `begin`, the tools of the episode and `answer`, with the argument `episode` where it is needed."""
        needs_handle = self._connection(ctx) is None
        begin = tool_definition(
            BEGIN,
            "Begin an episode: returns the question. Without arguments, about the first task.",
            {"type": "object", "properties": dict(_CHOICES)},
        )
        return ListToolsResult(tools=[begin, *(_with_handle(it) if needs_handle else it for it in self._tools())])

    async def call_tool(self, ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        """Begin, call or answer. Whatever a model did wrong is a result with `is_error`."""
        arguments = dict(params.arguments or {})
        if is_too_large(arguments):
            return error_result(f"{params.name}: the arguments are longer than a mebibyte; shorten them")
        connection = self._connection(ctx)
        try:
            if params.name == BEGIN:
                return await anyio.to_thread.run_sync(self._begin, connection, arguments)
            return await anyio.to_thread.run_sync(self._call, connection, params.name, arguments)
        except (ConfigError, ToolError) as reason:
            return error_result(str(reason))
        except DataError as reason:
            # Its message names a file, and names of files can leak what a question is about.
            _log.error("episode is invalid: %s", reason)
            return error_result(f"{OVER} Its video cannot be read.", {f"{META}invalid": True})

    def _tools(self) -> list[Tool]:
        made = [tool_definition(it.name, it.description, self.source.wire_schemas[it.name]) for it in self.source.tools]
        own = tool_definition(ANSWER, "Answer the question, which ends the episode.", _ANSWER)
        # Prompts may offer a tool of this name, which is then the one to answer by.
        return made if ANSWER_TOOL in self.source.tools else [*made, own]

    def _begin(self, connection: str | None, arguments: Mapping[str, Any]) -> CallToolResult:
        for name, value in arguments.items():
            if name not in _KINDS:
                raise ToolError(f"begin has no argument {show(name)}; allowed are {', '.join(_KINDS)}")
            if type(value) is not _KINDS[name]:
                raise ToolError(f"{name}={show(value)}: need {'a text' if _KINDS[name] is str else 'a whole number'}")
        handle = self.sessions.add(lambda: self.source.open(**arguments), connection)
        opening = self.sessions.use(handle, connection, lambda session: session.opening)
        result = observation_result(opening, meta={f"{META}{EPISODE}": handle}, picture_format=self._picture_format)
        if connection is None:
            return with_note(result, f'Give "{EPISODE}": "{handle}" with every call.')
        before = self._current.get(connection)
        if before is not None:
            self.sessions.drop(before)
        # Connections begin side by side in threads, so entries are changed one by one.
        for gone in [it for it, kept in list(self._current.items()) if kept not in self.sessions]:
            self._current.pop(gone, None)
        self._current[connection] = handle
        return result

    def _call(self, connection: str | None, name: str, arguments: dict[str, Any]) -> CallToolResult:
        handle = arguments.pop(EPISODE, None) or self._current.get(connection or "")
        if not isinstance(handle, str):
            remedy = "call begin" if connection is not None else f"call begin, and give the {EPISODE} that it returns"
            raise ToolError(f"{show(name)}: no episode has begun; {remedy}")
        return self.sessions.use(handle, connection, _applied(name, arguments, self._result))

    def _result(self, session: Session, outcome: Outcome) -> CallToolResult:
        return observation_result(
            outcome.observation,
            is_error=outcome.error is not None,
            meta=_score(session),
            picture_format=self._picture_format,
        )

    def _connection(self, ctx: ServerRequestContext[Any, Any]) -> str | None:
        """Name the connection that calls; `None` where the protocol has no session."""
        if ctx.request is not None:
            return ctx.request.headers.get("mcp-session-id")
        return "" if self._is_single_client else None


def _applied(
    name: str, arguments: Mapping[str, Any], result: Callable[[Session, Outcome], CallToolResult]
) -> Callable[[Session], CallToolResult]:
    def apply(session: Session) -> CallToolResult:
        if name != ANSWER or ANSWER_TOOL in session.tools:
            return result(session, session.call(name, arguments))
        text = arguments.get("answer")
        return result(session, session.answer(text if isinstance(text, str) else ""))

    return apply


def _score(session: Session) -> dict[str, Any]:
    result = session.result
    if result is None:
        return {}
    return {
        f"{META}stop": str(result.stop),
        f"{META}reward": result.reward,
        f"{META}terms": dict(result.terms),
        f"{META}correct": result.correct,
    }


def _with_handle(tool: Tool) -> Tool:
    schema = tool.input_schema
    return tool.model_copy(
        update={
            "input_schema": {
                **schema,
                "properties": {**schema.get("properties", {}), EPISODE: _HANDLE},
                "required": [*schema.get("required", []), EPISODE],
            }
        }
    )
