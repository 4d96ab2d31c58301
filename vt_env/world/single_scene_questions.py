"""Question families answered by a single scene or line; each requires a different kind of tool.

| family | question | required steps |
|---|---|---|
| needle | what number is beside the red square? | retrieve by sight, look at candidates, read |
| subtitle | what is the code of delta? | search the subtitles, read |
| reference | what number is on screen when the narrator says kilo? | search the subtitles, look there, read |

Wrong options are near misses: the numbers of scenes with the same colour or shape, other spoken codes, and the scenes
before and after the right one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vt_env.types import Box, Interval
from vt_env.world.config import WorldConfig
from vt_env.world.script import Code, Reference, Scene, VideoScript

FAMILIES: tuple[str, ...] = ("needle", "subtitle", "reference")
"""Families of the default world."""
OPTIONS = 4


@dataclass(frozen=True, slots=True)
class WorldQuestion:
    """A question with its gold answer, before the split into `Item` and `Gold`."""

    family: str
    text: str
    options: tuple[str, ...]
    answer_idx: int
    evidence: tuple[Interval, ...]
    evidence_boxes: tuple[Box, ...] = ()


def needle_text(colour: str, shape: str) -> str:
    """Return the text of a needle question."""
    return f"what number is beside the {colour} {shape}?"


def subtitle_text(name: str) -> str:
    """Return the text of a subtitle question."""
    return f"what is the code of {name}?"


def reference_text(name: str) -> str:
    """Return the text of a reference question."""
    return f"what number is on screen when the narrator says {name}?"


def ask_needles(script: VideoScript, config: WorldConfig, count: int, rng: np.random.Generator) -> list[WorldQuestion]:
    """Generate needle questions: the number in a scene whose colour and shape occur once."""
    counts = Counter((scene.colour, scene.shape) for scene in script.scenes)
    unique = [scene for scene in script.scenes if counts[scene.colour, scene.shape] == 1]
    return [_needle(script, unique[i], rng) for i in rng.permutation(len(unique))[:count]]


def _needle(script: VideoScript, scene: Scene, rng: np.random.Generator) -> WorldQuestion:
    alike = [
        [other.number for other in script.scenes if other.colour == scene.colour],
        [other.number for other in script.scenes if other.shape == scene.shape],
    ]
    near = [int(rng.choice(numbers)) for numbers in alike]
    options, answer_idx = number_options(scene.number, near, rng)
    return WorldQuestion("needle", needle_text(scene.colour, scene.shape), options, answer_idx, (scene.interval,))


def ask_subtitles(
    script: VideoScript, config: WorldConfig, count: int, rng: np.random.Generator
) -> list[WorldQuestion]:
    """Generate subtitle questions: a code that is only spoken."""

    def question(code: Code) -> WorldQuestion:
        near = [other.number for other in script.codes if other is not code]
        options, answer_idx = number_options(code.number, near, rng)
        return WorldQuestion("subtitle", subtitle_text(code.name), options, answer_idx, (code.line.interval,))

    return [question(script.codes[i]) for i in rng.permutation(len(script.codes))[:count]]


def ask_references(
    script: VideoScript, config: WorldConfig, count: int, rng: np.random.Generator
) -> list[WorldQuestion]:
    """Generate reference questions: the number on screen while a line is spoken."""

    def question(reference: Reference) -> WorldQuestion:
        at = script.scenes.index(reference.scene)
        near = [scene.number for scene in script.scenes[max(0, at - 1) : at + 2]]
        options, answer_idx = number_options(reference.scene.number, near, rng)
        return WorldQuestion(
            "reference", reference_text(reference.name), options, answer_idx, (reference.line.interval,)
        )

    return [question(script.references[i]) for i in rng.permutation(len(script.references))[:count]]


def number_options(number: int, near: Sequence[int], rng: np.random.Generator) -> tuple[tuple[str, ...], int]:
    """Return four different numbers in random order and the index of `number`; near misses first, then random ones."""
    candidates = [n for n in near if n != number] + [int(n) for n in rng.permutation(np.arange(10, 100))]
    wrong = [n for n in dict.fromkeys(candidates) if n != number][: OPTIONS - 1]
    order = rng.permutation(OPTIONS)
    options = [str([number, *wrong][i]) for i in order]
    return tuple(options), options.index(str(number))
