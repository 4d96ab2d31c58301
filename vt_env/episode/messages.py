"""Chat messages: what a policy is shown, in the form that chat templates read."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ContentBlock = dict[str, str | Image.Image]
"""`{"type": "text", "text": str}` or `{"type": "image", "image": PIL image, RGB}`."""
Message = dict[str, str | list[ContentBlock]]
"""`{"role": "system" | "user" | "assistant" | "tool", "content": blocks}`, what transformers' chat templates read."""


def message(role: str, text: str, frames: Iterable[NDArray[np.uint8]] = ()) -> Message:
    """Make a message; frames, uint8[H, W, 3] RGB each, stand before the text that names their times."""
    content: list[ContentBlock] = [{"type": "image", "image": Image.fromarray(frame)} for frame in frames]
    content.append({"type": "text", "text": text})
    return {"role": role, "content": content}


def observation_message(element: Mapping[str, Any]) -> Message:
    """Render an observation of `vt_env/LongVideoQAText-v0` as the message that a policy reads."""
    return message(element["role"], element["text"], element["frames"])
