"""Pictures of single moments of the second world, as a frame store or a closer look would return them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from PIL import Image

from experiments.tiny_model.batches import exchange_rng
from experiments.tiny_model.scene_pictures import as_seen, keep_or_draw
from vt_env.types import Interval
from vt_env.world.vocabulary import COLOURS, SHAPES, SIDES
from vt_env.world2.config import World2Config
from vt_env.world2.layout import centre, place_box
from vt_env.world2.scenes import BURST, DOTS, FLASH, MOVING, PLAIN
from vt_env.world2.script import Kind, Place, Scene, Thing
from vt_env.world2.shots import ScenePicture
from vt_env.world2.vocabulary import LEVELS, SIZES

PLACES: tuple[Place, ...] = tuple((side, height) for side in SIDES for height in LEVELS)
"""Places of a frame."""
ROLES = (PLAIN, MOVING, FLASH, BURST)
"""Roles of the scenes of exercises; the others differ in how often a video shows them."""
CONFIG = World2Config()


@dataclass(frozen=True, slots=True)
class Sight:
    """One input picture of the model."""

    scene: Scene
    is_event: bool = False
    """Whether the picture is taken during what happens in the scene: a flash, another number, or after a move."""
    crop: Place | None = None
    """Place of a closer look; `None` for the whole frame."""

    def paint(self) -> Image.Image:
        """Render the picture at 112 x 112 pixels, with JPEG artefacts."""
        box = None if self.crop is None else place_box(self.crop)
        return as_seen(self.picture.paint(CONFIG.size_px), self.scene.look_seed, box)

    @property
    def picture(self) -> ScenePicture:
        """The moment as the world renders it."""
        shown = self.shown
        flash = flash_of(shown) if self.is_event and shown.role == FLASH else None
        return ScenePicture(shown, shown.number, centre(shown.main.place), flash, CONFIG.detail_px)

    @property
    def shown(self) -> Scene:
        """The scene, after its move or with its other number at an event."""
        if self.is_event and self.scene.role == MOVING:
            return replace(self.scene, main=replace(self.scene.main, place=self.scene.last_place))
        return (
            replace(self.scene, number=burst_of(self.scene))
            if self.is_event and self.scene.role == BURST
            else self.scene
        )


class SightSource(Protocol):
    """Source of scenes; keeps part of a given kind, as `experiments.tiny_model.scene_pictures.keep_or_draw` does."""

    def __call__(self, rng: np.random.Generator, kind: Kind | None = None, role: str | None = None) -> Scene:
        """Draw a scene."""
        ...


def random_sight(rng: np.random.Generator, kind: Kind | None = None, role: str | None = None) -> Scene:
    """Generate a scene; half of them are plain, if no role is given."""
    drawn = keep_or_draw(rng, *(kind or (None, None)))
    of_role = role or (PLAIN if rng.random() < 0.5 else ROLES[rng.integers(1, len(ROLES))])
    places = _places(of_role, rng)
    number, *details = (int(it) for it in rng.permutation(np.arange(10, 100))[:3])
    has_companion = of_role == MOVING or rng.random() < 0.6
    # A move or a flash needs the last place.
    has_dots = of_role in (PLAIN, BURST) and rng.random() < 0.6
    companion = Thing(_other_kind(drawn, rng), places[2], details[1]) if has_companion else None
    return Scene(
        Interval(0, 1),
        of_role,
        Thing(drawn, places[0], details[0]),
        SIZES[rng.integers(len(SIZES))],
        number,
        places[1],
        places[3],
        companion,
        int(rng.integers(DOTS.start, DOTS.stop)) if has_dots else 0,
        int(rng.integers(2**31)),
    )


def things_of(scene: Scene) -> Sequence[Thing]:
    """Return the main shape and its companion, if it has one."""
    return (scene.main,) if scene.companion is None else (scene.main, scene.companion)


def flash_of(scene: Scene) -> Kind:
    """Return what flashes in a scene of exercises; drawn by its look."""
    rng = exchange_rng(scene.look_seed, 1)
    return _other_kind(scene.main.kind, rng)


def burst_of(scene: Scene) -> int:
    """Return the other large number of a scene of exercises; drawn by its look."""
    number = 10 + int(exchange_rng(scene.look_seed, 2).integers(89))
    return number + (number >= scene.number)


def _places(role: str, rng: np.random.Generator) -> list[Place]:
    """Draw the places of main shape, number, companion and the rest; a moving shape moves along a side of the frame."""
    main, *others = (PLACES[i] for i in rng.permutation(len(PLACES)))
    if role == MOVING:
        last = next(it for it in others if (it[0] == main[0]) != (it[1] == main[1]))
        others = [*(it for it in others if it != last), last]
    return [main, *others]


def _other_kind(kind: Kind, rng: np.random.Generator) -> Kind:
    colours = [it for it in COLOURS if it != kind[0]]
    return colours[rng.integers(len(colours))], SHAPES[rng.integers(len(SHAPES))]


@dataclass(frozen=True)
class SightPool:
    """Fixed pool of scenes, drawn uniformly among those of equal colour and shape."""

    seed: int
    size: int

    def __call__(self, rng: np.random.Generator, kind: Kind | None = None, role: str | None = None) -> Scene:
        """Draw a scene, as `random_sight` does; of a role, the nearest that the pool has of the kind."""
        drawn = keep_or_draw(rng, *(kind or (None, None)))
        numbers = self._by_role[role] if role else self._by_kind[drawn]
        if role:
            alike = [number for number in self._by_kind[drawn] if self.scenes[number].role == role]
            numbers = alike or numbers
        return self.scenes[numbers[rng.integers(len(numbers))]]

    @cached_property
    def scenes(self) -> list[Scene]:
        """All scenes; kinds are about equally frequent."""
        return [random_sight(exchange_rng(self.seed, number)) for number in range(self.size)]

    @cached_property
    def pictures(self) -> list[Sight]:
        """The frame of every scene, that of its event, and a closer look at each thing."""
        frames = [Sight(scene) for scene in self.scenes]
        events = [Sight(scene, is_event=True) for scene in self.scenes if scene.role != PLAIN]
        crops = [Sight(scene, crop=thing.place) for scene in self.scenes for thing in things_of(scene)]
        return [*frames, *events, *crops]

    @cached_property
    def _by_kind(self) -> dict[Kind, list[int]]:
        kinds = [(colour, shape) for colour in COLOURS for shape in SHAPES]
        numbers: dict[Kind, list[int]] = {kind: [] for kind in kinds}
        for number, scene in enumerate(self.scenes):
            numbers[scene.main.kind].append(number)
        if missing := [kind for kind, found in numbers.items() if not found]:
            raise ValueError(f"size={self.size}: {len(missing)} kinds of scenes are missing; use a larger pool")
        return numbers

    @cached_property
    def _by_role(self) -> dict[str, list[int]]:
        return {role: [n for n, scene in enumerate(self.scenes) if scene.role == role] for role in ROLES}
