"""Places and sizes of what a frame holds, in fractions of the frame.

Four places, one in each quarter of the frame, hold the main shape, the large number, a companion, and dots or a flash.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from vt_env.types import Box
from vt_env.world.render import Point, number_box, outline_box
from vt_env.world2.script import Burst, Flash, Kind, Place, Scene, Stand, Thing

_X = {"left": 0.26, "right": 0.74}
_Y = {"high": 0.26, "low": 0.74}
PLACE_HALF = 0.13
"""Half side of the region to look at closely for what is small in a place."""
LEGIBLE_SIDE = 0.3
"""Longer side of the largest closer look with legible small numbers, as in the first world."""
RADII: Mapping[str, tuple[float, float]] = {"large": (0.175, 0.19), "small": (0.115, 0.13)}
"""Range of the radius of a main shape, by size."""
COMPANION_RADII = (0.065, 0.075)
"""Range of the radius of a companion, so that the main shape is the largest on screen."""
NUMBER_HEIGHTS = (0.26, 0.32)
"""Range of the font size of the large number."""
DOT_RADIUS = 0.022
_JITTER, _DOT_STEP, _DOT_JITTER = 0.015, 0.11, 0.018
_LOOK = 1
"""Second part of the seed of layouts; the background has the look seed alone."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Drawn part of a scene's layout."""

    main_shift: Point
    """Distance of the main shape from the centre of its place."""
    number_at: Point
    number_height: float
    companion_at: Point | None
    main_radius: float
    companion_radius: float
    flash_radius: float
    dots: tuple[Point, ...]
    is_dark: bool


def centre(place: Place) -> Point:
    """Return the centre of a place."""
    return _X[place[0]], _Y[place[1]]


def place_of(at: Point) -> Place:
    """Return the place that holds a point."""
    return "left" if at[0] < 0.5 else "right", "high" if at[1] < 0.5 else "low"


def place_box(place: Place) -> Box:
    """Return the region to look at closely for the small number of a shape in a place."""
    x, y = centre(place)
    return Box(*(round(it, 2) for it in (x - PLACE_HALF, y - PLACE_HALF, x + PLACE_HALF, y + PLACE_HALF)))


@lru_cache(maxsize=4096)
def lay_out(scene: Scene) -> Layout:
    """Draw the layout of a scene from its look seed."""
    rng = np.random.default_rng([scene.look_seed, _LOOK])

    def near(place: Place) -> Point:
        x, y = centre(place)
        dx, dy = rng.uniform(-_JITTER, _JITTER, size=2).tolist()
        return x + dx, y + dy

    main_at, main_radius = near(scene.main.place), float(rng.uniform(*RADII[scene.size]))
    number_at, number_height = near(scene.number_place), float(rng.uniform(*NUMBER_HEIGHTS))
    companion = scene.companion
    companion_at = None if companion is None else near(companion.place)
    companion_radius = float(rng.uniform(*COMPANION_RADII)) if companion else 0.0
    x, y = centre(scene.main.place)
    shift = main_at[0] - x, main_at[1] - y
    dots = _dots(scene, rng)
    flash_radius = float(rng.uniform(*RADII["large"]))
    is_dark = bool(rng.random() < 0.5)
    return Layout(
        shift, number_at, number_height, companion_at, main_radius, companion_radius, flash_radius, dots, is_dark
    )


def _dots(scene: Scene, rng: np.random.Generator) -> tuple[Point, ...]:
    """Draw the centres of the dots: different cells of a grid of three by three, slightly displaced."""
    x, y = centre(scene.last_place)
    cells = [(x + column * _DOT_STEP, y + row * _DOT_STEP) for row, column in product((-1, 0, 1), repeat=2)]
    chosen = [cells[i] for i in rng.permutation(len(cells))[: scene.dots]]
    shifts = rng.uniform(-_DOT_JITTER, _DOT_JITTER, size=(len(chosen), 2)).tolist()
    return tuple((cx + dx, cy + dy) for (cx, cy), (dx, dy) in zip(chosen, shifts, strict=True))


def main_box(scene: Scene, place: Place | None = None) -> Box:
    """Return the bounding box of the main shape, in its own place or in another one."""
    layout = lay_out(scene)
    x, y = centre(place or scene.main.place)
    at = x + layout.main_shift[0], y + layout.main_shift[1]
    return outline_box(scene.main.kind[1], at, layout.main_radius, 1)


def companion_box(scene: Scene, companion: Thing) -> Box:
    """Return the bounding box of the companion."""
    layout = lay_out(scene)
    return outline_box(companion.kind[1], layout.companion_at or centre(companion.place), layout.companion_radius, 1)


def large_number_box(scene: Scene, number: int, size_px: int) -> Box:
    """Return the bounding box of the large number with its plate."""
    layout = lay_out(scene)
    x, y = layout.number_at
    return number_box(number, (x * size_px, y * size_px), layout.number_height * size_px, size_px)


def dots_box(scene: Scene) -> Box:
    """Return the bounding box of the dots."""
    xs, ys = zip(*lay_out(scene).dots, strict=True)
    return Box(min(xs) - DOT_RADIUS, min(ys) - DOT_RADIUS, max(xs) + DOT_RADIUS, max(ys) + DOT_RADIUS)


def detail_box(thing: Thing, scene: Scene, detail_px: int, size_px: int, place: Place | None = None) -> Box:
    """Return the bounding box of the small number on a shape of a scene, with its plate."""
    layout = lay_out(scene)
    x, y = centre(place or thing.place)
    at = (x + layout.main_shift[0], y + layout.main_shift[1])
    if thing is not scene.main:
        at = layout.companion_at or at
    return number_box(thing.detail, (at[0] * size_px, at[1] * size_px), detail_px, size_px)


def flash_box(scene: Scene, kind: Kind) -> Box:
    """Return the bounding box of a thing that flashes."""
    return outline_box(kind[1], centre(scene.last_place), lay_out(scene).flash_radius, 1)


def event_box(scene: Scene, event: Flash | Burst | Stand, size_px: int) -> Box:
    """Return the bounding box of what a cue is about; of a moving shape, that of its way."""
    if isinstance(event, Burst):
        return large_number_box(scene, event.number, size_px)
    if isinstance(event, Flash):
        return flash_box(scene, event.kind)
    one, other = main_box(scene, event.start), main_box(scene, event.end)
    return Box(
        min(one.left, other.left),
        min(one.top, other.top),
        max(one.right, other.right),
        max(one.bottom, other.bottom),
    )
