"""What happens in one video of the world: scenes on screen and lines that a narrator speaks, all from one seed."""

from dataclasses import dataclass

import numpy as np

from vt_env.types import Interval, SubtitleLine
from vt_env.world.vocabulary import ADJECTIVES, COLOURS, NAMES, NOUNS, SHAPES, VERBS

SCRIPT_VERSION = 1
"""Part of every seed: raise it when the same seed would give another script."""


@dataclass(frozen=True)
class WorldConfig:
    """How videos of the world are made."""

    duration_min_s: int = 600
    """Shortest video in seconds."""
    duration_max_s: int = 1800
    """Longest video in seconds."""
    scene_min_s: int = 12
    """Shortest scene in seconds."""
    scene_max_s: int = 40
    """Longest scene in seconds."""
    facts: int = 4
    """Spoken codes a video, and as many spoken references to the screen."""
    size_px: int = 224
    """Width and height of the video."""
    frame_rate_hz: int = 2
    """Frames per second of the video file."""
    keyframe_every_s: int = 20
    """Seconds between keyframes, long as in real files."""
    videos: int = 60
    """Videos in a split."""
    tasks_per_video: int = 12
    """Questions asked of each video, families in turn."""


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

    @property
    def caption(self) -> str:
        """What there is to see, in words."""
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


def write_script(seed: int, config: WorldConfig) -> VideoScript:
    """Write the script of one video; the same seed and config give the same script on every machine."""
    rng = np.random.default_rng(np.random.SeedSequence([SCRIPT_VERSION, seed]))
    duration_s = int(rng.integers(config.duration_min_s, config.duration_max_s + 1))
    scenes = _write_scenes(duration_s, config, rng)
    slots = _line_slots(duration_s, rng)
    names = [str(name) for name in rng.permutation(NAMES)]
    codes, references, lines = _write_facts(scenes, slots, names, config, rng)
    taken = {line.interval for line in lines}
    spare_names = names[2 * config.facts :]
    lines += [SubtitleLine(slot, _filler(spare_names, rng)) for slot in slots if slot not in taken]
    subtitles = tuple(sorted(lines, key=lambda line: line.interval))
    return VideoScript(seed, duration_s, scenes, subtitles, codes, references)


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
