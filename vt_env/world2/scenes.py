"""Scenes of a video: how many of each role, in which order, with which content.

Rare colours are those of the scenes that questions find by sight. Each is the colour of three main shapes and of
nothing else, so that a search for the colour finds the scene and two others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vt_env.types import Interval
from vt_env.world.vocabulary import COLOURS, SHAPES, SIDES
from vt_env.world2.script import Kind, Place, Scene, Thing
from vt_env.world2.vocabulary import LEVELS, SIZES

SINGLE, TRIPLE, TWICE, FLASH, BURST, MOVING, PLAIN = "single", "triple", "twice", "flash", "burst", "moving", "plain"
LENGTHS_S: Mapping[str, tuple[int, int]] = {
    SINGLE: (12, 18), TRIPLE: (12, 18), TWICE: (12, 18), FLASH: (31, 36), BURST: (31, 36), MOVING: (43, 48),
    PLAIN: (12, 40),
}  # fmt: skip
"""Shortest and longest scene of each role, in seconds. Lines come at least every 11 s, so that a scene of 31 s holds
two lines with what follows them, one of 43 s three."""
ROLES: tuple[str, ...] = tuple(LENGTHS_S)
RARE = 5
"""Number of rare colours."""
DOTS = range(2, 10)
"""Numbers of dots in a scene."""
DOTS_SHOWN = 4
"""Numbers in a row that a question about dots offers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A scene before its place in the video is drawn."""

    role: str
    kind: Kind | None
    """Colour and shape of the main shape; `None` for a common colour."""
    companion: Kind | None = None
    """Kind of the companion, where it is fixed; a common colour."""


def write_scenes(duration_s: int, rng: np.random.Generator) -> tuple[Scene, ...]:
    """Fill the duration with scenes; consecutive scenes differ in the colour of the main shape."""
    colours = [str(it) for it in rng.permutation(list(COLOURS))]
    rare, common = colours[:RARE], colours[RARE:]
    plans = [*_rare_plans(rare, common, rng), *(Plan(role, None) for role in (FLASH, BURST, MOVING, MOVING))]
    lengths_s = [_length_s(plan.role, rng) for plan in plans]
    filler_s = _filler_lengths_s(duration_s - sum(lengths_s), rng)
    timed = [*zip(plans, lengths_s, strict=True), *((Plan(PLAIN, None), it) for it in filler_s)]
    ordered = _in_order(timed, rng)
    scenes: list[Scene] = []
    sizes = _twice_looks(rng)
    start_s = 0
    for plan, length_s in ordered:
        kind = plan.kind or _common_kind(common, scenes[-1].main.kind[0] if scenes else "", rng)
        look = next(sizes) if plan.role == TWICE else None
        alike = [it.number for it in scenes if it.role == plan.role == TRIPLE]
        scenes.append(_scene(plan, kind, Interval(start_s, start_s + length_s), common, look, alike, rng))
        start_s += length_s
    return tuple(scenes)


def _rare_plans(rare: Sequence[str], common: Sequence[str], rng: np.random.Generator) -> Iterator[Plan]:
    def shapes(count: int) -> list[str]:
        return [str(it) for it in rng.permutation(SHAPES)[:count]]

    for colour in rare[:3]:
        yield from (Plan(SINGLE, (colour, shape)) for shape in shapes(3))
    (shape,) = shapes(1)
    companions = [(str(colour), shown) for colour, shown in zip(rng.permutation(common), shapes(3), strict=True)]
    yield from (Plan(TRIPLE, (rare[3], shape), companion) for companion in companions)
    shape, other = shapes(2)
    yield from (Plan(TWICE, (rare[4], shape)), Plan(TWICE, (rare[4], shape)), Plan(SINGLE, (rare[4], other)))


def _length_s(role: str, rng: np.random.Generator) -> int:
    shortest_s, longest_s = LENGTHS_S[role]
    return int(rng.integers(shortest_s, longest_s + 1))


def _filler_lengths_s(left_s: int, rng: np.random.Generator) -> list[int]:
    lengths_s: list[int] = []
    while left_s:
        length_s = min(left_s, _length_s(PLAIN, rng))
        if left_s - length_s < LENGTHS_S[PLAIN][0]:
            length_s = left_s
        lengths_s.append(length_s)
        left_s -= length_s
    return lengths_s


def _in_order(timed: Sequence[tuple[Plan, int]], rng: np.random.Generator) -> list[tuple[Plan, int]]:
    """Draw orders until no two neighbours have the same rare colour."""
    while True:
        ordered = [timed[i] for i in rng.permutation(len(timed))]
        colours = [plan.kind[0] if plan.kind else None for plan, _ in ordered]
        if not any(one and one == other for one, other in pairwise(colours)):
            return ordered


def _common_kind(common: Sequence[str], before: str, rng: np.random.Generator) -> Kind:
    allowed = [it for it in common if it != before]
    return allowed[rng.integers(len(allowed))], SHAPES[rng.integers(len(SHAPES))]


def _twice_looks(rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Yield size and side of the two scenes of one shape: sizes differ, sides are drawn."""
    for size in rng.permutation(SIZES):
        yield str(size), SIDES[rng.integers(len(SIDES))]


