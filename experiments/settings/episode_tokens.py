"""Tokens of an episode by part, counted with a model's own processor or tokenizer; no weights are read.

Pictures are counted by the rule of `MediaConfig.image_tokens`, and by the processor itself beside it. Results of tools
that return text are counted from sample lines, since their real length is known only when they are called.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.language.token_policy import ChatTokens
from vt_env.budget.remaining import Remaining
from vt_env.config import EnvConfig
from vt_env.episode.messages import message
from vt_env.prompts import PromptSet, clip_lines, spoken_lines
from vt_env.tasks.task_set import Task
from vt_env.tools.adaptive import ADAPTIVE_ZOOMS
from vt_env.tools.builtin import SCREEN_LINES, SUMMARY_LINES
from vt_env.tools.tool import Tool
from vt_env.types import FrameBatch, Interval, Item, ScoredInterval, SubtitleLine

FRAMES_TOOL = "frame_zoom"
"""Tool that shows frames."""
LONG_VIDEO_S = 36_000.0
"""Length of video whose times are counted, ten hours."""
_SPOKEN = "and this is what we measured again in the second week of the trial"
_SEEN = "A person in a dark jacket stands beside a table and points at a chart with three bars on a white wall"
_WRITTEN = "Quarterly results by region"
_CALL = '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}\n</tool_call>'
_SPOKEN_A_MINUTE = 20


@dataclass(frozen=True)
class PictureTokens:
    """Image tokens of a frame of one shape."""

    native_px: tuple[int, int]
    """Width and height of the videos."""
    videos: int
    """How many of the videos have it."""
    shown_px: tuple[int, int]
    """Width and height of the frame as it is shown."""
    tokens: int
    """By our rule, which the budget is charged by."""
    counted: int | None
    """By the model's image processor; `None` for a text-only model."""


@dataclass(frozen=True)
class TokenPart:
    """One part of an episode."""

    name: str
    tokens: int
    """Tokens of one."""
    count: int
    """How many an episode has at most."""
    note: str = ""

    @property
    def total(self) -> int:
        """Tokens of all of them."""
        return self.tokens * self.count


@dataclass(frozen=True)
class EpisodeTokens:
    """What an episode can cost in tokens."""

    parts: tuple[TokenPart, ...]
    """System prompt, question, results, pictures and replies of an episode that sees every frame of its budget; its
    other calls return the largest text."""
    results: tuple[TokenPart, ...]
    """Text of one result of each kind; `count` is 1."""
    pictures: tuple[PictureTokens, ...]
    """Frames at the shapes of the videos, those of most videos first."""
    context_tokens: int | None
    """Longest conversation of the model; `None` where it is not known."""

    @property
    def total(self) -> int:
        """Tokens of an episode that uses its whole budget."""
        return sum(part.total for part in self.parts)

    @property
    def fits(self) -> bool | None:
        """Whether `total` fits the context; `None` where that is not known."""
        return None if self.context_tokens is None else self.total <= self.context_tokens


