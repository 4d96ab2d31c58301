"""Question families beyond the default world: counting, order, time, small print and absence.

| family | question | required steps |
|---|---|---|
| counting | how many times is the red square shown? | find every scene of it, and know that there are no more |
| ordering | in which order are these shown: ...? | find three scenes and compare their times |
| grounding | when is the red square shown? | find the scene and its bounds |
| detail | what is the small number on the red square? | find the scene, then look closely at a part of a frame |
| absence | which of these is never shown? | find three of four things |

The text alone must not reveal the right option. All counts are equally likely, wrong orders and intervals are drawn
independently of the right one, and absent objects are worded like present ones.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import permutations, product

import numpy as np

from vt_env.world.config import WorldConfig
from vt_env.world.render import shape_box
from vt_env.world.script import Scene, VideoScript
from vt_env.world.single_scene_questions import OPTIONS, WorldQuestion, number_options
from vt_env.world.vocabulary import COLOURS, SHAPES

Kind = tuple[str, str]
"""Colour and shape."""
ORDERED = 3
"""Number of objects in an ordering question."""


def counting_text(colour: str, shape: str) -> str:
    """Return the text of a counting question."""
    return f"how many times is the {colour} {shape} shown?"


def ordering_text(kinds: Iterable[Kind]) -> str:
    """Return the text of an ordering question."""
    return f"in which order are these shown: {', '.join(f'the {colour} {shape}' for colour, shape in kinds)}?"


def grounding_text(colour: str, shape: str) -> str:
    """Return the text of a grounding question."""
    return f"when is the {colour} {shape} shown?"


def detail_text(colour: str, shape: str) -> str:
    """Return the text of a detail question."""
    return f"what is the small number on the {colour} {shape}?"


ABSENCE_TEXT = "which of these is never shown?"


def count_scenes(script: VideoScript, config: WorldConfig, count: int, rng: np.random.Generator) -> list[WorldQuestion]:
    """Generate counting questions about `script.repeated`; the options are 1 to `config.events`."""
    options = [str(number) for number in range(1, config.events + 1)]

    def question(kind: Kind) -> WorldQuestion:
        scenes = [scene for scene in script.scenes if _kind(scene) == kind]
        shuffled = [options[i] for i in rng.permutation(len(options))]
        evidence = tuple(scene.interval for scene in scenes)
        answer_idx = shuffled.index(str(len(scenes)))
        return WorldQuestion("counting", counting_text(*kind), tuple(shuffled), answer_idx, evidence)

    return [question(script.repeated[i]) for i in rng.permutation(len(script.repeated))[:count]]


def order_scenes(script: VideoScript, config: WorldConfig, count: int, rng: np.random.Generator) -> list[WorldQuestion]:
    """Generate ordering questions about three scenes; wrong options are drawn uniformly from the other orders."""
    unique = _in_random_order(_unique(script), rng)

    def question(scenes: Sequence[Scene]) -> WorldQuestion:
        right = tuple(sorted(scenes, key=lambda scene: scene.interval))
        wrong = [order for order in permutations(right) if order != right]
        orders = [right, *(wrong[i] for i in rng.permutation(len(wrong))[: OPTIONS - 1])]
        texts = [", ".join(_name(_kind(scene)) for scene in order) for order in orders]
        options, answer_idx = _shuffled(texts, rng)
        evidence = tuple(scene.interval for scene in right)
        return WorldQuestion("ordering", ordering_text(map(_kind, scenes)), options, answer_idx, evidence)

    return [question(group) for group in _groups(unique, ORDERED)[:count]]


def ground_scenes(
    script: VideoScript, config: WorldConfig, count: int, rng: np.random.Generator
) -> list[WorldQuestion]:
    """Generate grounding questions; wrong options are a scene of the same colour, one of the same shape, any other."""

    def question(scene: Scene) -> WorldQuestion:
        others = _in_random_order([other for other in script.scenes if other is not scene], rng)
        near = [
            *[other for other in others if other.colour == scene.colour][:1],
            *[other for other in others if other.shape == scene.shape][:1],
        ]
        wrong = list(dict.fromkeys(other.interval for other in (*near, *others)))[: OPTIONS - 1]
        options, answer_idx = _shuffled([str(interval) for interval in (scene.interval, *wrong)], rng)
        return WorldQuestion("grounding", grounding_text(*_kind(scene)), options, answer_idx, (scene.interval,))

    # Fewer scenes cannot fill the options.
    return [question(scene) for scene in _drawn(script, count, rng)] if len(script.scenes) >= OPTIONS else []


def read_details(script: VideoScript, config: WorldConfig, count: int, rng: np.random.Generator) -> list[WorldQuestion]:
    """Generate detail questions; wrong options are the scene's large number and the small print of similar scenes."""

    def question(scene: Scene) -> WorldQuestion:
        alike = [
            [other.detail for other in script.scenes if other.colour == scene.colour and other.detail],
            [other.detail for other in script.scenes if other.shape == scene.shape and other.detail],
        ]
        near = [scene.number, *(int(rng.choice(numbers)) for numbers in alike)]
        options, answer_idx = number_options(scene.detail or 0, near, rng)
        box = shape_box(scene, config.size_px)
        return WorldQuestion("detail", detail_text(*_kind(scene)), options, answer_idx, (scene.interval,), (box,))

    return [question(scene) for scene in _drawn(script, count, rng)]


