"""Pictures of any shape on a square of one size, for spaces that need one, and boxes back from the square.

Only environments with fixed spaces use this: what a language model is shown has the shape of its video.
"""

from collections.abc import Sequence
from math import isqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vt_env.config import MediaConfig


def square_side_px(media: MediaConfig) -> int:
    """Side of the largest square of whole patches within the budget of pixels."""
    return isqrt(media.max_pixels) // media.patch_px * media.patch_px


def letterbox(picture: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Scale a picture uint8[H, W, 3] to fit a black square, in its middle: uint8[side_px, side_px, 3], a copy."""
    height, width = picture.shape[:2]
    left, top, inner = _place(width, height, side_px)
    if inner != (width, height):
        picture = np.asarray(Image.fromarray(picture).resize(inner, Image.Resampling.BILINEAR))
    square = np.zeros((side_px, side_px, 3), dtype=np.uint8)
    square[top : top + inner[1], left : left + inner[0]] = picture
    return square


def box_in_picture(box: Sequence[float], picture_px: tuple[int, int], side_px: int) -> list[float]:
    """Translate a box drawn on the square into one of the picture on it.

    Args:
        box: Left, top, right and bottom as fractions of the square.
        picture_px: Width and height of the picture.
        side_px: Side of the square.

    Returns: the same as fractions of the picture. The part of the box on the bars is cut off; a box on the bars alone
    lies outside `[0, 1]`, and one that is no box stays none.
    """
    left, top, inner = _place(*picture_px, side_px)
    edges = [
        (edge * side_px - start_px) / length_px if start_px else edge
        for edge, start_px, length_px in zip(box, (left, top, left, top), (*inner, *inner), strict=True)
    ]
    inside = [min(1.0, max(0.0, edge)) for edge in edges]
    is_box = inside[0] < inside[2] and inside[1] < inside[3]
    return inside if is_box and all(0 <= edge <= 1 for edge in box) else edges


def _place(width: int, height: int, side_px: int) -> tuple[int, int, tuple[int, int]]:
    """Return left, top, and width and height of a picture on the square; bars are even, to the pixel."""
    scale = side_px / max(width, height)
    inner = [max(1, round(length_px * scale)) for length_px in (width, height)]
    inner_px = (inner[0], inner[1])
    return (side_px - inner[0]) // 2, (side_px - inner[1]) // 2, inner_px