def count_episode_tokens(
    processor: Any,
    tasks: Sequence[Task],
    config: EnvConfig,
    tools: Sequence[Tool],
    sizes_px: Mapping[tuple[int, int], int],
    *,
    reply_tokens: int,
    context_tokens: int | None = None,
) -> EpisodeTokens:
    """Count what an episode can cost.

    Args:
        processor: The model's processor, prepared for tools, or a `TextProcessor`.
        tasks: Tasks whose longest question counts; one or more.
        config: Perception, budget, media and prompts.
        tools: Tools on offer.
        sizes_px: Width and height of the videos, and how many have it. Without any, the largest frame that the media
            settings allow is counted.
        reply_tokens: Longest reply.
        context_tokens: Longest conversation of the model.
    """
    tokens = ChatTokens(processor, config.prompts.shown_schemas(tool.schema for tool in tools))
    pictures = _pictures(processor, config, sizes_px)
    item = max((task.item for task in tasks), key=lambda it: len(it.question) + len("".join(it.options)))
    system = message("system", config.prompts.system_text(has_tools=bool(tools)))
    alone = len(tokens.prompt_ids([system, message("user", "")]))
    opening = len(tokens.prompt_ids([system, message("user", _opening(item, config))])) - alone
    results = tuple(_results(tokens, config, item, tools))
    calls, looks = _calls_and_looks(config, tools, reads_images=tokens.reads_images)
    parts = [
        TokenPart("system prompt and tools", alone, 1, f"{len(tools)} tools"),
        TokenPart("question", opening, 1, "the longest"),
        *_result_parts(results, calls, looks),
        *_picture_parts(tokens, config, pictures, looks, is_adaptive=ADAPTIVE_ZOOMS[FRAMES_TOOL] in tools),
        TokenPart("replies", reply_tokens, calls + 1, "each as long as it may be"),
    ]
    return EpisodeTokens(tuple(parts), results, pictures, context_tokens)


