"""The MCP server for a user's own videos, with the SDK's own client."""

from functools import partial
from typing import Any

import anyio
import numpy as np
import pytest

pytest.importorskip("mcp", reason="needs the mcp extra")

from mcp import Client

from vt_env import ConfigError, DataError, Interval, ToolError, VideoRef
from vt_env.episode.serialisers import decode_picture
from vt_env.integrations.mcp.assistant import AssistantServer
from vt_env.testing import FakeLibrary, FakeVideo, read_second
from vt_env.tools.builtin import tools_for
from vt_env.types import SubtitleLine

TALK = FakeVideo(VideoRef("talk", "talk.mp4"))
FILM = FakeVideo(
    VideoRef("film", "film.mp4"), duration_s=90, subtitle_lines=(SubtitleLine(Interval(5, 8), "the code is green"),)
)


def broken() -> FakeVideo:
    return FakeLibrary(()).open(VideoRef("gone", "gone.mp4"))


def assistant(*videos: FakeVideo, **options: Any) -> AssistantServer:
    opens = {video.ref.path: partial(FakeLibrary(videos).open, video.ref) for video in videos}
    return AssistantServer(opens, tools_for("frames"), **options)


def text(result: Any) -> str:
    return next(it.text for it in result.content if it.type == "text")


def test_a_look_shows_frames_and_their_times_and_never_runs_out():
    async def watch() -> None:
        async with Client(assistant(TALK, frames_per_look=3).server()) as client:
            for _ in range(50):
                seen = await client.call_tool("frame_zoom", {"start_s": "05:00", "end_s": 309})
            assert [it.type for it in seen.content] == ["image"] * 3 + ["text"]
            assert text(seen) == "Shown here: frames of the video at 05:01 05:04 05:07."
            assert [read_second(decode_picture(it.data)) for it in seen.content[:3]] == [301, 304, 307]
            crop = await client.call_tool("spatial_zoom", {"time_s": "05:01", "box": [0, 0, 0.5, 1]})
            assert np.all(decode_picture(crop.content[0].data)[:, -1] == 128)

    anyio.run(watch)


def test_tools_only_read_and_name_a_video_where_there_are_several():
    async def schemas(server: AssistantServer) -> dict[str, Any]:
        async with Client(server.server()) as client:
            tools = (await client.list_tools()).tools
            assert all(it.annotations is not None and it.annotations.read_only_hint for it in tools)
            return {it.name: it.input_schema for it in tools}

    one, two = anyio.run(schemas, assistant(TALK)), anyio.run(schemas, assistant(TALK, FILM))
    assert one.keys() == two.keys() and "list_videos" in one
    assert not any("video" in it.get("properties", {}) for it in one.values())
    assert two["frame_zoom"]["required"] == ["start_s", "end_s", "video"]
    assert two["subtitle_retrieval"]["required"] == ["query"] and "video" in two["subtitle_retrieval"]["properties"]


def test_several_videos_are_listed_searched_together_and_looked_at_by_name():
    server = assistant(TALK, FILM)
    listed = server.call("list_videos", {}).text
    assert listed == "talk.mp4: 10:00 long, with subtitles\nfilm.mp4: 01:30 long, with subtitles"
    found = server.call("subtitle_retrieval", {"query": "code"}).text
    assert found.index("talk.mp4:") < found.index("delta") < found.index("film.mp4:") < found.index("green")
    alone = server.call("subtitle_retrieval", {"query": "code", "video": "film.mp4"}).text
    assert "green" in alone and "delta" not in alone
    assert server.call("subtitle_retrieval", {"query": "volcano"}).text == "No subtitles were found."
    frames = server.call("frame_zoom", {"video": "film.mp4", "start_s": 4, "end_s": 5}).frames
    assert frames is not None and frames.pts_s.tolist() == [4.0]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("frame_zoom", {"start_s": 1, "end_s": 2}, "video=None: no such video; call list_videos for their names"),
        ("frame_zoom", {"video": "flim.mp4"}, "video='flim.mp4': no such video; call list_videos .*mean 'film.mp4'"),
        ("frame_zoom", {"video": "../../etc/passwd"}, "video='../../etc/passwd': no such video"),
        ("frame_zoom", {"video": "film.mp4", "start_s": 1, "end_s": 95}, "end_s=01:35: the video is 01:30 long"),
        ("answer", {"answer": "A"}, "no tool 'answer'; the tools are list_videos, "),
    ],
)
def test_a_wrong_call_says_what_is_allowed(name: str, arguments: dict[str, Any], message: str):
    with pytest.raises(ToolError, match=message):
        assistant(TALK, FILM).call(name, arguments)


def test_a_video_that_cannot_be_read_hides_no_other():
    server = AssistantServer({"gone.mp4": broken, "talk.mp4": lambda: TALK}, tools_for("frames"))
    gone, talk = server.call("list_videos", {}).text.splitlines()
    assert gone.startswith("gone.mp4: cannot be read (") and talk == "talk.mp4: 10:00 long, with subtitles"
    assert "talk.mp4:\n" in server.call("subtitle_retrieval", {"query": "code"}).text
    with pytest.raises(DataError):
        server.call("frame_zoom", {"video": "gone.mp4", "start_s": 1, "end_s": 2})


def test_without_a_video_or_with_tools_of_the_server_s_names_nothing_is_served():
    def play(episode, video: str) -> str:  # noqa: D417
        """Play.

        Args:
            video: Which one.
        """
        return video

    with pytest.raises(ConfigError, match="videos: none is given; name a file or a folder that holds one"):
        AssistantServer({}, tools_for("frames"))
    with pytest.raises(ConfigError, match="'list_videos' and the argument 'video' are the server's own"):
        AssistantServer({"talk.mp4": lambda: TALK}, tools_for("frames", play))
