"""The MCP server of a benchmark, with the SDK's own client: conformance, limits, refusals."""

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio
import pytest

pytest.importorskip("mcp", reason="needs the mcp extra")
pytest.importorskip("httpx", reason="needs the api extra")

import httpx
from mcp import Client
from mcp.shared.exceptions import MCPError
from support.mcp_clients import play_together, served

from vt_env import ConfigError, SessionSource, ToolError
from vt_env.integrations.http_access import HttpConfig
from vt_env.integrations.mcp.benchmark import BenchmarkServer
from vt_env.integrations.mcp.results import MAX_MESSAGE_BYTES
from vt_env.integrations.open_sessions import OpenSessions, SessionLimits
from vt_env.prompts import OVER
from vt_env.testing import Conversation, FakeLibrary, FakeVideo, Played, fake_tasks, integration_conformance

ZOOM = {"start_s": "05:20", "end_s": "05:40"}
TOKEN = "a-secret-of-the-tests"


def source(**rules: Any) -> SessionSource:
    return SessionSource(fake_tasks(), library=rules.pop("library", FakeLibrary()), **rules)


def text(result) -> str:
    return next(it.text for it in result.content if it.type == "text")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_server_in_this_process_conforms(mode: str):
    def adapter(source: SessionSource, conversations: Sequence[Conversation]) -> list[Played]:
        return anyio.run(play_together, BenchmarkServer(source).server(), mode, conversations)

    integration_conformance(adapter)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_server_over_loopback_conforms(mode: str):
    async def play(source: SessionSource, conversations: Sequence[Conversation]) -> list[Played]:
        async with served(BenchmarkServer(source).server()) as address:
            return await play_together(address, mode, conversations)

    integration_conformance(partial(anyio.run, play))


def test_tools_have_the_names_descriptions_and_wire_schemas_of_the_episode():
    opened = source()

    async def listed(mode: str, **options: Any):
        async with Client(BenchmarkServer(opened, **options).server(), mode=mode) as client:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

    tools = anyio.run(partial(listed, "legacy", is_single_client=True))
    assert list(tools) == ["begin", *opened.wire_schemas, "answer"]
    for tool in opened.tools:
        assert tools[tool.name].input_schema == opened.wire_schemas[tool.name]
        assert tools[tool.name].description == tool.description
    nameless = anyio.run(listed, "auto")
    assert nameless["frame_zoom"].input_schema["required"] == ["start_s", "end_s", "episode"]
    assert "episode" not in nameless["begin"].input_schema["properties"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("begin", {"task_id": "/etc/passwd"}, "task_id='/etc/passwd': not among the 3 tasks"),
        ("begin", {"index": 3}, "index=3: need 0 to 2"),
        ("begin", {"index": "0"}, "index='0': need a whole number"),
        ("begin", {"seed": True}, "seed=True: need a whole number"),
        ("begin", {"video": "talk.mp4"}, "begin has no argument 'video'; allowed are task_id, index, seed"),
        ("begin", {"index": 0, "seed": 1}, "index, seed: each of them chooses the task; give one"),
        ("frame_zoom", ZOOM, "'frame_zoom': no episode has begun; call begin, and give the episode that it returns"),
        ("frame_zoom", {**ZOOM, "episode": 7}, "'frame_zoom': no episode has begun; call begin, and give the episode"),
        (
            "answer",
            {"answer": "A", "episode": "no such"},
            "no episode 'no such': it never began, or was dropped after 600 s without a call; call begin",
        ),
        (
            "subtitle_retrieval",
            {"query": "a" * (2 * MAX_MESSAGE_BYTES)},
            "subtitle_retrieval: the arguments are longer",
        ),
    ],
)
def test_what_cannot_be_done_is_answered_in_one_line(name: str, arguments: dict[str, Any], message: str):
    async def call():
        async with Client(BenchmarkServer(source()).server()) as client:
            return await client.call_tool(name, arguments)

    result = anyio.run(call)
    assert result.is_error and text(result).startswith(message) and "\n" not in text(result)


def test_an_answer_without_a_text_costs_a_call_and_names_what_is_allowed():
    async def call():
        async with Client(BenchmarkServer(source(), is_single_client=True).server()) as client:
            await client.call_tool("begin", {})
            return await client.call_tool("answer", {"answer": 2})

    result = anyio.run(call)
    assert result.is_error and "7 more times" in text(result)


def test_another_connection_cannot_use_an_episode_and_does_not_need_its_handle():
    async def play() -> None:
        async with (
            served(BenchmarkServer(source()).server()) as address,
            Client(address, mode="legacy") as one,
            Client(address, mode="legacy") as other,
        ):
            begun = await one.call_tool("begin", {})
            stolen = await other.call_tool("frame_zoom", {**ZOOM, "episode": begun.meta["vt-env/episode"]})
            assert stolen.is_error and text(stolen).startswith("no episode ")
            assert text(await other.call_tool("frame_zoom", ZOOM)).startswith("'frame_zoom': no episode has begun")
            assert not (await one.call_tool("frame_zoom", ZOOM)).is_error

    anyio.run(play)


def test_a_video_that_cannot_be_read_is_masked_and_its_file_is_not_named():
    async def play():
        library = FakeLibrary((FakeVideo(broken_from_s=300),))
        async with Client(BenchmarkServer(source(library=library), is_single_client=True).server()) as client:
            await client.call_tool("begin", {})
            return await client.call_tool("frame_zoom", ZOOM), await client.call_tool("frame_zoom", ZOOM)

    broken, after = anyio.run(play)
    assert text(broken) == f"{OVER} Its video cannot be read." and broken.meta["vt-env/invalid"] is True
    assert text(after) == OVER and "vt-env/reward" not in (after.meta or {})


