"""Built-in tools and their selection.

Each tool is a plain function of the episode and its arguments, which arrive checked (`vt_env.tools.check_arguments`).
Docstrings here are written for the model: they are the descriptions in the JSON schema. Six tools are the paper's
(VideoThinker, arXiv 2601.15724); `spatial_zoom` is an extension, since the paper's abstract names it and nothing
defines it, and so are `screen_text` and the zooms of `vt_env.tools.adaptive`. Three are those of other public agents
(`vt_env.prompts.peers`). A custom tool is one more such function, passed beside the names of built-in ones.
"""

# ruff: noqa: D417  The episode is not an argument that the model gives, so the docstrings leave it out.

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from vt_env.budget.remaining import Remaining
from vt_env.config import EnvConfig
from vt_env.errors import ConfigError, ToolError, suggest
from vt_env.prompts import clip_lines, read_lines, returned_text, spoken_lines
from vt_env.protocols import Library, Video
from vt_env.timed_lines import TimedLines, joined_by_interval
from vt_env.tools.adaptive import ADAPTIVE_ZOOMS
from vt_env.tools.caption_tree import segment_interval
from vt_env.tools.tool import Tool, ToolFunction
from vt_env.types import Box, Interval, Item, SubtitleLine, VideoRef, View, format_time

SUMMARY_LINES = 6
"""Lines of a subtitle summary at most."""
SCREEN_LINES = 40
"""Lines of text on the screen at most; a clock alone would fill a context otherwise."""

ToolChoice = str | Tool | ToolFunction | Sequence[str | Tool | ToolFunction]
"""A mode (`"default"`, `"paper"`, `"adaptive"`, `"none"`), a name, tool or function, or several of these; functions
alone are added to `"default"`."""


class Playing(Protocol):
    """Interface of an episode to its tools. Every view goes through it, so that no tool can overspend the budget."""

    item: Item
    config: EnvConfig
    video: Video

    @property
    def remaining(self) -> Remaining:
        """Remaining budget."""
        ...

    def look(self, interval: Interval, count: int | None = None, share: float = 1.0) -> View:
        """Look at an interval as `Episode.look`; raises `BudgetError` if the budget does not hold one frame."""
        ...

    def look_closer(self, time_s: float, box: Box) -> View:
        """Look at part of one frame; raises `BudgetError` if the budget does not hold the picture."""
        ...

    def frame_tokens(self, share: float = 1.0) -> int:
        """Image tokens of a frame of the video at a share of its pixels."""
        ...


def clip_retrieval(episode: Playing, query: str, top_k: int = 4) -> View:
    """Find the clips of the video that look most like a description.

    Args:
        query: What to look for.
        top_k: Number of clips to return.
    """
    video = episode.video
    lines = clip_lines(video.search_clips(query, top_k), named=len(video.search_sources) > 1)
    return View(episode.config.prompts.clips_text(lines), lines=lines)


def subtitle_retrieval(episode: Playing, query: str, top_k: int = 4) -> View:
    """Find the subtitles that best match a query.

    Args:
        query: What to look for.
        top_k: Number of subtitles to return.
    """
    found = [line for line, _ in episode.video.subtitles.search(query, top_k)]
    return _subtitles(episode, found, [line.interval for line in found])


def subtitle_summary(episode: Playing, query: str) -> View:
    """Sum up what the subtitles say about a query.

    Args:
        query: What to sum up.
    """
    track = episode.video.subtitles
    found = track.summary(query, SUMMARY_LINES)
    # What counts as viewed is the same whoever writes: a model reads the whole track, which would be evidence for all.
    viewed = [line.interval for line in found]
    written = track.written_summary(query)
    if written:
        return View(written, viewed=tuple(viewed), lines=read_lines(returned_text(written)))
    return _subtitles(episode, found, viewed)


def subtitle_zoom(episode: Playing, start_s: float, end_s: float) -> View:
    """Read all subtitles of an interval.

    Args:
        start_s: Start of the interval, mm:ss.
        end_s: End of the interval, mm:ss.
    """
    interval = Interval(start_s, end_s)
    found = episode.video.subtitles.within(interval)
    # Silence is no evidence: of the interval, only what was spoken about counts as viewed.
    return _subtitles(episode, found, [line.interval.clipped(interval) for line in found])


def frame_zoom(episode: Playing, start_s: float, end_s: float) -> View:
    """Look at frames of an interval.

    Args:
        start_s: Start of the interval, mm:ss.
        end_s: End of the interval, mm:ss.
    """
    return episode.look(Interval(start_s, end_s))


