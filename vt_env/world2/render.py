"""Renderer of the second world. Pixels may differ in the last bit between machines; the layout does not."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vt_env.world.render import Point, draw_number, draw_shape, paint_background
from vt_env.world2.layout import DOT_RADIUS, centre, lay_out
from vt_env.world2.script import Kind, Scene

_CACHED_BACKGROUNDS = 8
_DOT_INK, _DOT_RIM = (245, 245, 245), (20, 20, 20)


def render_picture(
    scene: Scene, number: int, main_at: Point, flash: Kind | None, detail_px: int, size_px: int
) -> NDArray[np.uint8]:
    """Render a scene at a moment.

    Args:
        scene: The scene.
        number: Large number on screen.
        main_at: Where the main shape is, in fractions of the frame.
        flash: Thing in the last place, if one flashes.
        detail_px: Font size of the small numbers.
        size_px: Width and height of the picture.

    Returns:
        uint8[size_px, size_px, 3], RGB.
    """
    layout = lay_out(scene)
    image = Image.fromarray(_background(scene.look_seed, size_px))
    draw = ImageDraw.Draw(image)

    def px(at: Point) -> Point:
        return at[0] * size_px, at[1] * size_px

    def put(kind: Kind, at: Point, radius: float, detail: int) -> None:
        draw_shape(draw, kind, px(at), radius * size_px)
        draw_number(draw, detail, px(at), detail_px, dark=True)

    draw_number(draw, number, px(layout.number_at), layout.number_height * size_px, dark=layout.is_dark)
    if scene.companion is not None and layout.companion_at is not None:
        put(scene.companion.kind, layout.companion_at, layout.companion_radius, scene.companion.detail)
    shift_x, shift_y = layout.main_shift
    put(scene.main.kind, (main_at[0] + shift_x, main_at[1] + shift_y), layout.main_radius, scene.main.detail)
    for x, y in layout.dots:
        corners = [(at + way * DOT_RADIUS) * size_px for way in (-1, 1) for at in (x, y)]
        draw.ellipse(corners, fill=_DOT_INK, outline=_DOT_RIM, width=max(1, size_px // 150))
    if flash is not None:
        draw_shape(draw, flash, px(centre(scene.last_place)), layout.flash_radius * size_px)
    return np.asarray(image)


@lru_cache(maxsize=_CACHED_BACKGROUNDS)
def _background(look_seed: int, size_px: int) -> NDArray[np.uint8]:
    return paint_background(size_px, np.random.default_rng(look_seed))
