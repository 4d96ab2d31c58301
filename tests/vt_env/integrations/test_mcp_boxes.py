"""The law of boxes (`tests/vt_env/test_box_law.py`) through both MCP servers and the SDK's own client."""

from functools import partial
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

pytest.importorskip("mcp", reason="needs the mcp extra")

from mcp import Client
from mcp.server.lowlevel import Server
from support.place_videos import BOXES, SPECS, Shown, assert_law, looks, opened, shapes, tasks

from vt_env.episode.serialisers import PictureFormat, decode_picture
from vt_env.integrations.mcp.assistant import AssistantServer
from vt_env.integrations.mcp.benchmark import BenchmarkServer
from vt_env.session import SessionSource
from vt_env.tools.builtin import tools_for

__all__ = ["shapes"]


def benchmark(folder: Path, name: str, picture_format: PictureFormat) -> Server:
    source = SessionSource(tasks(folder, name), library=opened(folder), budget="default,max_calls=20")
    return BenchmarkServer(source, is_single_client=True, picture_format=picture_format).server()


def assistant(folder: Path, name: str, picture_format: PictureFormat) -> Server:
    video = tasks(folder, name)[0].item.video
    opens = {name: partial(opened(folder).open, video)}
    return AssistantServer(opens, tools_for("frames"), picture_format=picture_format).server()


async def look(server: Server, *, begins: bool) -> list[Shown]:
    shown: list[Any] = []
    async with Client(server, mode="legacy", raise_exceptions=True) as client:
        if begins:
            await client.call_tool("begin", {})
        for box in BOXES:
            for call in looks(box):
                result = await client.call_tool(call.name, dict(call.arguments))
                shown.append(np.asarray(decode_picture(result.content[0].data)))
    return list(zip(shown[::2], shown[1::2], strict=True))


@pytest.mark.parametrize("picture_format", ["png", "jpeg"])
@pytest.mark.parametrize("serve", [benchmark, assistant])
@pytest.mark.parametrize("name", SPECS)
def test_what_is_boxed_in_a_picture_from_the_server_is_what_its_closer_look_holds(
    shapes: Path, name: str, serve: Any, picture_format: PictureFormat
) -> None:
    server = serve(shapes, name, picture_format)
    for shown, box in zip(anyio.run(partial(look, server, begins=serve is benchmark)), BOXES, strict=True):
        # JPEG keeps places, and colours nearly.
        assert_law(shown, name, box, tolerance=0.025 if picture_format == "png" else 0.04)
