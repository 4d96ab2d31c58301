"""An MCP server for a user's own videos: search, look, zoom, read; no question, no answer, no limit on calls.

Videos are named by their files, since they are the user's, and opened when they are first asked for. The tools are
those of an episode; where there are several videos, each takes the name of one as `video`, and searches may leave it
out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import anyio.to_thread
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    ToolAnnotations,
)

from vt_env.budget.remaining import Remaining
from vt_env.budget.spending import frame_size_px
from vt_env.config import BudgetConfig, EnvConfig
from vt_env.episode.perception import FramePerception
from vt_env.episode.serialisers import PictureFormat
from vt_env.errors import ConfigError, DataError, ToolError, suggest
from vt_env.integrations.mcp.results import (
    error_result,
    is_too_large,
    observation_result,
    server_version,
    tool_definition,
)
from vt_env.prompts import returned_text
from vt_env.protocols import Video
from vt_env.tools.check_arguments import check_arguments, show
from vt_env.tools.tool import Tool
from vt_env.tools.wire_schema import wire_schema
from vt_env.types import Box, Interval, Item, Observation, View, format_time

LIST_VIDEOS, VIDEO = "list_videos", "video"
"""Name of the tool that lists the videos, and of the argument that names one."""

_SEARCHES = ("clip_retrieval", "subtitle_retrieval")
_INSTRUCTIONS = (
    "Tools to watch long videos. Find the moments that matter with the retrieval tools, then look at frames of short "
    "intervals with frame_zoom, at details with spatial_zoom, and read what is said with subtitle_zoom. Times are "
    "mm:ss or seconds. list_videos names the videos and their lengths."
)


@dataclass(frozen=True)
class _Viewing:
    """A video as tools see it (`vt_env.tools.builtin.Playing`): without a question and without an end of the budget."""

    config: EnvConfig
    video: Video

    @property
    def item(self) -> Item:
        """An item without a question, for tools that look for one."""
        return Item("", "", ("A", "B"), self.video.ref)

    @property
    def remaining(self) -> Remaining:
        """Calls and frames of one look, which never run out."""
        return Remaining(1, self.config.budget.frames_per_zoom)

    def look(self, interval: Interval, count: int | None = None, share: float = 1.0) -> View:
        """Return frames of an interval."""
        size_px = frame_size_px(self.video, self.config.media, share)
        return self._perception.look(interval, count or self.config.budget.frames_per_zoom, size_px)

    def frame_tokens(self, share: float = 1.0) -> int:
        """Image tokens of a frame of this video at a share of its pixels."""
        return self.config.media.image_tokens(frame_size_px(self.video, self.config.media, share))

    def look_closer(self, time_s: float, box: Box) -> View:
        """Return a part of one frame."""
        return self._perception.look_closer(time_s, box)

    @property
    def _perception(self) -> FramePerception:
        return FramePerception(self.video, self.config.budget, prompts=self.config.prompts)


class AssistantServer:
    """Handlers of the protocol.

    Args:
        videos: Opens each video, by the name that is shown; the first call of one may take as long as indexing it.
        tools: Tools on offer.
        frames_per_look: Frames that one look returns at most.
        picture_format: Format of frames.

    Raises:
        ConfigError: There is no video, or a tool has a name that the server needs.
    """

    def __init__(
        self,
        videos: Mapping[str, Callable[[], Video]],
        tools: Iterable[Tool],
        frames_per_look: int = 8,
        picture_format: PictureFormat = "png",
    ) -> None:
        if not videos:
            raise ConfigError("videos: none is given; name a file or a folder that holds one")
        self._videos = dict(videos)
        self._tools = {tool.name: tool for tool in tools}
        arguments = {it.name for tool in self._tools.values() for it in tool.parameters}
        if LIST_VIDEOS in self._tools or VIDEO in arguments:
            raise ConfigError(f"tools: {LIST_VIDEOS!r} and the argument {VIDEO!r} are the server's own; rename yours")
        budget = BudgetConfig(max_frames=frames_per_look, frames_per_zoom=frames_per_look)
        self._config = EnvConfig(budget=budget)
        self._picture_format: PictureFormat = picture_format
        self._opening = {name: Lock() for name in videos}
        self._opened: dict[str, Video] = {}

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
        """List the tools; all of them only read."""
        listed = [
            tool_definition(
                LIST_VIDEOS, "List the videos, with their lengths and whether they have subtitles.", {"type": "object"}
            ),
            *(tool_definition(it.name, it.description, self._schema(it)) for it in self._tools.values()),
        ]
        only_reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
        return ListToolsResult(tools=[it.model_copy(update={"annotations": only_reads}) for it in listed])

    async def call_tool(self, ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        """Call a tool. Wrong names and arguments and videos that cannot be read are results with `is_error`."""
        arguments = dict(params.arguments or {})
        if is_too_large(arguments):
            return error_result(f"{params.name}: the arguments are longer than a mebibyte; shorten them")
        try:
            observation = await anyio.to_thread.run_sync(self.call, params.name, arguments)
        except (ToolError, DataError) as reason:
            return error_result(str(reason))
        return observation_result(observation, picture_format=self._picture_format)

    def call(self, name: str, arguments: Mapping[str, Any]) -> Observation:
        """Call a tool by name.

        Raises:
            ToolError: The call can be corrected; the message says how.
            DataError: The video cannot be read.
        """
        if name == LIST_VIDEOS:
            return self._observation(View("\n".join(map(self._line, self._videos))))
        tool = self._tools.get(name)
        if tool is None:
            raise ToolError(f"no tool {show(name)}; the tools are {', '.join([LIST_VIDEOS, *self._tools])}")
        own = {key: value for key, value in arguments.items() if key != VIDEO}
        named = arguments.get(VIDEO)
        if named is None and len(self._videos) > 1 and name in _SEARCHES:
            return self._observation(self._search_all(tool, own))
        return self._observation(self._view(self._name(named), tool, own))

    def _schema(self, tool: Tool) -> dict[str, Any]:
        schema = wire_schema(tool)
        if len(self._videos) == 1:
            return schema
        is_search = tool.name in _SEARCHES
        description = "Name of the video, as list_videos shows it" + ("; all videos if left out." if is_search else ".")
        required = [*schema.get("required", []), *([] if is_search else [VIDEO])]
        named = {VIDEO: {"type": "string", "description": description}}
        return {**schema, "properties": {**named, **schema["properties"]}, "required": required}

    def _name(self, named: object) -> str:
        if named is None and len(self._videos) == 1:
            return next(iter(self._videos))
        if not isinstance(named, str) or named not in self._videos:
            hint = suggest(named, self._videos) if isinstance(named, str) else ""
            raise ToolError(f"{VIDEO}={show(named)}: no such video; call {LIST_VIDEOS} for their names{hint}")
        return named

    def _open(self, name: str) -> Video:
        with self._opening[name]:
            if name not in self._opened:
                self._opened[name] = self._videos[name]()
            return self._opened[name]

    def _view(self, name: str, tool: Tool, arguments: Mapping[str, Any]) -> View:
        video = self._open(name)
        checked = check_arguments(tool, arguments, video.duration_s, self._config.budget)
        view = tool.function(_Viewing(self._config, video), **checked)
        return view if isinstance(view, View) else View(returned_text(view))

    def _search_all(self, tool: Tool, arguments: Mapping[str, Any]) -> View:
        """Search each video and show what was found below its name; those without a hit or unreadable are left out.

        Raises:
            DataError: No video can be read.
        """
        found: list[str] = []
        view: View | None = None
        failure = DataError("no video can be read")
        for name in self._videos:
            try:
                view = self._view(name, tool, arguments)
            except DataError as reason:
                failure = reason
                continue
            found += [f"{name}:\n{view.text}"] if view.lines else []
        if view is None:
            raise failure
        return View("\n\n".join(found) or view.text)

    def _line(self, name: str) -> str:
        try:
            video = self._open(name)
        except DataError as reason:
            return f"{name}: cannot be read ({reason})"
        has_subtitles = bool(video.subtitles.within(Interval(0.0, video.duration_s)))
        return f"{name}: {format_time(video.duration_s)} long, {'with' if has_subtitles else 'no'} subtitles"

    def _observation(self, view: View) -> Observation:
        return Observation(view.text, Remaining(1, self._config.budget.frames_per_zoom), view.frames, view.lines)