def name_absent(script: VideoScript, config: WorldConfig, count: int, rng: np.random.Generator) -> list[WorldQuestion]:
    """Generate absence questions; colour and shape of the absent object occur separately, wrong options occur once."""
    shown = {_kind(scene) for scene in script.scenes}
    colours, shapes = {colour for colour, _ in shown}, {shape for _, shape in shown}
    kinds = [it for it in product(COLOURS, SHAPES) if it not in shown and it[0] in colours and it[1] in shapes]
    absent = [kinds[i] for i in rng.permutation(len(kinds))]
    present = _groups(_in_random_order(_unique(script), rng), OPTIONS - 1)

    def question(kind: Kind, scenes: Sequence[Scene]) -> WorldQuestion:
        options, answer_idx = _shuffled([_name(it) for it in (kind, *map(_kind, scenes))], rng)
        evidence = tuple(sorted(scene.interval for scene in scenes))
        return WorldQuestion("absence", ABSENCE_TEXT, options, answer_idx, evidence)

    return [question(kind, scenes) for kind, scenes in zip(absent[:count], present, strict=False)]


def _kind(scene: Scene) -> Kind:
    return scene.colour, scene.shape


def _name(kind: Kind) -> str:
    return " ".join(kind)


def _unique(script: VideoScript) -> list[Scene]:
    """Return the scenes whose colour and shape occur once."""
    counts = Counter(map(_kind, script.scenes))
    return [scene for scene in script.scenes if counts[_kind(scene)] == 1]


def _drawn(script: VideoScript, count: int, rng: np.random.Generator) -> list[Scene]:
    return _in_random_order(_unique(script), rng)[:count]


def _in_random_order(scenes: Sequence[Scene], rng: np.random.Generator) -> list[Scene]:
    return [scenes[i] for i in rng.permutation(len(scenes))]


def _groups(scenes: Sequence[Scene], size: int) -> list[Sequence[Scene]]:
    """Split into groups of `size`, dropping the remainder."""
    return [scenes[i : i + size] for i in range(0, len(scenes) - size + 1, size)]


def _shuffled(texts: Sequence[str], rng: np.random.Generator) -> tuple[tuple[str, ...], int]:
    """Shuffle options and return them with the index of the right one, which is first in `texts`."""
    options = tuple(str(texts[i]) for i in rng.permutation(len(texts)))
    return options, options.index(texts[0])
