"""Size of a picture shown to a policy: its own aspect ratio, within a budget of pixels, in whole patches.

The rule is `smart_resize` of Qwen2-VL's image processor (transformers 5.19,
`models/qwen2_vl/image_processing_qwen2_vl.py`), which Qwen2.5-VL and Qwen3-VL share, in whole
numbers instead of floats. What it makes, such a processor leaves as it is.
"""

from functools import lru_cache
from math import isqrt, log

MAX_ASPECT_RATIO = 200
"""Longest picture in its shorter sides; processors raise beyond it, by the same number in `smart_resize`."""


@lru_cache(maxsize=4096)
def fit_frame(size_px: tuple[int, int], max_pixels: int, min_pixels: int, patch_px: int) -> tuple[int, int]:
    """Return the width and height at which a picture is shown.

    Each side is rounded to the nearest multiple of `patch_px`, and is one patch at least. Above `max_pixels` both sides
    are scaled down and rounded down, below `min_pixels` scaled up and rounded up. A picture is not enlarged otherwise;
    a side may grow by less than half a patch where the nearest multiple is the larger one, since a processor would do
    the same: 640 x 360 pixels become 644 x 364.

    Beyond `smart_resize`: where its result leaves the range of pixels or `MAX_ASPECT_RATIO`, as with thin pictures, the
    size within both whose aspect ratio is nearest is returned (our choice), and the picture is squeezed.

    Args:
        size_px: Width and height of the picture.
        max_pixels: Largest product of the sides.
        min_pixels: Smallest product of the sides.
        patch_px: Side of the square that becomes one image token.
    """
    width, height = size_px
    least, most = -(-min_pixels // patch_px**2), max_pixels // patch_px**2
    columns, rows = (max(1, round(side / patch_px)) for side in size_px)
    if columns * rows > most:
        columns = max(1, isqrt(width * max_pixels // height) // patch_px)
        rows = max(1, isqrt(height * max_pixels // width) // patch_px)
    elif columns * rows < least:
        columns = _root(width * min_pixels, height * patch_px**2)
        rows = _root(height * min_pixels, width * patch_px**2)
    is_thin = max(columns, rows) > MAX_ASPECT_RATIO * min(columns, rows)
    if is_thin or not least <= columns * rows <= most:
        columns, rows = _nearest(width / height, least, most)
    return columns * patch_px, rows * patch_px


@lru_cache(maxsize=4096)
def image_tokens(size_px: tuple[int, int], min_pixels: int, patch_px: int) -> int:
    """Count the image tokens of a picture: one for each merged patch, `(height / patch_px) * (width / patch_px)`.

    A picture whose sides are no multiples, or that has too few pixels, is counted as the processor makes it; only
    tools of a user's own show such pictures. No upper limit of pixels is applied.

    Args:
        size_px: Width and height of the picture.
        min_pixels: As in `fit_frame`.
        patch_px: As in `fit_frame`; 28 for Qwen2.5-VL (patches of 14 px, merged 2 x 2), 32 for Qwen3-VL (16 px).
    """
    largest = (size_px[0] + patch_px) * (size_px[1] + patch_px)
    width, height = fit_frame(size_px, max(largest, 4 * min_pixels), min_pixels, patch_px)
    return width // patch_px * (height // patch_px)


def reduce_frame(size_px: tuple[int, int], share: float, min_pixels: int, patch_px: int) -> tuple[int, int]:
    """Return the width and height of a frame at a share of its pixels, by the rule of `fit_frame`.

    Args:
        size_px: Width and height of the whole frame.
        share: Above 0, at most 1.
        min_pixels: As in `fit_frame`; where the share has fewer, the picture has as few as are allowed.
        patch_px: As in `fit_frame`.
    """
    least = -(-min_pixels // patch_px**2) * patch_px**2
    most = max(int(share * size_px[0] * size_px[1]), least)
    if most >= size_px[0] * size_px[1] or not holds_picture(most, min_pixels, patch_px):
        return size_px
    return fit_frame(size_px, most, min_pixels, patch_px)


def holds_picture(max_pixels: int, min_pixels: int, patch_px: int) -> bool:
    """Tell whether some rectangle of whole patches lies within the range of pixels and `MAX_ASPECT_RATIO`."""
    least, most = -(-min_pixels // patch_px**2), max_pixels // patch_px**2
    longest = ((rows, min(most // rows, rows * MAX_ASPECT_RATIO)) for rows in range(1, isqrt(most) + 1))
    return any(rows * columns >= least for rows, columns in longest)


def _root(numerator: int, denominator: int) -> int:
    """Return the square root of a positive fraction, rounded up."""
    return isqrt(-(-numerator // denominator) - 1) + 1


def _nearest(ratio: float, least: int, most: int) -> tuple[int, int]:
    """Return columns and rows, `least` to `most` patches in all, whose ratio is nearest; of equal ones the larger."""
    best: tuple[float, int, int] | None = None
    for rows in range(1, most + 1):
        low = max(1, -(-least // rows), -(-rows // MAX_ASPECT_RATIO))
        high = min(most // rows, rows * MAX_ASPECT_RATIO)
        if low > high:
            continue
        columns = min(max(round(rows * ratio), low), high)
        found = (round(abs(log(columns / rows / ratio)), 9), -columns * rows, rows)
        best = min(best or found, found)
    assert best is not None, f"{least} to {most} patches hold no picture"
    return -best[1] // best[2], best[2]
