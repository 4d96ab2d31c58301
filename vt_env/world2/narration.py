"""What the narrator says, and what happens on screen after or during it."""

from collections.abc import Iterator, Sequence

import numpy as np

from vt_env.types import Interval, SubtitleLine
from vt_env.world.vocabulary import ADJECTIVES, COLOURS, NAMES, NOUNS, SHAPES, VERBS
from vt_env.world2.scenes import BURST, FLASH, MOVING, SINGLE, write_scenes
from vt_env.world2.script import Burst, Code, Cue, Flash, Naming, Scene, Stand, VideoScript, script_rng

CODES, NAMINGS = 3, 4
"""Numbers of lines about a code and about the name of a shape."""
DELAY_S, FLASH_S, BURST_S = 0.5, 0.5, 1.5
"""Time from the end of a line to a flash or burst, and how long they last, in seconds. Lines end at whole seconds, so
that a flash is between two stored frames, and one stored frame shows a burst."""
_DURATION, _SCENES, _LINES = range(3)
"""Purposes of seeds."""
_MARGIN_S, _AFTER_S = 1, 3
"""Least time in the scene before and after a line of a cue."""
_NOBODY = 0.15
"""Share of the other lines that mention a code that is not told."""


def write_script(seed: int, shortest_s: int, longest_s: int) -> VideoScript:
    """Generate the script of one video; the same arguments give the same script on every machine.

    Args:
        seed: Seed of the video.
        shortest_s: Shortest duration that is drawn, in seconds, at least `vt_env.world2.config.SHORTEST_S`.
        longest_s: Longest duration that is drawn.
    """
    duration_s = int(script_rng(seed, _DURATION).integers(shortest_s, longest_s + 1))
    scenes = write_scenes(duration_s, script_rng(seed, _SCENES))
    rng = script_rng(seed, _LINES)
    slots = _line_slots(duration_s, rng)
    names = iter([str(it) for it in rng.permutation(NAMES)])
    cues = tuple(_cues(scenes, slots, names, rng))
    taken = {cue.line.interval for cue in cues}
    free = [slots[i] for i in rng.permutation(len(slots)) if slots[i] not in taken]
    codes = tuple(_codes(free[:CODES], names, rng))
    singles = [scene for scene in scenes if scene.role == SINGLE]
    named = [singles[i] for i in rng.permutation(len(singles))[:NAMINGS]]
    namings = tuple(_namings(named, free[CODES:], names))
    lines = [fact.line for fact in (*cues, *codes, *namings)]
    untold = sorted(set(NAMES) - {code.name for code in codes})
    lines += [SubtitleLine(slot, _filler(untold, rng)) for slot in free[CODES + NAMINGS :]]
    subtitles = tuple(sorted(lines, key=lambda line: line.interval))
    return VideoScript(seed, duration_s, scenes, cues, codes, namings, subtitles)


def cue_text(name: str) -> str:
    """Return the line of a cue."""
    return f"look at {name} now"


def code_text(name: str, number: int) -> str:
    """Return the line that tells a code."""
    return f"the code of {name} is {number}"


def naming_text(name: str, kind: tuple[str, str]) -> str:
    """Return the line that names a shape."""
    return f"{name} is the {' '.join(kind)}"


def _line_slots(duration_s: int, rng: np.random.Generator) -> list[Interval]:
    """Draw the intervals of spoken lines: 3 to 5 s long, with pauses of 2 to 6 s."""
    slots: list[Interval] = []
    start_s = int(rng.integers(1, 6))
    while start_s + 5 < duration_s:
        length_s = int(rng.integers(3, 6))
        slots.append(Interval(start_s, start_s + length_s))
        start_s += length_s + int(rng.integers(2, 7))
    return slots


def _cues(
    scenes: Sequence[Scene], slots: Sequence[Interval], names: Iterator[str], rng: np.random.Generator
) -> Iterator[Cue]:
    for scene in scenes:
        if scene.role not in (FLASH, BURST, MOVING):
            continue
        inside = [slot for slot in slots if _is_inside(slot, scene)]
        count = 3 if scene.role == MOVING else 2
        chosen = [inside[i] for i in sorted(rng.permutation(len(inside))[:count])]
        for slot, event in zip(chosen, _events(scene, chosen, rng), strict=True):
            name = next(names)
            yield Cue(name, SubtitleLine(slot, cue_text(name)), scene, event)


def _is_inside(slot: Interval, scene: Scene) -> bool:
    return scene.interval.start_s + _MARGIN_S <= slot.start_s and slot.end_s + _AFTER_S <= scene.interval.end_s


def _events(
    scene: Scene, slots: Sequence[Interval], rng: np.random.Generator
) -> Sequence[Flash] | Sequence[Burst] | Sequence[Stand]:
    """Draw what happens at each cue of a scene."""
    if scene.role == MOVING:
        return _stands(scene, slots, int(rng.integers(len(slots))))
    starts_s = [slot.end_s + DELAY_S for slot in slots]
    if scene.role == BURST:
        spare = {scene.number, scene.main.detail, scene.companion and scene.companion.detail}
        numbers = [int(it) for it in rng.permutation(np.arange(10, 100)) if int(it) not in spare]
        return [Burst(Interval(it, it + BURST_S), number) for it, number in zip(starts_s, numbers, strict=False)]
    colours = [str(it) for it in rng.permutation([it for it in COLOURS if it != scene.main.kind[0]])]
    kinds = zip(colours, map(str, rng.permutation(SHAPES)), strict=False)
    return [Flash(Interval(it, it + FLASH_S), kind) for it, kind in zip(starts_s, kinds, strict=False)]


def _stands(scene: Scene, slots: Sequence[Interval], still: int) -> list[Stand]:
    """Return where the main shape is during each line: it moves to the other place and back, and stands in one."""
    at, other = scene.main.place, scene.last_place
    stands: list[Stand] = []
    for number, slot in enumerate(slots):
        if number != still:
            stands.append(Stand(slot, at, other))
            at, other = other, at
        else:
            stands.append(Stand(slot, at, at))
    return stands


def _codes(slots: Sequence[Interval], names: Iterator[str], rng: np.random.Generator) -> Iterator[Code]:
    numbers = [int(it) for it in rng.permutation(np.arange(10, 100))[: len(slots)]]
    for slot, number, name in zip(slots, numbers, names, strict=False):
        yield Code(name, number, SubtitleLine(slot, code_text(name, number)))


def _namings(scenes: Sequence[Scene], slots: Sequence[Interval], names: Iterator[str]) -> Iterator[Naming]:
    for scene, slot, name in zip(scenes, slots, names, strict=False):
        yield Naming(name, SubtitleLine(slot, naming_text(name, scene.main.kind)), scene)


def _filler(untold: Sequence[str], rng: np.random.Generator) -> str:
    """Generate a line that answers nothing, about any name."""
    if rng.random() < _NOBODY:
        return f"nobody knows the code of {untold[int(rng.integers(len(untold)))]}"
    name = NAMES[rng.integers(len(NAMES))]
    adjective, noun = ADJECTIVES[rng.integers(len(ADJECTIVES))], NOUNS[rng.integers(len(NOUNS))]
    return f"{name} {VERBS[rng.integers(len(VERBS))]} the {adjective} {noun}"