def caption_zoom(episode: Playing, start_s: float, end_s: float) -> View:
    """Read the captions of an interval.

    Args:
        start_s: Start of the interval, mm:ss.
        end_s: End of the interval, mm:ss.
    """
    return episode.look(Interval(start_s, end_s))


def spatial_zoom(episode: Playing, time_s: float, box: list[float]) -> View:
    """Look closely at a part of one frame.

    Args:
        time_s: Time of the frame, mm:ss.
        box: Left, top, right and bottom of the part, as fractions of the frame.
    """
    return episode.look_closer(time_s, Box(*box))


def screen_text(episode: Playing, start_s: float, end_s: float) -> View:
    """Read the text that can be seen in the pictures of an interval, such as slides, signs and scoreboards.

    Args:
        start_s: Start of the interval, mm:ss.
        end_s: End of the interval, mm:ss.
    """
    interval = Interval(start_s, end_s)
    found = joined_by_interval(TimedLines(episode.video.screen_text or ()).within(interval))
    lines = spoken_lines(found[:SCREEN_LINES])
    viewed = tuple(line.interval.clipped(interval) for line in found[:SCREEN_LINES])
    return View(episode.config.prompts.screen_lines_text(lines, len(found)), viewed=viewed, lines=lines)


def frame_number(episode: Playing, time_s: float) -> str:
    """Get the number of the frame at a time.

    Args:
        time_s: Time in the video, mm:ss.
    """
    return f"Frame number at time {format_time(time_s)} is: {int(time_s)}."


def get_caption(episode: Playing, segment: list[int]) -> View:
    """Read the captions of a segment of the video.

    Args:
        segment: Numbers of the segment, the highest level first.
    """
    return episode.look(segment_interval(segment, episode.video.duration_s))


def video_qa(episode: Playing, segment: list[int], query: str) -> View:
    """Ask about a segment of the video.

    Args:
        segment: Numbers of the segment, the highest level first.
        query: Question about the segment.
    """
    # No second model answers here, so that what there is to read of the segment is shown.
    return episode.look(segment_interval(segment, episode.video.duration_s))


def answer(episode: Playing, option: str) -> View:
    """Give the final answer, which ends the search. Call it alone.

    Args:
        option: Letter of the option.
    """
    # Readers and episodes take a call of this tool for the answer that it holds.
    raise ToolError("an answer ends the episode; it returns nothing")


def _subtitles(episode: Playing, found: Sequence[SubtitleLine], viewed: Sequence[Interval]) -> View:
    lines = spoken_lines(found)
    return View(episode.config.prompts.subtitles_text(lines), viewed=tuple(viewed), lines=lines)


_FRAMES, _CAPTIONS = ("frames",), ("captions",)
_BUILT_IN: Mapping[str, tuple[Tool, tuple[str, ...]]] = {
    tool.name: (tool, perceptions)
    for tool, perceptions in (
        (Tool.of(clip_retrieval), _FRAMES + _CAPTIONS),
        (Tool.of(subtitle_retrieval), _FRAMES + _CAPTIONS),
        (Tool.of(subtitle_summary), _FRAMES + _CAPTIONS),
        (Tool.of(frame_zoom), _FRAMES),
        (Tool.of(caption_zoom), _CAPTIONS),
        (Tool.of(subtitle_zoom), _FRAMES + _CAPTIONS),
        (Tool.of(spatial_zoom), _FRAMES + _CAPTIONS),
        (Tool.of(screen_text), _FRAMES + _CAPTIONS),
        (Tool.of(frame_number), _FRAMES),
        (Tool.of(get_caption), _CAPTIONS),
        (Tool.of(video_qa), _CAPTIONS),
    )
}

SCREEN_TEXT_TOOL = "screen_text"
"""The tool for videos whose screen was read; part of no mode."""
FRAME_NUMBER_TOOL = "frame_number"
"""The tool of FrameThinker besides its zoom; part of no mode."""
CAPTION_TREE_TOOLS = ("get_caption", "video_qa")
"""The tools of LongVideo-R1; part of no mode."""
_PEER_TOOLS = (FRAME_NUMBER_TOOL, *CAPTION_TREE_TOOLS)
DEFAULT_TOOLS: tuple[str, ...] = tuple(name for name in _BUILT_IN if name not in (SCREEN_TEXT_TOOL, *_PEER_TOOLS))
"""The paper's tools and `spatial_zoom`, which is an extension."""
PAPER_TOOLS: tuple[str, ...] = tuple(name for name in DEFAULT_TOOLS if name != "spatial_zoom")
"""The paper's tools; the perception decides which of `frame_zoom` and `caption_zoom` is offered."""

