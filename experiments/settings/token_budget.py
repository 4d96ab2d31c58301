"""Token counts and frame sizes of an episode, checked with the model's own processor before the first step.

Later errors are silent: a processor resizes images without warning, and TRL removes tool results that do not fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.language.token_policy import ChatTokens
from experiments.settings.episode_tokens import processor_tokens
from vt_env.budget.remaining import Remaining
from vt_env.config import BudgetConfig, MediaConfig
from vt_env.episode.messages import message
from vt_env.errors import ConfigError
from vt_env.prompts import DEFAULT, PromptSet
from vt_env.tasks.task_set import Task
from vt_env.tools.adaptive import ADAPTIVE_ZOOMS, SHARES
from vt_env.tools.builtin import ToolChoice, tools_for
from vt_env.types import FrameBatch

ANSWER_TOKENS = 32
"""Tokens reserved for a short thought and an answer after a look."""
_LONG_VIDEO_S = 36_000.0
_CALL = '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}\n</tool_call>'


@dataclass(frozen=True)
class TokenBudget:
    """Maximum number of tokens of each part of an episode, by the model's tokenizer."""

    prompt: int
    """Tokens of the system turn with tool schemas, the longest question, and its frames."""
    look: int
    """Tokens of one look with as many frames as the budget allows: call, result, header of the next turn."""
    frame: int
    """Tokens of one frame."""

    @property
    def answered(self) -> int:
        """Tokens of the shortest useful completion: one look and an answer."""
        return self.look + ANSWER_TOKENS


def measure_tokens(
    processor: Any,
    tasks: Sequence[Task],
    budget: BudgetConfig,
    media: MediaConfig,
    tools: ToolChoice = "default",
    prompts: PromptSet = DEFAULT,
    *,
    can_search: bool = True,
) -> TokenBudget:
    """Count the tokens of the longest question and of one look.

    Args:
        processor: The model's processor, prepared for tools.
        tasks: Tasks whose longest question counts.
        budget: Budget of an episode.
        media: Size of the frames; each is counted as the largest that it allows.
        tools: Tool set offered to the model.
        prompts: Prompt set.
        can_search: As in `vt_env.tools.builtin.tools_for`.
    """
    offered = tools_for("frames", tools, can_search=can_search, answers=prompts.answers)
    tokens = ChatTokens(processor, prompts.shown_schemas(tool.schema for tool in offered))
    left = Remaining(budget.max_calls, budget.max_frames, budget.max_image_tokens, media.largest_frame_tokens)
    blank = _largest_frame(media)
    shown_s = [_LONG_VIDEO_S] * budget.global_frames
    openings = [(prompts.opening_text(it.item, _LONG_VIDEO_S, left, "frames", shown_s), it.item) for it in tasks]
    longest, item = max(openings, key=lambda opening: len(opening[0]))
    opening = message("user", longest, [blank] * budget.global_frames)
    system = message("system", prompts.system_text(has_tools=bool(offered)))
    prompt = len(tokens.prompt_ids([system, opening]))
    shown = [[blank] * budget.frames_per_zoom]
    if any(tool is ADAPTIVE_ZOOMS["frame_zoom"] for tool in offered):
        width, height = media.reduced_px((blank.shape[1], blank.shape[0]), min(SHARES.values()))
        small = np.zeros((height, width, 3), np.uint8)
        per_look = budget.frames_per_zoom * media.largest_frame_tokens // media.image_tokens((width, height))
        shown.append([small] * min(budget.max_frames, per_look))
    looks: list[int] = []
    for frames in shown:
        seen = prompts.frames_text(FrameBatch(np.stack(frames), np.full(len(frames), 320.0)))
        text = prompts.result_text(seen, item, left, "frames")
        looks.append(len(tokens.result_ids(message(prompts.result_role, text, frames))))
    return TokenBudget(
        prompt, len(tokens.reply_ids(_CALL)) + max(looks), processor_tokens(processor, blank.shape[1::-1]) or 0
    )


def check_token_budget(measured: TokenBudget, completion_tokens: int, context_tokens: int) -> None:
    """Reject lengths that cannot hold one look and an answer.

    Args:
        measured: Token counts of an episode.
        completion_tokens: Maximum number of tokens after the prompt.
        context_tokens: Maximum number of tokens of a conversation.

    Raises:
        ConfigError: One look and an answer do not fit.
    """
    if measured.answered > completion_tokens:
        raise ConfigError(
            f"max_completion_length={completion_tokens} cannot hold one look: {measured.look} tokens ({measured.frame} "
            f"a frame) and an answer need {measured.answered}; give that or more, or lower --media.max-pixels or "
            "the frames_per_zoom of --budget"
        )
    needed = measured.prompt + measured.answered
    if needed > context_tokens:
        raise ConfigError(
            f"context_tokens={context_tokens} cannot hold one look: the prompt takes {measured.prompt} tokens, a look "
            f"and an answer {measured.answered}; give {needed} or more"
        )


def check_frame_size(processor: Any, media: MediaConfig) -> None:
    """Reject frame sizes that the model's image processor would change.

    Token counts refer to frames of the stored size, and pictures scaled twice are blurred.

    Raises:
        ConfigError: Sides are no multiples of the merged patch, or frames may leave the processor's limits.
    """
    images = processor.image_processor
    side_px, limits = images.patch_size * images.merge_size, images.size
    smallest, largest = int(limits["shortest_edge"]), int(limits["longest_edge"])
    if media.patch_px % side_px or media.min_pixels < smallest or media.max_pixels > largest:
        raise ConfigError(
            f"media.max_pixels={media.max_pixels}, min_pixels={media.min_pixels}, patch_px={media.patch_px}: this "
            f"model's image processor takes frames of {smallest} to {largest} pixels in patches of {side_px} as they "
            f"are and resizes others; give a range within, such as --media.max-pixels "
            f"{min(largest, max(media.max_pixels, 2 * smallest))} --media.min-pixels {smallest} "
            f"--media.patch-px {side_px}"
        )


def _largest_frame(media: MediaConfig) -> NDArray[np.uint8]:
    """Return a black frame of the most patches, and of those the one nearest to a square: uint8[H, W, 3]."""
    most = media.max_pixels // media.patch_px**2
    rows = max(range(1, isqrt(most) + 1), key=lambda rows: (most // rows * rows, rows))
    return np.zeros((rows * media.patch_px, most // rows * media.patch_px, 3), np.uint8)
