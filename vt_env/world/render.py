"""Scene renderer. Pixels may differ in the last bit between machines; shapes, numbers and layout do not."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vt_env.types import Box
from vt_env.world.script import Scene
from vt_env.world.vocabulary import COLOURS, HEIGHTS, SIDES

Point = tuple[float, float]

HIGH_ABOVE, LOW_BELOW = 0.44, 0.56
"""Bounds between high, middle and low, as fractions of the frame height."""
PLACE_X = {"left": 0.27, "right": 0.73}
PLACE_Y = {"high": 0.38, "middle": 0.5, "low": 0.62}
PLACE_HALF = 0.11
"""Half side of the six square regions that hold the small print, centred on `PLACE_X` and `PLACE_Y`, as fractions of
the frame."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Positions and sizes in a scene's picture, in pixels."""

    shape_at: Point
    radius_px: float
    number_at: Point
    number_px: float
    is_dark: bool


def render_scene(scene: Scene, size_px: int, detail_px: int = 0) -> NDArray[np.uint8]:
    """Render the still picture of a scene.

    Args:
        scene: The scene.
        size_px: Width and height of the picture.
        detail_px: Font size of the small number on the shape, if the scene has one.

    Returns:
        uint8[size_px, size_px, 3], RGB.
    """
    background, layout = _paint_background(scene.look_seed, size_px)
    image = Image.fromarray(background)
    draw = ImageDraw.Draw(image)
    draw_shape(draw, (scene.colour, scene.shape), layout.shape_at, layout.radius_px)
    draw_number(draw, scene.number, layout.number_at, layout.number_px, dark=layout.is_dark)
    if scene.detail is not None:
        draw_number(draw, scene.detail, layout.shape_at, detail_px, dark=True)
    return np.asarray(image)


def shape_box(scene: Scene, size_px: int) -> Box:
    """Return the bounding box of the shape, clipped to the frame."""
    layout = _lay_out(scene.look_seed, size_px)
    return outline_box(scene.shape, layout.shape_at, layout.radius_px, size_px)


def outline_box(shape: str, at: Point, radius_px: float, size_px: int) -> Box:
    """Return the bounding box of a shape with its centre at a point in pixels, clipped to the frame."""
    corners = OUTLINES.get(shape, [(-1, -1), (1, 1)])
    xs, ys = (
        [min(1.0, max(0.0, (centre + radius_px * corner[axis]) / size_px)) for corner in corners]
        for axis, centre in enumerate(at)
    )
    return Box(min(xs), min(ys), max(xs), max(ys))


def shape_place(scene: Scene, size_px: int) -> tuple[str, str]:
    """Return the place of the shape: `left` or `right`, and `high`, `middle` or `low`."""
    x, y = _lay_out(scene.look_seed, size_px).shape_at
    third = 0 if y < HIGH_ABOVE * size_px else 2 if y > LOW_BELOW * size_px else 1
    return SIDES[x > size_px / 2], HEIGHTS[third]


def place_box(side: str, height: str) -> Box:
    """Return the region to crop for the small print of a shape in a place."""
    x, y = PLACE_X[side], PLACE_Y[height]
    return Box(round(x - PLACE_HALF, 2), round(y - PLACE_HALF, 2), round(x + PLACE_HALF, 2), round(y + PLACE_HALF, 2))


def detail_box(scene: Scene, size_px: int, detail_px: int) -> Box:
    """Return the bounding box of the small print and its plate."""
    return number_box(scene.detail or 0, _lay_out(scene.look_seed, size_px).shape_at, detail_px, size_px)


def number_box(number: int, at: Point, height_px: float, size_px: int) -> Box:
    """Return the bounding box of a number with its plate, with its centre at a point in pixels."""
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = _plate(draw, number, at, height_px)
    return Box(left / size_px, top / size_px, right / size_px, bottom / size_px)