def test_of_65_sessions_64_are_open_and_ended_or_idle_ones_make_room():
    now_s = 0.0
    held = OpenSessions(SessionLimits(64, 600), lambda: now_s)
    opened = source()
    handles = [held.add(opened.open) for _ in range(64)]
    with pytest.raises(ToolError, match="64 episodes are open, as many as this server allows; answer one of yours"):
        held.add(opened.open)
    held.use(handles[5], None, lambda session: session.answer("B"))
    assert held.use(handles[5], None, lambda session: session.answer("A")).observation.text == OVER
    held.add(opened.open)
    assert handles[5] not in held and len(held) == 64
    now_s = 599
    held.use(handles[7], None, lambda session: session.opening)
    now_s = 601
    assert held.use(handles[7], None, lambda session: session.is_over) is False
    with pytest.raises(ToolError, match="it never began, or was dropped after 600 s without a call; call begin"):
        held.use(handles[8], None, lambda session: session.is_over)
    assert len(held) == 1


def test_a_session_that_does_not_open_takes_no_place():
    held = OpenSessions(SessionLimits(1))
    with pytest.raises(ConfigError):
        held.add(lambda: source().open(index=9))
    held.add(source().open)


async def _post(address: str, body: Any, **headers: str) -> httpx.Response:
    accept = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    async with httpx.AsyncClient() as client:
        return await client.post(address, content=body, headers={**accept, **headers})


def test_requests_that_are_not_served_get_one_clear_error():
    first = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'

    async def ask() -> dict[str, tuple[int, str]]:
        async with served(BenchmarkServer(source()).server()) as address:
            asked = {
                "another host": await _post(address, first, host="evil.example"),
                "another origin": await _post(address, first, origin="http://evil.example"),
                "too long": await _post(address, b" " * (100 << 20)),
                "lost session": await _post(address, first, **{"mcp-session-id": "0" * 32}),
                "no protocol": await _post(address, first, **{"mcp-protocol-version": "1999-01-01"}),
                "no json": await _post(address, b"{"),
            }
        return {name: (it.status_code, it.text) for name, it in asked.items()}

    answered = anyio.run(ask)
    statuses = {name: status for name, (status, _) in answered.items()}
    assert statuses == {
        "another host": 421,
        "another origin": 403,
        "too long": 413,
        "lost session": 404,
        "no protocol": 400,
        "no json": 400,
    }
    assert "Session not found" in answered["lost session"][1]
    assert all(0 < len(words) < 500 and "Traceback" not in words for _, words in answered.values()), answered


def test_a_token_is_asked_for_and_beyond_loopback_needed():
    async def ask() -> None:
        async with served(BenchmarkServer(source()).server(), token=TOKEN) as address:
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}):
                refused = await _post(address, b"{}", **headers)
                assert refused.status_code == 401 and "'Authorization: Bearer TOKEN'" in refused.json()["error"]
            assert (await _post(address, b"{}", authorization=f"Bearer {TOKEN}")).status_code == 400
            with pytest.raises(BaseExceptionGroup):
                async with Client(address) as client:
                    await client.list_tools()

    anyio.run(ask)
    for host in ("0.0.0.0", "::", "192.168.1.7", "my-machine"):
        with pytest.raises(ConfigError, match=r"others can reach this server, so it needs a token: set VT_ENV_TOKEN"):
            HttpConfig(host)
        assert TOKEN not in repr(HttpConfig(host, token=TOKEN))
    with pytest.raises(ConfigError, match="token: need 16 ASCII characters or more"):
        HttpConfig(token="short")


def test_tools_that_take_a_name_of_the_server_are_refused():
    def begin(episode, text: str) -> str:  # noqa: D417
        """Begin.

        Args:
            text: Something.
        """
        return text

    with pytest.raises(ConfigError, match=r"tool begin\(text\): 'begin', 'answer' and the argument 'episode' are"):
        BenchmarkServer(source(tools=["frame_zoom", begin]))


def test_prompts_whose_answers_are_calls_offer_the_tool_that_they_name():
    opened = source(prompts="default-tool")

    async def play() -> Any:
        server = BenchmarkServer(opened, is_single_client=True).server()
        async with Client(server, mode="legacy") as client:
            tools = {it.name: it for it in (await client.list_tools()).tools}
            await client.call_tool("begin", {})
            wrong = await client.call_tool("answer", {"answer": "A"})
            return tools, wrong, await client.call_tool("answer", {"option": "A"})

    tools, wrong, ended = anyio.run(play)
    assert list(tools) == ["begin", *opened.wire_schemas] and "answer" in opened.wire_schemas
    assert tools["answer"].input_schema == opened.wire_schemas["answer"]
    assert wrong.is_error and "option" in text(wrong)
    assert ended.meta["vt-env/stop"] == "answered"


def test_importing_the_servers_loads_no_deep_learning_library():
    code = "import sys, vt_env.integrations.mcp.serve, vt_env.integrations.mcp.benchmark; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_method_that_does_not_exist_is_an_error_of_the_protocol():
    async def ask() -> None:
        async with Client(BenchmarkServer(source()).server()) as client:
            await client.list_resources()

    with pytest.raises((MCPError, BaseExceptionGroup)):
        anyio.run(ask)
