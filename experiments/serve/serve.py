"""Serve episodes or videos to other programs: `vt-env serve mcp`, `vt-env serve openenv`.

    vt-env serve mcp --tasks lvbench          benchmark: begin, the tools of an episode, answer
    vt-env serve mcp talks/ film.mp4          assistant: search, look, zoom and read in your own videos
    vt-env serve openenv --tasks lvbench      episodes for the clients of OpenEnv

MCP is spoken over standard input and output with the program that starts it, or over HTTP with `--port`; OpenEnv over
HTTP alone.
"""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from experiments.data.video_paths import find_videos, video_ref
from experiments.settings.profile import MediaFlags, holds_world, is_world
from experiments.settings.prompts import EpisodeConfig, choose_prompts
from vt_env.config import at_least
from vt_env.errors import ConfigError
from vt_env.integrations.open_sessions import SessionLimits
from vt_env.media.library import VideoLibrary
from vt_env.prompts import resolve_prompts
from vt_env.protocols import Video
from vt_env.session import SessionSource
from vt_env.tools.builtin import can_search, tools_for
from vt_env.types import VideoRef

PROTOCOLS = ("mcp", "openenv")
OPENENV_PORT = 8000
TOKEN_VARIABLE = "VT_ENV_TOKEN"
"""Environment variable that holds the token, since command lines can be read by other users."""
ASSISTANT_MAX_PIXELS = 448 * 448
"""Pixels of a frame at most for an assistant, where neither a profile nor media are chosen: large enough to read a
slide."""


