"""Video script of the world: the scenes and the narrator's lines of one video, generated from one seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vt_env.types import Interval, SubtitleLine
from vt_env.world.config import WorldConfig
from vt_env.world.vocabulary import ADJECTIVES, COLOURS, NAMES, NOUNS, SHAPES, VERBS

__all__ = [
    "SCRIPT_VERSION",
    "Code",
    "Reference",
    "Scene",
    "VideoScript",
    "WorldConfig",
    "write_script",
]

SCRIPT_VERSION = 1
"""Part of every seed; increment it if a change makes the same seed give another script."""
_REPEATS, _DETAILS = 101, 102
"""Third part of the seeds of optional content, so that enabling it does not change the rest of a script."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A still picture: one coloured shape with a number beside it."""

    interval: Interval
    colour: str
    shape: str
    number: int
    """Large number, 10 to 99."""
    look_seed: int
    """Seed of layout and background, which no question depends on."""
    detail: int | None = None
    """Small number on the shape, 10 to 99 and different from `number`; `None` without small print."""

    @property
    def caption(self) -> str:
        """Content of a stored frame in words, without small print."""
        return f"{self.colour} {self.shape} {self.number}"


@dataclass(frozen=True, slots=True)
class Code:
    """A code number that only the narrator mentions."""

    name: str
    number: int
    line: SubtitleLine


@dataclass(frozen=True, slots=True)
class Reference:
    """A spoken line that refers to the scene on screen."""

    name: str
    scene: Scene
    line: SubtitleLine


@dataclass(frozen=True, slots=True)
class VideoScript:
    """Content of one video."""

    seed: int
    duration_s: int
    scenes: tuple[Scene, ...]
    subtitles: tuple[SubtitleLine, ...]
    codes: tuple[Code, ...]
    references: tuple[Reference, ...]
    repeated: tuple[tuple[str, str], ...] = ()
    """Colour and shape of the counted objects, whose number of scenes is uniform on 1 to `WorldConfig.events`."""


def write_script(seed: int, config: WorldConfig) -> VideoScript:
    """Generate the script of one video; the same seed and config give the same script on every machine."""
    rng = np.random.default_rng(np.random.SeedSequence([SCRIPT_VERSION, seed]))
    duration_s = int(rng.integers(config.duration_min_s, config.duration_max_s + 1))
    scenes, repeated = _repeat(_write_scenes(duration_s, config, rng), config, seed)
    scenes = _add_details(scenes, config, seed)
    slots = _line_slots(duration_s, rng)
    names = [str(name) for name in rng.permutation(NAMES)]
    codes, references, lines = _write_facts(scenes, slots, names, config, rng)
    taken = {line.interval for line in lines}
    spare_names = names[2 * config.facts :]
    lines += [SubtitleLine(slot, _filler(spare_names, rng)) for slot in slots if slot not in taken]
    subtitles = tuple(sorted(lines, key=lambda line: line.interval))
    return VideoScript(seed, duration_s, scenes, subtitles, codes, references, repeated)


def _write_scenes(duration_s: int, config: WorldConfig, rng: np.random.Generator) -> tuple[Scene, ...]:
    """Fill the duration with scenes; consecutive scenes differ in colour, so a colour change marks a new scene."""
    scenes: list[Scene] = []
    start_s = 0
    colours = list(COLOURS)
    while start_s < duration_s:
        end_s = start_s + int(rng.integers(config.scene_min_s, config.scene_max_s + 1))
        if duration_s - end_s < config.scene_min_s:
            end_s = duration_s
        allowed = [colour for colour in colours if not scenes or colour != scenes[-1].colour]
        scenes.append(
            Scene(
                Interval(start_s, end_s),
                allowed[rng.integers(len(allowed))],
                SHAPES[rng.integers(len(SHAPES))],
                int(rng.integers(10, 100)),
                int(rng.integers(2**31)),
            )
        )
        start_s = end_s
    return tuple(scenes)


