"""Observations as content of messages in the dialects of frameworks and protocols.

Pictures stand before the text in all of them: the text names their times, and chat templates and models are trained on
that order. PNG keeps every pixel, so all dialects show the same pictures; JPEG is several times smaller.
"""

import base64
import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vt_env.episode.messages import content_blocks
from vt_env.episode.png import write_png
from vt_env.episode.tools_text import RESPONSE_TAGS
from vt_env.types import Observation

PictureFormat = Literal["png", "jpeg"]
JPEG_QUALITY = 90
"""Quality of JPEG pictures, our choice."""


def pictures(observation: Observation) -> list[Image.Image]:
    """Return the frames as PIL images, RGB, in the order of their times."""
    return [Image.fromarray(frame) for frame in observation.pictures]


def pil_content(observation: Observation) -> list[dict[str, Any]]:
    """Return blocks of PIL images and text, as transformers' chat templates read them."""
    return content_blocks(observation.text, observation.pictures)


def mcp_content(observation: Observation, picture_format: PictureFormat = "png") -> list[dict[str, Any]]:
    """Return content blocks of the Model Context Protocol in its JSON form (specification 2025-11-25, tool results)."""
    shown = [
        {"type": "image", "data": data, "mimeType": f"image/{picture_format}"}
        for data in base64_pictures(observation, picture_format)
    ]
    return [*shown, {"type": "text", "text": observation.text}]


def chat_content(observation: Observation, picture_format: PictureFormat = "png") -> list[dict[str, Any]]:
    """Return content parts of OpenAI's Chat Completions API: `image_url` with a data URL, then `text`."""
    shown = [{"type": "image_url", "image_url": {"url": url}} for url in _data_urls(observation, picture_format)]
    return [*shown, {"type": "text", "text": observation.text}]


def chat_results(observation: Observation, picture_format: PictureFormat = "png") -> list[dict[str, Any]]:
    """Return the results of a reply as `chat_content` of one turn of the user, for models that are shown no other role.

    Each result stands in tags as Qwen's templates write them, a line break between two.
    """
    before, after = RESPONSE_TAGS
    parts: list[dict[str, Any]] = []
    for number, part in enumerate(observation.parts):
        *shown, text = chat_content(part, picture_format)
        opening = {"type": "text", "text": f"\n{before}" if number else before}
        parts += [opening, *shown, {**text, "text": f"{text['text']}{after}"}]
    return parts


def responses_content(observation: Observation, picture_format: PictureFormat = "png") -> list[dict[str, Any]]:
    """Return content parts of OpenAI's Responses API: `input_image` with a data URL, then `input_text`."""
    urls = _data_urls(observation, picture_format)
    shown = [{"type": "input_image", "image_url": url, "detail": "auto"} for url in urls]
    return [*shown, {"type": "input_text", "text": observation.text}]


def base64_pictures(observation: Observation, picture_format: PictureFormat = "png") -> list[str]:
    """Return the frames as picture files in base64, in the order of their times."""
    return [base64.b64encode(_encode(frame, picture_format)).decode() for frame in observation.pictures]


def decode_picture(data: str) -> NDArray[np.uint8]:
    """Read a picture of `base64_pictures`, a data URL included, as uint8[H, W, 3] RGB."""
    file = io.BytesIO(base64.b64decode(data.rpartition(",")[2]))
    return np.array(Image.open(file, formats=("PNG", "JPEG", "WEBP")).convert("RGB"))


def _data_urls(observation: Observation, picture_format: PictureFormat) -> list[str]:
    return [f"data:image/{picture_format};base64,{data}" for data in base64_pictures(observation, picture_format)]


def _encode(frame: NDArray[np.uint8], picture_format: PictureFormat) -> bytes:
    if picture_format == "png":
        return write_png(frame)
    file = io.BytesIO()
    Image.fromarray(frame).save(file, picture_format, quality=JPEG_QUALITY)
    return file.getvalue()
