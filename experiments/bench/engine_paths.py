"""Ways to make a call: a bare episode, MCP, OpenEnv, verl's loop, an actor of Ray; for `experiments.bench.engines`.

Clients are those of the frameworks, in the process of the server but for Ray. A framework that is not installed is left
out: each has an environment of its own (`.ci/engines`).
"""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vt_env.episode.serialisers import PictureFormat, mcp_content
from vt_env.integrations.open_sessions import SessionLimits
from vt_env.session import Session, SessionSource
from vt_env.types import ToolCall

DURATION_S = 60.0
"""Length of the video."""
LIMITS = SessionLimits(max_sessions=512)

Play = Callable[[], Awaitable[None]]
"""Makes the looks of one round in all episodes."""
Look = dict[str, object]
"""Arguments of `frame_zoom`."""


@dataclass(frozen=True)
class Scene:
    """What is played."""

    source: SessionSource
    folder: Path
    """For files of frameworks."""
    config: Mapping[str, Any]
    """Keyword arguments of `vt_env.SessionSource` that make the same source in another process."""
    episodes: int
    """Episodes at once."""
    calls: int
    """Looks of each episode in a round."""
    picture_format: PictureFormat

    @property
    def looks(self) -> list[Look]:
        """Intervals of 8 seconds, spread over the video."""
        step_s = (DURATION_S - 10) / self.calls
        return [{"start_s": step_s * number, "end_s": step_s * number + 8} for number in range(self.calls)]

    def open(self) -> list[Session]:
        """Open one session an episode."""
        return [self.source.open() for _ in range(self.episodes)]


async def bare(stack: AsyncExitStack, scene: Scene) -> Play:
    """Apply the looks to bare episodes."""
    sessions = scene.open()

    async def play() -> None:
        for look in scene.looks:
            for session in sessions:
                session.episode.apply(ToolCall("frame_zoom", look))

    return play


async def encoding(stack: AsyncExitStack, scene: Scene) -> Play:
    """Call sessions and write their frames as content, without a protocol."""
    sessions = scene.open()

    async def play() -> None:
        for look in scene.looks:
            for session in sessions:
                mcp_content(session.call("frame_zoom", look).observation, scene.picture_format)

    return play


async def mcp_in_process(stack: AsyncExitStack, scene: Scene) -> Play:
    """Call through the SDK's client in the process of the server."""
    return await _mcp(stack, scene, _mcp_server(scene))


async def mcp_over_http(stack: AsyncExitStack, scene: Scene) -> Play:
    """Call through the SDK's client over HTTP on loopback."""
    from vt_env.integrations.http_access import HttpConfig
    from vt_env.integrations.mcp.serve import PATH, http_app

    config = HttpConfig(port=0, limits=LIMITS)
    address = await stack.enter_async_context(_served(http_app(_mcp_server(scene), config), config))
    return await _mcp(stack, scene, f"{address}{PATH}")


async def openenv(stack: AsyncExitStack, scene: Scene) -> Play:
    """Call through OpenEnv's client over WebSockets on loopback."""
    from openenv.core import GenericEnvClient  # pyright: ignore[reportMissingImports]

    from vt_env.integrations.http_access import HttpConfig
    from vt_env.integrations.openenv import openenv_app

    config = HttpConfig(port=0, limits=LIMITS)
    app = openenv_app(scene.source, config, scene.picture_format)
    address = await stack.enter_async_context(_served(app, config))
    clients = [await stack.enter_async_context(GenericEnvClient(base_url=address)) for _ in range(scene.episodes)]
    for client in clients:
        await client.reset()

    async def look_through(client: Any) -> None:
        for look in scene.looks:
            step = await client.step({"type": "call_tool", "tool_name": "frame_zoom", "arguments": look})
            assert len(step.observation["result"]["content"]) == 3, step

    async def play() -> None:
        await asyncio.gather(*map(look_through, clients))

    return play


