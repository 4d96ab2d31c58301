"""OpenEnv's own clients and validator against a server of ours; runs where OpenEnv is (`.ci/engines openenv`)."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openenv", reason="OpenEnv has an environment of its own: .ci/engines openenv")

import httpx
import uvicorn
from openenv.cli.commands.push import _validate_openenv_directory
from openenv.core import GenericEnvClient
from openenv.core.mcp_client import MCPToolClient

from experiments.cli import run
from vt_env.episode.serialisers import decode_picture
from vt_env.integrations.http_access import HttpConfig, listen
from vt_env.integrations.open_sessions import SessionLimits
from vt_env.integrations.openenv import NAME, openenv_app
from vt_env.session import SessionSource
from vt_env.testing import Conversation, FakeLibrary, FakeVideo, Played, Received, integration_conformance, tiny_vlm

TINY = tiny_vlm()


@contextmanager
def serving(source: SessionSource, **options: Any) -> Iterator[str]:
    """Serve in a thread on a free port; gives the address."""
    config = HttpConfig(port=0, **options)
    listening = listen(config)
    server = uvicorn.Server(uvicorn.Config(openenv_app(source, config), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


def received(observation: dict[str, Any]) -> Received:
    *pictures, text = observation["result"]["content"]
    return Received(
        text["text"],
        tuple(decode_picture(it["data"]) for it in pictures),
        json.dumps(observation, sort_keys=True).encode(),
    )


async def play(address: str, conversation: Conversation) -> Played:
    async with GenericEnvClient(base_url=address) as client:
        opening = await client.reset(task_id=conversation.task_id)
        results = []
        for turn in conversation.turns:
            calls = turn.calls if turn.answer is None else (("answer", {"answer": turn.answer}),)
            for name, arguments in calls:
                action = {"type": "call_tool", "tool_name": name, "arguments": arguments}
                results.append(await client.step(action))
    ended = next(it for it in results if it.done)
    return Played(
        received(opening.observation),
        tuple(received(it.observation) for it in results),
        ended.reward,
        ended.observation["metadata"]["stop"],
    )


async def play_all(address: str, conversations: Sequence[Conversation]) -> list[Played]:
    return await asyncio.gather(*(play(address, it) for it in conversations))


def test_openenv_conforms_with_its_generic_client():
    def adapter(source: SessionSource, conversations: Sequence[Conversation]) -> list[Played]:
        with serving(source) as address:
            return asyncio.run(play_all(address, conversations))

    integration_conformance(adapter)


def test_its_tool_client_lists_the_tools_with_our_schemas_and_sees_pictures():
    async def use(address: str) -> tuple[list[Any], Any]:
        async with MCPToolClient(base_url=address) as client:
            await client.reset(task_id="fake/0")
            return await client.list_tools(), await client.call_tool("frame_zoom", start_s="05:20", end_s=330)

    with serving(TINY.source) as address:
        tools, result = asyncio.run(use(address))
    schemas = {it.name: it.input_schema for it in tools}
    assert {name: schemas[name] for name in TINY.source.wire_schemas} == TINY.source.wire_schemas
    assert "answer" in schemas
    # This client passes the whole observation on as the result of the tool.
    assert [it["type"] for it in result["result"]["content"]] == ["image", "image", "text"]


def test_prompts_whose_answers_are_calls_offer_the_tool_that_they_name():
    source = SessionSource(TINY.source.tasks, library=TINY.source.library, prompts="default-tool")

    async def use(address: str) -> tuple[list[Any], Any]:
        async with MCPToolClient(base_url=address) as client:
            await client.reset(task_id="fake/0")
            tools = await client.list_tools()
        async with GenericEnvClient(base_url=address) as client:
            await client.reset(task_id="fake/0")
            return tools, await client.step({"type": "call_tool", "tool_name": "answer", "arguments": {"option": "A"}})

    with serving(source) as address:
        tools, ended = asyncio.run(use(address))
    (answer,) = [it for it in tools if it.name == "answer"]
    assert list(answer.input_schema["properties"]) == ["option"]
    assert ended.done and ended.observation["metadata"]["stop"] == "answered"


def test_openenvs_validator_passes():
    with serving(TINY.source) as address:
        done = subprocess.run(
            [Path(sys.executable).parent / "openenv", "validate", "--url", address, "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr


def test_tasks_are_listed_without_answers():
    with serving(TINY.source) as address:
        splits = httpx.get(f"{address}/{NAME}/splits").json()
        listed = httpx.post(f"{address}/{NAME}/tasks", json={"split": splits[0]["name"]}).json()
    assert [it["task_id"] for it in listed["tasks"]] == list(TINY.replies)
    assert set(listed["tasks"][0]) == {"task_id", "question", "options"}


def test_a_call_before_the_reset_or_of_a_plain_post_is_told_what_to_do():
    with serving(TINY.source) as address:
        action = {"type": "call_tool", "tool_name": "frame_zoom", "arguments": {}}
        answer = httpx.post(f"{address}/step", json={"action": action})
        unknown = httpx.post(f"{address}/reset", json={"task_id": "nowhere"})
    assert "reset first" in answer.text
    assert unknown.status_code >= 400


def test_an_episode_whose_video_cannot_be_read_is_invalid_and_names_no_file():
    source = SessionSource(
        TINY.source.tasks, tools=["frame_zoom"], library=FakeLibrary((FakeVideo(broken_from_s=0),)), prompts="tiny"
    )

    async def use(address: str) -> Any:
        async with GenericEnvClient(base_url=address) as client:
            await client.reset()
            arguments = {"start_s": 1, "end_s": 3}
            return await client.step({"type": "call_tool", "tool_name": "frame_zoom", "arguments": arguments})

    with serving(source) as address:
        step = asyncio.run(use(address))
    assert step.done
    assert step.observation["metadata"] == {"invalid": True}
    assert "mp4" not in json.dumps(step.observation)


def test_more_sessions_than_allowed_are_refused():
    async def use(address: str) -> None:
        async with GenericEnvClient(base_url=address) as first:
            await first.reset()
            async with GenericEnvClient(base_url=address) as second:
                await second.reset()

    with (
        serving(TINY.source, limits=SessionLimits(max_sessions=1)) as address,
        pytest.raises(Exception, match=r"(?i)capacity|session"),
    ):
        asyncio.run(use(address))


def test_other_hosts_and_requests_without_the_token_are_refused():
    with serving(TINY.source, token="a-token-of-24-characters") as address:
        headers = {"Authorization": "Bearer a-token-of-24-characters"}
        assert httpx.get(f"{address}/health").status_code == 401
        assert httpx.get(f"{address}/health", headers=headers).status_code == 200
        assert httpx.get(f"{address}/health", headers={**headers, "Host": "evil.example"}).status_code == 400


def test_the_command_refuses_videos_and_a_server_beyond_loopback_without_a_token(capsys, monkeypatch):
    monkeypatch.delenv("VT_ENV_TOKEN", raising=False)
    assert run(["serve", "openenv", "film.mp4", "--tasks", "world"]) == 2
    assert run(["serve", "openenv", "--tasks", "world", "--host", "0.0.0.0"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert "no videos" in errors[0]
    assert "needs a token" in errors[1]


PACKAGE = Path(__file__).parents[2] / "experiments/integrations/openenv"


def test_the_folder_is_a_package_that_openenv_validates_and_would_push():
    done = subprocess.run(
        [
            *(Path(sys.executable).parent / "openenv", "validate", PACKAGE),
            *("--level", "static", "--skip-build", "--json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {it["status"] for it in json.loads(done.stdout)["results"]} == {"pass"}
    name, _ = _validate_openenv_directory(PACKAGE)
    assert name == NAME


def test_the_application_that_the_package_names_serves_those_who_have_the_token(tmp_path: Path):
    rows = {"video": "a.mp4", "question": "What is it?", "options": ["a", "b"], "answer": 0, "task_id": "t"}
    Path(tmp_path, "tasks.jsonl").write_text(json.dumps(rows) + "\n")
    Path(tmp_path, "a.mp4").symlink_to(Path(__file__).parents[1] / "fixtures/nasa_13013.mp4")
    token = "a secret of some length".replace(" ", "-")
    settings = {"VT_ENV_TASKS": str(tmp_path / "tasks.jsonl"), "VT_ENV_CACHE": str(tmp_path / "cache")}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **settings, "VT_ENV_SPLIT": "test"}
    refused = subprocess.run(
        [sys.executable, "-c", "import server.app"],
        cwd=PACKAGE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "it needs a token: set VT_ENV_TOKEN" in refused.stderr

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "server.app:app", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, cwd=PACKAGE, env={**environment, "VT_ENV_TOKEN": token})

    async def question() -> str:
        headers = {"Authorization": f"Bearer {token}"}
        async with GenericEnvClient(base_url=address, headers=headers) as client:
            opening = await client.reset(task_id="t")
        return opening.observation["result"]["content"][-1]["text"]

    try:
        address = f"http://127.0.0.1:{port}"
        while True:
            try:
                assert httpx.get(f"{address}/health").status_code == 401
                break
            except httpx.ConnectError:
                assert server.poll() is None
                time.sleep(0.1)
        assert "Question: What is it?" in asyncio.run(question())
    finally:
        server.terminate()
        server.wait(20)