def _paint_background(look_seed: int, size_px: int) -> tuple[NDArray[np.uint8], _Layout]:
    rng = np.random.default_rng(look_seed)
    background = paint_background(size_px, rng)
    shape_first = rng.random() < 0.5
    centres = [_jittered(0.27, size_px, rng), _jittered(0.73, size_px, rng)]
    shape_at, number_at = centres if shape_first else reversed(centres)
    radius_px, number_px = size_px * rng.uniform(0.17, 0.23), size_px * rng.uniform(0.30, 0.36)
    return background, _Layout(shape_at, radius_px, number_at, number_px, bool(rng.random() < 0.5))


@lru_cache(maxsize=4096)
def _lay_out(look_seed: int, size_px: int) -> _Layout:
    """Return the layout of a picture; cached, since its random draws come after those of the background."""
    return _paint_background(look_seed, size_px)[1]


def paint_background(size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Render a dull gradient with slight noise, uint8[size_px, size_px, 3]."""
    corners = rng.uniform(70, 150, size=(2, 2, 1)) + rng.uniform(-8, 8, size=(2, 2, 3))
    gradient = Image.fromarray(corners.astype(np.uint8)).resize((size_px, size_px), Image.Resampling.BICUBIC)
    noise = rng.integers(-4, 5, size=(size_px, size_px, 1), dtype=np.int16)
    return (np.asarray(gradient) + noise).clip(0, 255).astype(np.uint8)


def _jittered(x_share: float, size_px: int, rng: np.random.Generator) -> Point:
    return (
        size_px * (x_share + float(rng.uniform(-0.03, 0.03))),
        size_px * (0.5 + float(rng.uniform(-0.18, 0.18))),
    )


def draw_shape(draw: ImageDraw.ImageDraw, kind: tuple[str, str], at: Point, radius_px: float) -> None:
    """Draw a shape of a colour, with its centre at a point in pixels."""
    colour, (x, y) = COLOURS[kind[0]], at
    if kind[1] == "circle":
        draw.ellipse((x - radius_px, y - radius_px, x + radius_px, y + radius_px), fill=colour)
        return
    draw.polygon([(x + radius_px * dx, y + radius_px * dy) for dx, dy in OUTLINES[kind[1]]], fill=colour)


def draw_number(draw: ImageDraw.ImageDraw, number: int, at: Point, height_px: float, *, dark: bool) -> None:
    """Draw a number on a plate, with its centre at a point in pixels; dark digits on a light plate, or the reverse."""
    font = ImageFont.load_default(size=height_px)
    ink, plate = ((20, 20, 20), (235, 235, 235)) if dark else ((240, 240, 240), (25, 25, 25))
    draw.rectangle(_plate(draw, number, at, height_px), fill=plate)
    draw.text(at, str(number), font=font, fill=ink, anchor="mm")


def _plate(draw: ImageDraw.ImageDraw, number: int, at: Point, height_px: float) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of the plate behind a number, in pixels."""
    font = ImageFont.load_default(size=height_px)
    left, top, right, bottom = draw.textbbox(at, str(number), font=font, anchor="mm")
    margin_px = height_px * 0.12
    return left - margin_px, top - margin_px, right + margin_px, bottom + margin_px


def _star() -> list[Point]:
    radii = (1.1, 0.45)
    return [(radii[i % 2] * math.sin(i * math.pi / 5), -radii[i % 2] * math.cos(i * math.pi / 5)) for i in range(10)]


OUTLINES: dict[str, list[Point]] = {
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": [(0, -1), (1, 0.85), (-1, 0.85)],
    "diamond": [(0, -1.15), (0.75, 0), (0, 1.15), (-0.75, 0)],
    "cross": [
        (-0.32, -1), (0.32, -1), (0.32, -0.32), (1, -0.32), (1, 0.32), (0.32, 0.32),
        (0.32, 1), (-0.32, 1), (-0.32, 0.32), (-1, 0.32), (-1, -0.32), (-0.32, -0.32),
    ],
    "star": _star(),
}  # fmt: skip
"""Corners of each polygonal shape at radius 1, with y pointing down."""
