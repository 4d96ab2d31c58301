"""`vt-env serve mcp`, started by a real client as any coding agent does."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("mcp", reason="needs the mcp extra")

from mcp import Client, StdioServerParameters
from support.document_blocks import blocks

from experiments.cli import run
from experiments.serve import serve
from experiments.serve.serve import ServeRun, open_by_name
from vt_env import MediaConfig
from vt_env.episode.serialisers import decode_picture
from vt_env.media.library import VideoLibrary
from vt_env.prompts import OVER

ROOT = Path(__file__).parents[2]
NASA = ROOT / "tests/fixtures/nasa_13013.mp4"


def started(tmp_path: Path, *arguments: str) -> StdioServerParameters:
    environment = {**os.environ, "VT_ENV_CACHE": str(tmp_path / "cache")}
    command = ["-m", "experiments.cli", "serve", "mcp", *arguments]
    return StdioServerParameters(command=sys.executable, args=command, cwd=ROOT, env=environment)


def text(result: Any) -> str:
    return next(it.text for it in result.content if it.type == "text")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_client_that_starts_the_server_plays_an_episode(mode: str, tmp_path: Path):
    tasks = tmp_path / "tasks.jsonl"
    (tmp_path / "talk.mp4").symlink_to(NASA)
    tasks.write_text(
        '{"video": "talk.mp4", "question": "Where is it?", "options": ["Oslo", "Greenbelt"], "answer": 1}\n'
    )

    async def play() -> None:
        async with Client(started(tmp_path, "--tasks", str(tasks), "--profile", "world"), mode=mode) as client:
            begun = await client.call_tool("begin", {})
            assert text(begun).startswith("Question: Where is it?") and len(begun.content) == 1
            seen = await client.call_tool("frame_zoom", {"start_s": "00:02", "end_s": 4})
            assert [it.type for it in seen.content] == ["image", "image", "text"]
            ended = await client.call_tool("answer", {"answer": "B"})
            assert (text(ended), ended.meta["vt-env/reward"]) == (OVER, 1.0)

    anyio.run(play)


@pytest.mark.slow
def test_an_assistant_searches_looks_zooms_and_reads_in_a_user_s_own_video(tmp_path: Path):
    (configuration,) = [block for block in blocks("json") if block.document.name == "mcp.md"]
    printed = json.loads(configuration.text)["mcpServers"]["videos"]
    *words, folder = printed["args"]
    assert (printed["command"], words, folder) == ("vt-env", ["serve", "mcp"], "/home/me/talks")

    async def watch() -> None:
        async with Client(started(tmp_path, str(NASA))) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            # Without an encoder, no search of pictures is offered.
            reading = ["subtitle_retrieval", "subtitle_summary", "subtitle_zoom"]
            assert sorted(names) == sorted(["list_videos", "frame_zoom", "spatial_zoom", *reading])
            listed = await client.call_tool("list_videos", {})
            assert text(listed) == "nasa_13013.mp4: 00:13 long, with subtitles"
            found = await client.call_tool("subtitle_retrieval", {"query": "Greenbelt Maryland"})
            assert "Greenbelt" in text(found) and "question" not in text(found).lower()
            seen = await client.call_tool("frame_zoom", {"start_s": 0, "end_s": "00:13"})
            pictures = [decode_picture(it.data) for it in seen.content if it.type == "image"]
            assert len(pictures) == 8 and min(it.shape[1] for it in pictures) >= 400
            assert text(seen).startswith("Shown here: frames of the video at 00:00 00:02 ")

    anyio.run(watch)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "serve no protocol: allowed are mcp and openenv: vt-env serve mcp --tasks world"),
        (["grpc"], "serve grpc: allowed are mcp and openenv"),
        (["openenv"], "serve openenv serves episodes: give --tasks"),
        pytest.param(
            ["openenv", "--tasks", "world"],
            "serve openenv needs OpenEnv, which cannot share an environment with the extra mcp",
            marks=pytest.mark.skipif(find_spec("openenv") is not None, reason="OpenEnv is installed"),
        ),
        (
            ["mcp"],
            "serve mcp got neither --tasks nor a video: give --tasks for a benchmark, or videos for an assistant",
        ),
        (
            ["mcp", "talk.mp4", "--tasks", "world"],
            "serve mcp got both --tasks and videos: give --tasks for a benchmark",
        ),
        (["mcp", "--tasks", "world", "--host", "0.0.0.0"], "--host and --allowed-hosts are for HTTP: add --port 8000"),
        (["mcp", "--tasks", "world", "--port", "0", "--host", "0.0.0.0"], "host=0.0.0.0: others can reach this server"),
        (["mcp", "--tasks", "world", "--port", "70000"], "port=70000: need 0 to 65535"),
        (["mcp", "--tasks", "world", "--limits.max-sessions", "0"], "max_sessions=0: need 1 or more"),
        (["mcp", "no_such.mp4"], "no_such.mp4: no such file or folder"),
        (["mcp", "no_such.mp4", "--frames-per-look", "0"], "frames_per_look=0: need 1 or more"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(arguments: list[str], message: str, capsys, monkeypatch):
    monkeypatch.delenv("VT_ENV_TOKEN", raising=False)
    assert run(["serve", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"vt-env: {message}")


def test_the_tool_set_and_the_form_of_answers_are_chosen_by_flags():
    chosen = ServeRun(("mcp",), tasks="world", tools="adaptive", answers="tool")
    names = [it.name for it in serve._source(chosen).tools]
    assert names[-1] == "answer"
    (zoom,) = [it for it in serve._source(chosen).tools if it.name == "frame_zoom"]
    assert "detail" in [it.name for it in zoom.parameters]


def test_videos_are_named_by_their_files_and_by_their_paths_where_two_share_a_name(tmp_path: Path):
    paths = [Path("talks/a.mp4"), Path("talks/b.mp4"), Path("films/b.mp4")]
    library = VideoLibrary(MediaConfig(), tmp_path)
    assert list(open_by_name(paths, library)) == ["a.mp4", "talks/b.mp4", "films/b.mp4"]