ANSWER_TOOL = Tool.of(answer)
"""How a policy answers where its prompt set says `answers="tool"`; an extension, the paper answers in text."""

ADAPTIVE = "adaptive"
"""The mode `default` with the zooms of `vt_env.tools.adaptive`; an extension."""

_MODES: Mapping[str, tuple[str, ...]] = {
    "default": DEFAULT_TOOLS,
    "paper": PAPER_TOOLS,
    ADAPTIVE: DEFAULT_TOOLS,
    "none": (),
}


def tools_for(
    perception: str, tools: ToolChoice = "default", *, can_search: bool = True, answers: str = "tag"
) -> tuple[Tool, ...]:
    """Return the tools that a policy is offered, in order.

    Args:
        perception: `"frames"` or `"captions"`; a mode's tools that need the other one are left out.
        tools: See `ToolChoice`.
        can_search: Whether clips can be searched at all, see `can_search`; `clip_retrieval` is left out if not.
        answers: `PromptSet.answers`; `"tool"` adds `ANSWER_TOOL` behind the others, where there are others.

    Raises:
        ConfigError: There is no such tool or mode, it needs the other perception, two tools share a name, or
            `clip_retrieval` alone is chosen and clips cannot be searched.
    """
    chosen = [tools] if isinstance(tools, str) or not isinstance(tools, Sequence) else list(tools)
    if not chosen:
        raise ConfigError("tools=[]: need a name or more; 'none' offers no tool")
    if not any(isinstance(it, str) for it in chosen):
        chosen = ["default", *chosen]
    offered = [tool for it in chosen for tool in _offered(perception, it)]
    if offered and answers == "tool":
        offered.append(ANSWER_TOOL)
    names = [tool.name for tool in offered]
    if any(tool.name == ANSWER_TOOL.name and tool is not ANSWER_TOOL for tool in offered):
        raise ConfigError("tool answer: the name is that of the tool that ends an episode; give yours another one")
    if len(set(names)) < len(names):
        raise ConfigError(f"tools={names}: names must differ; leave out or rename one")
    usable = tuple(tool for tool in offered if can_search or not searches_clips(tool))
    if offered and not set(usable) - {ANSWER_TOOL}:
        raise ConfigError(f"tools={names}: clips cannot be searched here, see the terminal; choose other tools as well")
    return usable


def searches_clips(tool: Tool) -> bool:
    """Return whether this is the built-in `clip_retrieval`, which needs a video that can be searched."""
    return tool.function is clip_retrieval


def can_search(library: Library, videos: Iterable[VideoRef]) -> bool:
    """Return whether the clips of at least one of the videos can be searched; no video is opened.

    The tools of a run are fixed by this. An episode about a video that cannot be searched does without the tool: where
    the policy was told of it for the whole run, its call fails with a message.
    """
    return any(library.search_sources(ref) for ref in dict.fromkeys(videos))


def check_video(tools: Sequence[Tool], video: Video) -> None:
    """Check that a video has what its tools need.

    Raises:
        ConfigError: `screen_text` is offered and the screen was not read.
    """
    if any(tool.function is screen_text for tool in tools) and video.screen_text is None:
        raise ConfigError(
            f"tool {SCREEN_TEXT_TOOL!r}: the screen of video {video.ref.handle} was not read; add --screen-text, "
            "TextModels(screen_ocr=ScreenOcr()) in Python, or leave the tool out"
        )


def _offered(perception: str, choice: str | Tool | ToolFunction) -> list[Tool]:
    if isinstance(choice, Tool):
        return [choice]
    if not isinstance(choice, str):
        return [Tool.of(choice)]
    if choice in _MODES:
        offered = [_BUILT_IN[name][0] for name in _MODES[choice] if perception in _BUILT_IN[name][1]]
        return [ADAPTIVE_ZOOMS.get(it.name, it) for it in offered] if choice == ADAPTIVE else offered
    if choice not in _BUILT_IN:
        allowed = [*_MODES, *_BUILT_IN]
        hint = suggest(choice, allowed)
        raise ConfigError(f"tool {choice!r}: allowed are {', '.join(allowed)} or a function{hint}")
    tool, perceptions = _BUILT_IN[choice]
    if perception not in perceptions:
        raise ConfigError(f"tool {choice!r} needs perception={perceptions[0]!r}, got {perception!r}; drop one of them")
    return [tool]
