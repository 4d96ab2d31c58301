"""Pictures of a talk, 640 x 360 pixels; all text is 24 px or larger."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vt_env.talks.pages import Page

SIZE_PX = (640, 360)
"""Width and height."""
TEXT_PX = 24
"""Smallest font size."""
_TITLE_PX, _OPENING_PX = 28, 34
_LEFT_PX, _TOP_PX = 24, 34
_INK, _PAPER, _BOX, _LIGHT = (28, 32, 40), (246, 243, 236), (35, 52, 82), (245, 245, 245)
_BARS = ((46, 109, 164), (201, 104, 42), (74, 138, 79), (148, 84, 150), (112, 112, 112))
_BAR_START_PX, _BAR_END_PX, _BAR_TOP_PX, _BAR_STEP_PX = 200, 560, 128, 48
_BULLET_TOP_PX, _BULLET_STEP_PX = 104, 60
_CLOCK_BOX, _FIGURE_BOX = (546, 12, 628, 56), (24, 286, 330, 340)

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text; `x` is its left edge and `y` its middle, in pixels."""

    x: float
    y: float
    text: str
    size_px: int = TEXT_PX
    colour: Colour = _INK

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in pixels."""
        draw = ImageDraw.Draw(Image.new("L", (1, 1)))
        return draw.textbbox((self.x, self.y), self.text, font=_font(self.size_px), anchor="lm")


def render_page(page: Page, clock: str) -> NDArray[np.uint8]:
    """Render a page with its clock.

    Returns:
        uint8[360, 640, 3], RGB.
    """
    image = Image.new("RGB", SIZE_PX, _PAPER)
    draw = ImageDraw.Draw(image)
    draw.rectangle(_CLOCK_BOX, fill=_INK)
    if page.key_figure is not None:
        draw.rectangle(_FIGURE_BOX, fill=_BOX)
    for number in range(len(page.bullets)):
        middle_px = _BULLET_TOP_PX + number * _BULLET_STEP_PX
        draw.ellipse((_LEFT_PX + 2, middle_px - 5, _LEFT_PX + 12, middle_px + 5), fill=_INK)
    for number, (_, value) in enumerate(page.bars):
        middle_px = _BAR_TOP_PX + number * _BAR_STEP_PX
        draw.rectangle((_BAR_START_PX, middle_px - 16, _bar_end(page, value), middle_px + 16), fill=_BARS[number])
    for it in texts_of(page, clock):
        draw.text((it.x, it.y), it.text, font=_font(it.size_px), fill=it.colour, anchor="lm")
    return np.asarray(image)


def texts_of(page: Page, clock: str) -> Iterator[Text]:
    """Lay out the texts of a page and its clock."""
    yield Text(556, 34, clock, colour=_LIGHT)
    if not page.is_content:
        yield Text(_LEFT_PX, 150, page.title, _OPENING_PX)
        yield Text(_LEFT_PX, 210, page.subtitle or "Questions?")
        return
    yield Text(_LEFT_PX, _TOP_PX, page.title, _TITLE_PX)
    if page.key_figure is not None:
        yield Text(_LEFT_PX + 16, 313, f"Key figure: {page.key_figure}", _TITLE_PX, _LIGHT)
    for number, bullet in enumerate(page.bullets):
        yield Text(_LEFT_PX + 24, _BULLET_TOP_PX + number * _BULLET_STEP_PX, bullet.text)
    if page.bars:
        yield Text(_LEFT_PX, 76, f"in {page.unit}")
    for number, (name, value) in enumerate(page.bars):
        middle_px = _BAR_TOP_PX + number * _BAR_STEP_PX
        yield Text(_LEFT_PX, middle_px, name)
        yield Text(_bar_end(page, value) + 12, middle_px, str(value))


def _bar_end(page: Page, value: int) -> float:
    return _BAR_START_PX + (_BAR_END_PX - _BAR_START_PX) * value / max(other for _, other in page.bars)


@lru_cache(maxsize=8)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size_px)
