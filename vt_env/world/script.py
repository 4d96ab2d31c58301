"""What happens in one video of the world: scenes on screen and lines that a narrator speaks, all from one seed."""

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
"""Part of every seed: raise it when the same seed would give another script."""
_REPEATS, _DETAILS = 101, 102
"""Third part of the seeds of what only some configs have, so that it changes nothing else of a script."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A still picture: one coloured shape with a number beside it."""

    interval: Interval
    colour: str
    shape: str
    number: int
    """10 to 99."""
    look_seed: int
    """Decides place, size and background, nothing that a question asks for."""
    detail: int | None = None
    """The small number on the shape, 10 to 99 and not `number`; `None` where the config has none."""

    @property
    def caption(self) -> str:
        """What there is to see in a stored frame, in words; small print is not."""
        return f"{self.colour} {self.shape} {self.number}"


@dataclass(frozen=True, slots=True)
class Code:
    """A number that is only spoken."""

    name: str
    number: int
    line: SubtitleLine


@dataclass(frozen=True, slots=True)
class Reference:
    """A moment at which the narrator points at the screen."""

    name: str
    scene: Scene
    line: SubtitleLine


@dataclass(frozen=True, slots=True)
class VideoScript:
    """Everything that happens in one video."""

    seed: int
    duration_s: int
    scenes: tuple[Scene, ...]
    subtitles: tuple[SubtitleLine, ...]
    codes: tuple[Code, ...]
    references: tuple[Reference, ...]
    repeated: tuple[tuple[str, str], ...] = ()
    """Colour and shape of the things whose number of scenes was drawn evenly from 1 to `WorldConfig.events`."""


def write_script(seed: int, config: WorldConfig) -> VideoScript:
    """Write the script of one video; the same seed and config give the same script on every machine."""
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
    """Fill the duration with scenes; neighbours differ in colour so that a colour change marks a new scene."""
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
    """Give one shape of each colour that has scenes enough a number of scenes that is drawn evenly.

    Which colours qualify does not depend on the number drawn, so how long a video is tells nothing about it. Only
    shapes change: neighbours keep differing in colour.
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
    # One of the 89 two-digit numbers that are not the scene's own.
    drawn = (10 + int(rng.integers(89)) for _ in scenes)
    return tuple(
        replace(scene, detail=number + (number >= scene.number)) for scene, number in zip(scenes, drawn, strict=True)
    )


def _line_slots(duration_s: int, rng: np.random.Generator) -> list[Interval]:
    """Times at which a line is spoken: 3 to 5 s long, a pause of 3 to 9 s between them."""
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
    """Speak the codes and the references at random times, each of its own name."""
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
    """A line without an answer; one in four speaks of codes, so that the word alone finds nothing."""
    name = spare_names[rng.integers(len(spare_names))]
    if rng.random() < 0.25:
        return f"nobody knows the code of {name}"
    adjective, noun = ADJECTIVES[rng.integers(len(ADJECTIVES))], NOUNS[rng.integers(len(NOUNS))]
    return f"{name} {VERBS[rng.integers(len(VERBS))]} the {adjective} {noun}"