def _repeat(
    scenes: tuple[Scene, ...], config: WorldConfig, seed: int
) -> tuple[tuple[Scene, ...], tuple[tuple[str, str], ...]]:
    """Assign one shape of each sufficiently frequent colour a uniformly drawn number of scenes.

    A colour qualifies independently of the drawn number, so the duration of a video does not reveal a count. Only
    shapes change, so consecutive scenes still differ in colour.
    """
    if not config.events:
        return scenes, ()
    rng = np.random.default_rng(np.random.SeedSequence([SCRIPT_VERSION, seed, _REPEATS]))
    changed = list(scenes)
    repeated: list[tuple[str, str]] = []
    for colour in COLOURS:
        places = [place for place, scene in enumerate(scenes) if scene.colour == colour]
        if len(places) < config.events + config.distractors:
            continue
        shape = SHAPES[rng.integers(len(SHAPES))]
        others = [other for other in SHAPES if other != shape]
        count = int(rng.integers(1, config.events + 1))
        for turn, place in enumerate(rng.permutation(places)):
            shown = shape if turn < count else others[rng.integers(len(others))]
            changed[place] = replace(changed[place], shape=shown)
        repeated.append((colour, shape))
    return tuple(changed), tuple(repeated)


def _add_details(scenes: Sequence[Scene], config: WorldConfig, seed: int) -> tuple[Scene, ...]:
    if not config.detail_px:
        return tuple(scenes)
    rng = np.random.default_rng(np.random.SeedSequence([SCRIPT_VERSION, seed, _DETAILS]))
    # Uniform on the 89 two-digit numbers other than `scene.number`.
    drawn = (10 + int(rng.integers(89)) for _ in scenes)
    return tuple(
        replace(scene, detail=number + (number >= scene.number)) for scene, number in zip(scenes, drawn, strict=True)
    )


def _line_slots(duration_s: int, rng: np.random.Generator) -> list[Interval]:
    """Draw the intervals of spoken lines: 3 to 5 s long, with pauses of 3 to 9 s."""
    slots: list[Interval] = []
    start_s = int(rng.integers(1, 6))
    while start_s + 5 < duration_s:
        length_s = int(rng.integers(3, 6))
        slots.append(Interval(start_s, start_s + length_s))
        start_s += length_s + int(rng.integers(3, 10))
    return slots


def _write_facts(
    scenes: tuple[Scene, ...],
    slots: list[Interval],
    names: list[str],
    config: WorldConfig,
    rng: np.random.Generator,
) -> tuple[tuple[Code, ...], tuple[Reference, ...], list[SubtitleLine]]:
    """Assign codes and references to random line intervals, each with its own name."""
    order = [slots[i] for i in rng.permutation(len(slots))]
    whole = [(slot, scene) for slot in order for scene in scenes if _well_inside(slot, scene)]
    references: list[Reference] = []
    for name, (slot, scene) in zip(names[: config.facts], whole, strict=False):
        references.append(Reference(name, scene, SubtitleLine(slot, f"look at {name} now")))
    taken = {reference.line.interval for reference in references}
    free = [slot for slot in order if slot not in taken]
    numbers = [int(n) for n in rng.permutation(np.arange(10, 100))]
    codes = tuple(
        Code(name, number, SubtitleLine(slot, f"the code of {name} is {number}"))
        for name, number, slot in zip(names[config.facts : 2 * config.facts], numbers, free, strict=False)
    )
    lines = [fact.line for fact in (*references, *codes)]
    return codes, tuple(references), lines


def _well_inside(slot: Interval, scene: Scene) -> bool:
    return scene.interval.start_s + 1 <= slot.start_s and slot.end_s + 1 <= scene.interval.end_s


def _filler(spare_names: list[str], rng: np.random.Generator) -> str:
    """Generate a line without an answer; one in four mentions a code, so that searching for the word fails."""
    name = spare_names[rng.integers(len(spare_names))]
    if rng.random() < 0.25:
        return f"nobody knows the code of {name}"
    adjective, noun = ADJECTIVES[rng.integers(len(ADJECTIVES))], NOUNS[rng.integers(len(NOUNS))]
    return f"{name} {VERBS[rng.integers(len(VERBS))]} the {adjective} {noun}"
