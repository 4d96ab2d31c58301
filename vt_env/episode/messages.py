"""Chat messages in the form that chat templates read: the one place where observations become messages."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vt_env.types import Observation
from vt_env.valid_text import as_valid_text

ContentBlock = dict[str, str | Image.Image]
"""`{"type": "text", "text": str}` or `{"type": "image", "image": PIL image, RGB}`."""
Message = dict[str, str | list[ContentBlock]]
"""`{"role": "system" | "user" | "assistant" | "tool", "content": blocks}`, as transformers' chat templates read it."""


def content_blocks(text: str, frames: Iterable[NDArray[np.uint8]] = ()) -> list[ContentBlock]:
    """Make the content of a message: one image block a frame, uint8[H, W, 3] RGB, then the text.

    Frames stand first because the text names their times. Half a character, which no tokenizer and no request holds, is
    shown as U+FFFD.
    """
    blocks: list[ContentBlock] = [{"type": "image", "image": Image.fromarray(frame)} for frame in frames]
    return [*blocks, {"type": "text", "text": as_valid_text(text)}]


def message(role: str, text: str, frames: Iterable[NDArray[np.uint8]] = ()) -> Message:
    """Make a message; arguments as in `content_blocks`."""
    return {"role": role, "content": content_blocks(text, frames)}


def observation_message(role: str, observation: Observation) -> Message:
    """Render an observation as a message of the given role."""
    return message(role, observation.text, _frames(observation))


def result_messages(observation: Observation, role: str = "tool") -> list[Message]:
    """Render what a reply led to: one message a call, of the role that `PromptSet.result_role` names."""
    return [observation_message(role, it) for it in observation.parts]


def joined_message(role: str, observation: Observation) -> Message:
    """Render what a reply led to as one message of the given role: each result's frames before its text."""
    blocks = [block for it in observation.parts for block in content_blocks(it.text, _frames(it))]
    return {"role": role, "content": blocks}


def conversation_messages(
    system_text: str, observations: Sequence[Observation], replies: Sequence[str], result_role: str = "tool"
) -> list[Message]:
    """Render an episode as a chat: system, question, then replies and tool results in turn.

    Args:
        system_text: Content of the system message.
        observations: The first observation, then one for each reply; a reply with several calls has a tool message a
            call.
        replies: Raw text of the policy, its calls included.
        result_role: `PromptSet.result_role`.

    Raises:
        ValueError: There is not exactly one more observation than replies.
    """
    opening, *results = observations
    chat = [message("system", system_text), observation_message("user", opening)]
    for reply, result in zip(replies, results, strict=True):
        chat += [message("assistant", reply), *result_messages(result, result_role)]
    return chat


def _frames(observation: Observation) -> Iterable[NDArray[np.uint8]]:
    return () if observation.frames is None else observation.frames.data