async def ray_actor(stack: AsyncExitStack, scene: Scene) -> Play:
    """Call sessions in two actors of a Ray cluster on this machine; results come back through its object store."""
    import ray  # pyright: ignore[reportMissingImports]

    for name, value in {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}.items():
        os.environ.setdefault(name, value)
    if not ray.is_initialized():
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20, log_to_driver=False)
    actor = ray.remote(num_cpus=1)(_Sessions)
    actors = [actor.remote(dict(scene.config), (scene.episodes + 1 - number) // 2) for number in range(2)]
    places = [(actors[number % 2], number // 2) for number in range(scene.episodes)]

    async def look_through(place: tuple[Any, int]) -> None:
        for look in scene.looks:
            text, frames = await place[0].look.remote(place[1], look)
            assert text and len(frames) == 2

    async def play() -> None:
        await asyncio.gather(*map(look_through, places))

    stack.callback(lambda: [ray.kill(it) for it in actors])
    return play


class _Sessions:
    """Sessions of one process."""

    def __init__(self, config: dict[str, Any], episodes: int) -> None:
        from vt_env.integrations.shared_source import session_source

        source = session_source(config)
        self._sessions = [source.open() for _ in range(episodes)]

    def look(self, number: int, look: Look) -> tuple[str, Any]:
        """Look, and return the text and the frames."""
        observation = self._sessions[number].call("frame_zoom", look).observation
        assert observation.frames is not None
        return observation.text, observation.frames.data


async def verl_loop(stack: AsyncExitStack, scene: Scene) -> Play:
    """Play whole rollouts of verl's worker with scripted tokens and the tiny model's processor.

    Beside the looks it holds what every rollout does: to open the episode, to render and tokenise results, to answer,
    and to pad the batch.
    """
    from experiments.bench.verl_rollouts import rollouts
    from vt_env.integrations.verl.rows import loop_entry

    loops = scene.folder / "agent_loops.json"
    loops.write_text(json.dumps([loop_entry("train", scene.config)]))
    calls = [f"<tool_call>\n{json.dumps({'name': 'frame_zoom', 'arguments': it})}\n</tool_call>" for it in scene.looks]
    task_id = scene.source.tasks[0].item.task_id
    return rollouts(loops, [*calls, "<answer>A</answer>"], task_id, scene.episodes)


PATHS: Mapping[str, tuple[str, Callable[[AsyncExitStack, Scene], Awaitable[Play]]]] = {
    "episode": ("vt_env", bare),
    "encoding": ("vt_env", encoding),
    "mcp in process": ("mcp.server.lowlevel", mcp_in_process),
    "mcp http": ("mcp.server.lowlevel", mcp_over_http),
    "openenv": ("openenv", openenv),
    "verl": ("verl", verl_loop),
    "ray": ("ray", ray_actor),
}
"""Name of a way to the module that it needs and what opens it."""


def is_here(name: str) -> bool:
    """Tell whether a way can be measured in this environment; OpenEnv brings an MCP that is older than ours."""
    needed = PATHS[name][0]
    if needed.startswith("mcp"):
        return find_spec("mcp_types") is not None
    return find_spec(needed) is not None


def _mcp_server(scene: Scene) -> Any:
    from vt_env.integrations.mcp.benchmark import BenchmarkServer

    return BenchmarkServer(scene.source, LIMITS, picture_format=scene.picture_format).server()


async def _mcp(stack: AsyncExitStack, scene: Scene, target: Any) -> Play:
    from mcp import Client

    clients: list[tuple[Any, str]] = []
    for _ in range(scene.episodes):
        client = await stack.enter_async_context(Client(target, mode="legacy"))
        begun = await client.call_tool("begin", {})
        clients.append((client, str((begun.meta or {})["vt-env/episode"])))

    async def look_through(client: Any, handle: str) -> None:
        for look in scene.looks:
            result = await client.call_tool("frame_zoom", {**look, "episode": handle})
            assert not result.is_error and len(result.content) == 3, result

    async def play() -> None:
        await asyncio.gather(*(look_through(*it) for it in clients))

    return play


@asynccontextmanager
async def _served(app: Any, config: Any) -> AsyncIterator[str]:
    """Serve over loopback on a free port, in a thread."""
    import uvicorn

    from vt_env.integrations.http_access import listen

    listening = listen(config)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=partial(server.run, sockets=[listening]), daemon=True)
    thread.start()
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    await asyncio.to_thread(thread.join, 20)
