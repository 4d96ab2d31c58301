"""Real MCP clients that play scripted conversations, in process and over loopback."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import uvicorn
from mcp import Client
from mcp.server.lowlevel import Server
from mcp_types import CallToolResult

from vt_env.episode.serialisers import decode_picture
from vt_env.integrations.http_access import HttpConfig
from vt_env.integrations.mcp.serve import PATH, http_app
from vt_env.testing import Conversation, Played, Received


def received(result: CallToolResult, handle: str = "") -> Received:
    """Read a result: pictures, then one text; a note behind it names the episode."""
    kinds = [it.type for it in result.content]
    pictures = [it for it in result.content if it.type == "image"]
    texts = [it.text for it in result.content if it.type == "text"]
    assert kinds == ["image"] * len(pictures) + ["text"] * len(texts)
    wire = result.model_dump_json(by_alias=True).encode()
    return Received(
        texts[0],
        tuple(decode_picture(it.data) for it in pictures),
        wire.replace(handle.encode(), b"") if handle else wire,
    )


async def play(client: Client, conversation: Conversation) -> Played:
    """Play one conversation; names the episode with every call where the connection has no session."""
    begun = await client.call_tool("begin", {"task_id": conversation.task_id})
    handle = begun.meta["vt-env/episode"]
    listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    named: dict[str, Any] = {"episode": handle} if "episode" in listed["answer"].input_schema["properties"] else {}
    results: list[CallToolResult] = []
    for turn in conversation.turns:
        calls = turn.calls if turn.answer is None else (("answer", {"answer": turn.answer}),)
        for name, arguments in calls:
            results.append(await client.call_tool(name, {**arguments, **named}))
    scores = [it.meta for it in results if it.meta and "vt-env/reward" in it.meta]
    # Every result after the end repeats the score.
    assert len({json.dumps(it, sort_keys=True) for it in scores}) == 1
    replies = tuple(received(it, handle) for it in results)
    return Played(received(begun, handle), replies, scores[0]["vt-env/reward"], scores[0]["vt-env/stop"])


async def play_together(target: Any, mode: str, conversations: Sequence[Conversation]) -> list[Played]:
    """Play conversations at once, each through a client of its own.

    Args:
        target: What the client connects to: a server of the SDK, or an address.
        mode: `legacy` (protocol 2025-11-25, with sessions) or `auto` (2026-07-28, without).
        conversations: What to play.
    """
    played: dict[str, Played] = {}

    async def one(conversation: Conversation) -> None:
        async with Client(target, mode=mode, raise_exceptions=True) as client:
            played[conversation.task_id] = await play(client, conversation)

    async with anyio.create_task_group() as group:
        for conversation in conversations:
            group.start_soon(one, conversation)
    return [played[it.task_id] for it in conversations]


@asynccontextmanager
async def served(server: Server, **config: Any) -> AsyncIterator[str]:
    """Serve over loopback on a free port; yields the address of the endpoint."""
    app = http_app(server, HttpConfig(port=0, **config))
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    async with anyio.create_task_group() as group:
        group.start_soon(running.serve)
        while not running.started:
            await anyio.sleep(0.01)
        port = running.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}{PATH}"
        running.should_exit = True
