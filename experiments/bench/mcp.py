"""Cost of a call through MCP beside a bare episode: `python -m experiments.bench.mcp --out FILE.json`.

Each call looks at two frames of a camera-like video. Clients are the SDK's own, in the process of the server, so times
hold both sides. `encoding` is a call of a session whose frames are written as content, without a protocol.

| number | meaning |
|---|---|
| `cpu_ms`, `wall_ms` | time of one call, median over rounds, in milliseconds |
| `overhead_ms` | `cpu_ms` less that of the bare episode; target 2 in process, 10 over HTTP, at 16 episodes |

Each round measures every path in turn, so that neither other work nor a change of clock rate favours one of them.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import tyro
import uvicorn
from mcp import Client

from experiments.bench.fixtures.camera_like_video import write_pictures
from experiments.data.video_paths import video_ref
from experiments.runs.provenance import machine, package_version
from experiments.runs.run_dir import write_json
from vt_env.config import BudgetConfig, MediaConfig
from vt_env.episode.serialisers import PictureFormat, mcp_content
from vt_env.integrations.http_access import HttpConfig
from vt_env.integrations.mcp.benchmark import BenchmarkServer
from vt_env.integrations.mcp.serve import PATH, http_app
from vt_env.media.library import VideoLibrary
from vt_env.session import Session, SessionSource
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import Item, ToolCall

ENDLESS = BudgetConfig(max_calls=10**6, max_frames=10**7, frames_per_zoom=2)
"""Budget that a benchmark does not exhaust."""
DURATION_S = 60.0

Play = Callable[[], Awaitable[None]]
"""Makes the calls of one round in all episodes."""


@dataclass(frozen=True)
class McpBench:
    """Measure calls through MCP."""

    out: Path | None = None
    """JSON file to write."""
    episodes: tuple[int, ...] = (1, 16)
    """Numbers of episodes at once."""
    max_pixels: tuple[int, ...] = (112 * 112, 448 * 448)
    """Budgets of pixels a frame."""
    formats: tuple[PictureFormat, ...] = ("png", "jpeg")
    """Formats of frames on the wire."""
    rounds: int = 15
    """Rounds; medians are taken over them."""
    calls: int = 10
    """Calls of each episode in a round."""


def main(run: McpBench) -> None:
    """Measure, print the numbers and write them to `out`."""
    measured: list[dict[str, Any]] = []
    with TemporaryDirectory() as name:
        path = Path(name, "talk.mp4")
        write_pictures(path, DURATION_S)
        for max_pixels in run.max_pixels:
            source = _source(path, max_pixels)
            for picture_format in run.formats:
                for count in run.episodes:
                    times = anyio.run(_measure, run, source, picture_format, count)
                    row = {"max_pixels": max_pixels, "format": picture_format, "episodes": count, **_summary(times)}
                    measured.append(row)
                    print(row, flush=True)
    record = {
        "command": "python -m experiments.bench.mcp",
        "versions": {name: package_version(name) for name in ("mcp", "pillow", "uvicorn")},
        "machine": machine(),
        "rounds": run.rounds,
        "calls": run.calls,
        "measured": measured,
    }
    if run.out is not None:
        write_json(run.out, record)


def _source(path: Path, max_pixels: int) -> SessionSource:
    media = MediaConfig(max_pixels=max_pixels)
    library = VideoLibrary(media, path.parent / str(max_pixels))
    task = Task(Item("talk", "what is shown?", ("a talk", "a film"), video_ref(path)), None)
    return SessionSource(TaskSet((task,)), budget=ENDLESS, media=media, library=library)


def _summary(times: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, dict[str, float]]:
    cpu_ms, wall_ms = (
        {name: 1e3 * median(it[at] for it in rounds) for name, rounds in times.items()} for at in range(2)
    )
    overhead_ms = {name: it - cpu_ms["episode"] for name, it in cpu_ms.items() if name != "episode"}
    named = {"cpu_ms": cpu_ms, "wall_ms": wall_ms, "overhead_ms": overhead_ms}
    return {key: {name: round(it, 2) for name, it in row.items()} for key, row in named.items()}


async def _measure(
    run: McpBench, source: SessionSource, picture_format: PictureFormat, count: int
) -> dict[str, list[tuple[float, float]]]:
    """Return CPU and wall seconds of a call, one pair a round, by path."""
    server = BenchmarkServer(source, picture_format=picture_format).server()
    bare = [source.open() for _ in range(count)]
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(_served(server))
        paths: dict[str, Play] = {
            "episode": partial(_play_bare, bare, run.calls),
            "encoding": partial(_play_encoded, [source.open() for _ in range(count)], run.calls, picture_format),
        }
        for name, target in (("in process", server), ("http", address)):
            clients = [await stack.enter_async_context(Client(target, mode="legacy")) for _ in range(count)]
            begun = [await client.call_tool("begin", {}) for client in clients]
            handles = [str((it.meta or {})["vt-env/episode"]) for it in begun]
            paths[name] = partial(_play_clients, list(zip(clients, handles, strict=True)), run.calls)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in paths}
        for number in range(run.rounds + 1):
            for name, play in paths.items():
                cpu_s, wall_s = time.process_time(), time.perf_counter()
                await play()
                each = run.calls * count
                pair = ((time.process_time() - cpu_s) / each, (time.perf_counter() - wall_s) / each)
                # The first round is not counted: it warms connections and caches.
                times[name] += [pair] if number else []
    return times


def _looks(calls: int) -> list[dict[str, object]]:
    step_s = (DURATION_S - 10) / calls
    return [{"start_s": step_s * number, "end_s": step_s * number + 8} for number in range(calls)]


async def _play_bare(sessions: Sequence[Session], calls: int) -> None:
    for look in _looks(calls):
        for session in sessions:
            session.episode.apply(ToolCall("frame_zoom", look))


async def _play_encoded(sessions: Sequence[Session], calls: int, picture_format: PictureFormat) -> None:
    for look in _looks(calls):
        for session in sessions:
            mcp_content(session.call("frame_zoom", look).observation, picture_format)


async def _play_clients(clients: Sequence[tuple[Client, str]], calls: int) -> None:
    async def play(client: Client, handle: str) -> None:
        for look in _looks(calls):
            result = await client.call_tool("frame_zoom", {**look, "episode": handle})
            assert not result.is_error and len(result.content) == 3, result

    async with anyio.create_task_group() as group:
        for client, handle in clients:
            group.start_soon(play, client, handle)


@asynccontextmanager
async def _served(server: Any) -> AsyncIterator[str]:
    """Serve over loopback on a free port."""
    running = uvicorn.Server(uvicorn.Config(http_app(server, HttpConfig(port=0)), port=0, log_level="warning"))
    async with anyio.create_task_group() as group:
        group.start_soon(running.serve)
        while not running.started:
            await anyio.sleep(0.01)
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}{PATH}"
        running.should_exit = True


if __name__ == "__main__":
    main(tyro.cli(McpBench))