def _calls_and_looks(config: EnvConfig, tools: Sequence[Tool], *, reads_images: bool) -> tuple[int, int]:
    """Return the calls of an episode, and how many of them it takes to see every frame of the budget."""
    budget, names = config.budget, {tool.name for tool in tools}
    if not names:
        return 0, 0
    if not reads_images or FRAMES_TOOL not in names:
        return budget.max_calls, 0
    needed = -(-(budget.max_frames - budget.global_frames) // budget.frames_per_zoom)
    return budget.max_calls, min(budget.max_calls, needed)


def _result_parts(results: Sequence[TokenPart], calls: int, looks: int) -> Iterator[TokenPart]:
    """Count the text of results: looks that show every frame of the budget, other calls as the largest result."""
    if looks:
        look = next(part for part in results if part.name == FRAMES_TOOL)
        yield TokenPart(f"{look.name}, text", look.tokens, looks, look.note)
    if calls > looks:
        largest = max(results, key=lambda part: part.tokens)
        yield TokenPart(f"{largest.name}, text", largest.tokens, calls - looks, f"other calls; {largest.note}")


def _picture_parts(
    tokens: ChatTokens, config: EnvConfig, pictures: Sequence[PictureTokens], looks: int, *, is_adaptive: bool
) -> Iterator[TokenPart]:
    """Count the pictures of an episode, all as large as the largest, within the budget of image tokens."""
    if not tokens.reads_images or config.perception == "captions":
        return
    budget = config.budget
    each = max(picture.tokens if picture.counted is None else picture.counted for picture in pictures)
    count = min(budget.max_frames, budget.global_frames + looks * budget.frames_per_zoom)
    if not count:
        return
    whole = count * each
    if budget.max_image_tokens is not None and whole > budget.max_image_tokens:
        yield TokenPart("image tokens", 1, budget.max_image_tokens, "max_image_tokens")
    else:
        yield TokenPart("pictures", each, count, "image tokens of the largest frame")
    blank = np.zeros((*reversed(pictures[0].shown_px), 3), np.uint8)
    shown, hidden = (tokens.result_ids(message("tool", "x", frames)) for frames in ([blank], []))
    marks = len(shown) - len(hidden) - tokens.image_tokens(shown)
    yield TokenPart("marks around pictures", marks, budget.max_frames if is_adaptive else count)


def _pictures(processor: Any, config: EnvConfig, sizes_px: Mapping[tuple[int, int], int]) -> tuple[PictureTokens, ...]:
    media = config.media
    found = dict(sizes_px) or {media.frame_size_px((media.max_pixels, media.max_pixels)): 0}
    ordered = sorted(found.items(), key=lambda it: (-it[1], it[0]))
    shown = [(native_px, videos, media.frame_size_px(native_px)) for native_px, videos in ordered]
    return tuple(
        PictureTokens(native_px, videos, shown_px, media.image_tokens(shown_px), processor_tokens(processor, shown_px))
        for native_px, videos, shown_px in shown
    )


def processor_tokens(processor: Any, size_px: tuple[int, ...]) -> int | None:
    """Count the image tokens of a picture of this width and height with a processor; `None` if it reads none."""
    images = processor.image_processor
    if images is None:
        return None
    picture: NDArray[np.uint8] = np.zeros((size_px[1], size_px[0], 3), np.uint8)
    _, rows, columns = images(images=[picture], return_tensors="np")["image_grid_thw"][0]
    return int(rows) * int(columns) // images.merge_size**2


def _opening(item: Item, config: EnvConfig) -> str:
    shown_s = [LONG_VIDEO_S] * (config.budget.global_frames if config.perception == "frames" else 0)
    return config.prompts.opening_text(item, LONG_VIDEO_S, _left(config), config.perception, shown_s)


def _left(config: EnvConfig) -> Remaining:
    budget = config.budget
    frame_tokens = 0 if budget.max_image_tokens is None else config.media.largest_frame_tokens
    return Remaining(budget.max_calls, budget.max_frames, budget.max_image_tokens, frame_tokens)


def _results(tokens: ChatTokens, config: EnvConfig, item: Item, tools: Sequence[Tool]) -> Iterator[TokenPart]:
    """Count the text of one result of each kind, with the budget and what repeats the question."""
    prompts, kinds = config.prompts, _sample_texts(config)
    sampled = {tool.name: kinds.get(tool.name, ("", "not known: a tool of your own")) for tool in tools}
    if tools:
        hint = prompts.malformed_text("no tool call was found", [tool.line for tool in tools], _CALL)
        sampled |= {"failed call": (prompts.error_text("x" * 80), ""), "malformed reply": (hint, "")}
    sampled.pop("answer", None)
    for name, (result, note) in sampled.items():
        text = prompts.result_text(result, item, _left(config), config.perception)
        yield TokenPart(name, len(tokens.result_ids(message("tool", text))), 1, note)


def _sample_texts(config: EnvConfig) -> Mapping[str, tuple[str, str]]:
    prompts, budget = config.prompts, config.budget
    clips = [ScoredInterval(_span(it), 0.5, ("pictures", "captions")) for it in range(budget.top_k_max)]
    times_s = np.full(budget.frames_per_zoom, LONG_VIDEO_S)
    frames = FrameBatch(np.zeros((len(times_s), 1, 1, 3), np.uint8), times_s)
    screen = spoken_lines(_lines(_WRITTEN, SCREEN_LINES))
    return {
        "clip_retrieval": (prompts.clips_text(clip_lines(clips, named=True)), f"{len(clips)} clips"),
        "subtitle_retrieval": _subtitles(prompts, budget.top_k_max, "lines"),
        "subtitle_summary": _subtitles(prompts, SUMMARY_LINES, "lines"),
        "subtitle_zoom": _subtitles(prompts, _SPOKEN_A_MINUTE, "lines, a minute; more for longer intervals"),
        "frame_zoom": (prompts.frames_text(frames), f"times of {len(times_s)} frames"),
        "caption_zoom": (
            prompts.captions_text(spoken_lines(_lines(_SEEN, budget.frames_per_zoom))),
            f"{budget.frames_per_zoom} captions",
        ),
        "spatial_zoom": (prompts.crop_text(frames), "time of one crop"),
        "screen_text": (prompts.screen_lines_text(screen, len(screen)), f"{SCREEN_LINES} lines, the most"),
    }


def _subtitles(prompts: PromptSet, count: int, what: str) -> tuple[str, str]:
    return prompts.subtitles_text(spoken_lines(_lines(_SPOKEN, count))), f"{count} {what}"


def _lines(text: str, count: int) -> list[SubtitleLine]:
    return [SubtitleLine(_span(number), text) for number in range(count)]


def _span(number: int) -> Interval:
    return Interval(LONG_VIDEO_S + 10 * number, LONG_VIDEO_S + 10 * number + 10)