def _scene(
    plan: Plan,
    kind: Kind,
    interval: Interval,
    common: Sequence[str],
    look: tuple[str, str] | None,
    alike: Sequence[int],
    rng: np.random.Generator,
) -> Scene:
    """Draw the content of a scene, with another large number than those of scenes that companions alone tell apart."""
    size, side = look or (_size(rng), SIDES[rng.integers(len(SIDES))])
    main_at, *others = _places(side, plan.role, rng)
    number, *details = [int(it) for it in rng.permutation(np.arange(10, 100)) if it not in alike][:3]
    has_companion, has_dots = _extras(plan.role, rng)
    drawn = _common_kind(common, kind[0], rng)
    companion = Thing(plan.companion or drawn, others[1], details[1]) if has_companion else None
    return Scene(
        interval,
        plan.role,
        Thing(kind, main_at, details[0]),
        size,
        number,
        others[0],
        others[2],
        companion,
        _dots(rng) if has_dots else 0,
        int(rng.integers(2**31)),
    )


def _extras(role: str, rng: np.random.Generator) -> tuple[bool, bool]:
    """Return whether a scene has a companion and dots."""
    companion, dots = (bool(it) for it in rng.random(2) < 0.5)
    if role in (SINGLE, TRIPLE):
        return True, role == SINGLE or dots
    return role == MOVING or (companion and role != FLASH), dots and role in (TWICE, PLAIN)


def _places(side: str, role: str, rng: np.random.Generator) -> list[Place]:
    """Draw the places of main shape, number, companion and the rest; a moving shape moves along a side of the frame."""
    height = LEVELS[rng.integers(len(LEVELS))]
    places = [(one, other) for one in SIDES for other in LEVELS if (one, other) != (side, height)]
    places = [places[i] for i in rng.permutation(len(places))]
    if role == MOVING:
        neighbours = [it for it in places if (it[0] == side) != (it[1] == height)]
        places = [*(it for it in places if it != neighbours[0]), neighbours[0]]
    return [(side, height), *places]


def _dots(rng: np.random.Generator) -> int:
    """Draw a number of dots, so that it is uniform among the numbers in a row that a question offers."""
    windows = np.array([len(dots_windows(count)) for count in DOTS])
    return int(rng.choice(np.array(DOTS), p=windows / windows.sum()))


def dots_windows(count: int) -> list[range]:
    """Return the rows of numbers of dots that hold a number."""
    starts = range(DOTS.start, DOTS.stop - DOTS_SHOWN + 1)
    return [range(it, it + DOTS_SHOWN) for it in starts if it <= count < it + DOTS_SHOWN]


def _size(rng: np.random.Generator) -> str:
    return SIZES[rng.integers(len(SIZES))]
