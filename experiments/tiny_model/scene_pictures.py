"""Pictures of single scenes, as a frame store or a crop would return them."""

from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from experiments.tiny_model.processor import IMAGE_PX
from vt_env.config import MediaConfig
from vt_env.media.decode.video_file import crop_frame
from vt_env.types import Box, FrameBatch, Interval
from vt_env.world.config import WorldConfig, full_world
from vt_env.world.render import place_box, render_scene, shape_place
from vt_env.world.script import Scene
from vt_env.world.vocabulary import COLOURS, HEIGHTS, SHAPES

PLAIN, FULL = WorldConfig(), full_world()
"""The two world configs: small videos, and larger ones with small print."""
QUALITIES = (60, 98)
"""Half-open range of JPEG qualities, which simulates the compression of videos and stores."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One input picture of the model."""

    scene: Scene
    is_close: bool = False
    """Whether the picture is a crop of the shape with its small print, instead of the whole frame."""

    @property
    def size_px(self) -> int:
        """Width and height of the video; scenes with small print have a larger one."""
        return PLAIN.size_px if self.scene.detail is None else FULL.size_px

    @property
    def place(self) -> tuple[str, str]:
        """Place of the shape: side and height."""
        return shape_place(self.scene, self.size_px)

    def paint(self) -> Image.Image:
        """Render the picture at 112 x 112 pixels, with JPEG artefacts."""
        native = render_scene(self.scene, self.size_px, FULL.detail_px)
        return as_seen(native, self.scene.look_seed, place_box(*self.place) if self.is_close else None)


class SceneSource(Protocol):
    """Source of scenes; keeps a given colour or shape as `keep_or_draw` does."""

    def __call__(
        self,
        rng: np.random.Generator,
        colour: str | None = None,
        shape: str | None = None,
        *,
        small_print: bool | None = None,
    ) -> Scene:
        """Draw a scene."""
        ...


def random_scene(
    rng: np.random.Generator, colour: str | None = None, shape: str | None = None, *, small_print: bool | None = None
) -> Scene:
    """Generate a scene, with small print in half of the draws unless `small_print` is given.

    A given colour or shape is kept in only part of the draws, so that matches and mismatches are both common.
    """
    kind = keep_or_draw(rng, colour, shape)
    number, look_seed = int(rng.integers(10, 100)), int(rng.integers(2**31))
    has_print = rng.random() < 0.5 if small_print is None else small_print
    detail = int(rng.choice([n for n in range(10, 100) if n != number])) if has_print else None
    return Scene(Interval(0, 1), *kind, number, look_seed, detail)


def keep_or_draw(rng: np.random.Generator, colour: str | None, shape: str | None) -> tuple[str, str]:
    """Draw a colour and a shape; keep a given colour with probability 0.7 and a given shape with 0.5."""
    colours = list(COLOURS)
    drawn_colour, drawn_shape = colours[rng.integers(len(colours))], SHAPES[rng.integers(len(SHAPES))]
    return (
        colour if colour and rng.random() < 0.7 else drawn_colour,
        shape if shape and rng.random() < 0.5 else drawn_shape,
    )


def place_class(picture: Picture) -> int:
    """Return the class index of a place, 0 to 5."""
    side, height = picture.place
    return HEIGHTS.index(height) + len(HEIGHTS) * (side == "right")


def as_seen(native: NDArray[np.uint8], look_seed: int, box: Box | None) -> Image.Image:
    """Scale a native picture to 112 x 112 pixels, as a stored frame or as a crop of `box`, with JPEG artefacts.

    Args:
        native: uint8[S, S, 3], RGB.
        look_seed: Seed of the scene's look, which also decides the quality.
        box: Region of a crop; `None` for the whole frame.
    """
    quality = QUALITIES[0] + look_seed % (QUALITIES[1] - QUALITIES[0])
    if box is not None:
        frame = FrameBatch(np.asarray(_compressed(Image.fromarray(native), quality))[None], np.zeros(1))
        return Image.fromarray(crop_frame(frame, box, MediaConfig()).data[0])
    shrunk = Image.fromarray(native).resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BOX)
    return _compressed(shrunk, quality)


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    packed = BytesIO()
    image.save(packed, format="JPEG", quality=quality)
    return Image.open(packed, formats=("PNG", "JPEG"))
