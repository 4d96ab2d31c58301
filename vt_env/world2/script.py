"""Video script of the second world: scenes, spoken lines and what happens on screen, generated from one seed."""

from dataclasses import dataclass

import numpy as np

from vt_env.types import Interval, SubtitleLine

WORLD, SCRIPT_VERSION = 2, 1
"""First parts of every seed; increment the version if a change makes the same seed give another script."""

Kind = tuple[str, str]
"""Colour and shape."""
Place = tuple[str, str]
"""Side and height in the frame."""


@dataclass(frozen=True, slots=True)
class Thing:
    """A shape on screen."""

    kind: Kind
    place: Place
    detail: int
    """Small number on it, 10 to 99."""

    @property
    def name(self) -> str:
        """Colour and shape as one text."""
        return " ".join(self.kind)


@dataclass(frozen=True, slots=True)
class Scene:
    """What stands on screen during an interval."""

    interval: Interval
    role: str
    """Kind of scene: a name of `vt_env.world2.scenes.ROLES`."""
    main: Thing
    """The largest thing on screen."""
    size: str
    """Size of the main shape: `large` or `small`."""
    number: int
    """Large number, 10 to 99, different from the small ones."""
    number_place: Place
    last_place: Place
    """Place of dots and flashes, and the other place of a moving shape."""
    companion: Thing | None
    """A thing smaller than any main shape, if there is one."""
    dots: int
    """Number of dots, 0 or 2 to 9."""
    look_seed: int
    """Seed of layout and background, which no question depends on."""


@dataclass(frozen=True, slots=True)
class Flash:
    """A thing on screen for half a second."""

    interval: Interval
    kind: Kind


@dataclass(frozen=True, slots=True)
class Burst:
    """Another large number for one and a half seconds."""

    interval: Interval
    number: int


@dataclass(frozen=True, slots=True)
class Stand:
    """The main shape stands or moves during a line."""

    interval: Interval
    start: Place
    end: Place


@dataclass(frozen=True, slots=True)
class Cue:
    """A spoken line that says when to look, and what happens then."""

    name: str
    line: SubtitleLine
    scene: Scene
    event: Flash | Burst | Stand


@dataclass(frozen=True, slots=True)
class Code:
    """A code number that only the narrator mentions."""

    name: str
    number: int
    line: SubtitleLine


@dataclass(frozen=True, slots=True)
class Naming:
    """A spoken line that names the main shape of a single scene."""

    name: str
    line: SubtitleLine
    scene: Scene


@dataclass(frozen=True, slots=True)
class VideoScript:
    """Content of one video."""

    seed: int
    duration_s: int
    scenes: tuple[Scene, ...]
    cues: tuple[Cue, ...]
    codes: tuple[Code, ...]
    namings: tuple[Naming, ...]
    subtitles: tuple[SubtitleLine, ...]

    def of_role(self, role: str) -> list[Scene]:
        """Return the scenes of a role, in time order."""
        return [scene for scene in self.scenes if scene.role == role]


def script_rng(seed: int, purpose: int) -> np.random.Generator:
    """Return the random generator of one purpose in one video, so that no purpose changes the draws of another."""
    return np.random.default_rng(np.random.SeedSequence([WORLD, SCRIPT_VERSION, seed, purpose]))