@dataclass(frozen=True)
class ServeRun(EpisodeConfig):
    """Serve episodes (`--tasks`) or your own videos over a protocol."""

    protocol_and_videos: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="mcp|openenv [VIDEO...]")
    ] = ()
    """The protocol, `mcp` or `openenv`; then video files and folders of videos for an assistant of `mcp`, none with
    --tasks."""
    tasks: str = ""
    """Task set of a benchmark, by name or path."""
    split: str = "test"
    """Split of the tasks."""
    budget: str | None = None
    """Budget of an episode: a preset, optionally with changes (`default,max_calls=16`), or changes alone of the
    profile's."""
    perception: Literal["frames", "captions"] = "frames"
    """What looking returns in an episode."""
    tools: Literal["default", "paper", "adaptive"] | None = None
    """Tool set of an episode, or of an assistant."""
    frames_per_look: int = 8
    """Frames that one look at a video returns at most, for an assistant."""
    picture_format: Literal["png", "jpeg"] | None = None
    """Format of frames: PNG keeps every pixel, JPEG is several times smaller and faster; by default PNG for a
    benchmark, JPEG for an assistant."""
    port: int | None = None
    """Serve HTTP on this port instead of standard input and output; 0 takes a free one. OpenEnv: 8000 by default."""
    host: str = "127.0.0.1"
    """With --port: address to listen on. Beyond this machine, $VT_ENV_TOKEN must hold a token."""
    allowed_hosts: tuple[str, ...] = ()
    """With --port: further names by which clients may call the server, such as its address in the network."""
    limits: SessionLimits = field(default_factory=SessionLimits)
    """Episodes open at once, and how long they may idle."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.protocol not in PROTOCOLS:
            got = " ".join(self.protocol_and_videos) or "no protocol"
            raise ConfigError(
                f"serve {got}: allowed are mcp and openenv: vt-env serve mcp --tasks world, vt-env serve mcp talk.mp4"
            )
        if self.protocol == "openenv" and (self.videos or not self.tasks):
            raise ConfigError("serve openenv serves episodes: give --tasks, and no videos")
        if bool(self.tasks) == bool(self.videos):
            got = "both --tasks and videos" if self.tasks else "neither --tasks nor a video"
            raise ConfigError(f"serve mcp got {got}: give --tasks for a benchmark, or videos for an assistant")
        if self.port is None and self.protocol == "mcp" and (self.host, self.allowed_hosts) != ("127.0.0.1", ()):
            raise ConfigError("--host and --allowed-hosts are for HTTP: add --port 8000")
        at_least(self, "frames_per_look", 1)

    @property
    def protocol(self) -> str:
        """First word: the protocol."""
        return (*self.protocol_and_videos, "")[0]

    @property
    def plays_world(self) -> bool:
        """Whether tasks or videos are of the generated world."""
        return is_world(self.tasks) if self.tasks else bool(self.videos) and all(map(holds_world, self.videos))

    @property
    def videos(self) -> list[Path]:
        """Files and folders of videos."""
        return [Path(it) for it in self.protocol_and_videos[1:]]


def main(run: ServeRun) -> None:
    """Serve until the client hangs up (standard input) or the process is interrupted (HTTP).

    Raises:
        ConfigError: The tasks, the videos or the address cannot be served.
    """
    logging.basicConfig(level=logging.WARNING, format="vt-env: %(message)s", stream=sys.stderr)
    if run.protocol == "openenv":
        _serve_openenv(run)
    elif run.port is None:
        from vt_env.integrations.mcp.serve import run_stdio

        run_stdio(_server(run))
    else:
        from vt_env.integrations.mcp.serve import run_http

        config = _http_config(run, run.port)
        run_http(_server(run), config)


def _http_config(run: ServeRun, port: int) -> Any:
    from vt_env.integrations.http_access import HttpConfig

    return HttpConfig(run.host, port, os.environ.get(TOKEN_VARIABLE, ""), run.allowed_hosts, run.limits)


def _serve_openenv(run: ServeRun) -> None:
    try:
        from vt_env.integrations.openenv import run_openenv
    except ModuleNotFoundError as reason:
        if (reason.name or "").partition(".")[0] != "openenv":
            raise
        raise ConfigError(
            "serve openenv needs OpenEnv, which cannot share an environment with the extra mcp: in a new one, "
            "pip install openenv==0.10.0 vt-env"
        ) from reason
    port = OPENENV_PORT if run.port is None else run.port
    config = _http_config(run, port)
    run_openenv(_source(run), config, run.picture_format or "png")


def _server(run: ServeRun) -> Any:
    return _benchmark(run) if run.tasks else _assistant(run)


def _benchmark(run: ServeRun) -> Any:
    from vt_env.integrations.mcp.benchmark import BenchmarkServer

    is_single_client = run.port is None
    return BenchmarkServer(
        _source(run), run.limits, is_single_client=is_single_client, picture_format=run.picture_format or "png"
    ).server()


def _source(run: ServeRun) -> SessionSource:
    return SessionSource(
        run.tasks,
        run.split,
        run.perception,
        tools=run.offered,
        profile=run.chosen,
        prompts=choose_prompts(run.prompts, None, other=resolve_prompts(run.chosen.prompts)),
        library=run.open_library(),
    )


def _assistant(run: ServeRun) -> Any:
    from vt_env.integrations.mcp.assistant import AssistantServer

    videos = find_videos(run.videos)
    if run.profile is None and not run.media.given:
        run = replace(run, media=MediaFlags(max_pixels=ASSISTANT_MAX_PIXELS))
    library = run.open_library()
    opens = open_by_name(videos, library)
    is_searched = can_search(library, [VideoRef("", str(path)) for path in videos])
    tools = tools_for("frames", run.offered, can_search=is_searched)
    return AssistantServer(opens, tools, run.frames_per_look, run.picture_format or "jpeg").server()


def open_by_name(paths: Sequence[Path], library: VideoLibrary) -> Mapping[str, Callable[[], Video]]:
    """Return what opens each video, by its file's name; videos whose names are the same are named by their paths."""
    names = [path.name for path in paths]
    return {path.name if names.count(path.name) == 1 else str(path): partial(_open, path, library) for path in paths}


def _open(path: Path, library: VideoLibrary) -> Video:
    return library.open(video_ref(path))
