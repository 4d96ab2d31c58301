"""Questions about single moments of the second world, with their answers and options, as exercises ask them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.tiny_model.exercise import number_options, random_kinds
from vt_env.world.single_scene_questions import needle_text, subtitle_text
from vt_env.world2.question import wrong_kinds
from vt_env.world2.scenes import dots_windows
from vt_env.world2.script import Scene
from vt_env.world2.sight_questions import PLACES, dots_text, pair_text, place_name, place_text
from vt_env.world2.spoken_questions import (
    beside_text,
    burst_text,
    flash_question_text,
    motion_text,
    named_text,
    spot_text,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that one frame answers."""

    text: str
    answer: str
    options: tuple[str, ...]


def number_asked(scene: Scene, rng: np.random.Generator) -> Asked:
    """Ask for the large number beside the main shape."""
    return Asked(needle_text(*scene.main.kind), str(scene.number), number_options(scene.number, rng))


def place_asked(scene: Scene, rng: np.random.Generator) -> Asked:
    """Ask for the place of the main shape."""
    return Asked(place_text(scene.main.name), place_name(scene.main.place), shuffled(PLACES, rng))


def dots_asked(scene: Scene, rng: np.random.Generator) -> Asked:
    """Ask for the number of dots, or for the large number where there are none."""
    if not scene.dots:
        return number_asked(scene, rng)
    windows = dots_windows(scene.dots)
    options = tuple(str(it) for it in windows[rng.integers(len(windows))])
    return Asked(dots_text(scene.main.name), str(scene.dots), options)


def pair_asked(scene: Scene, rng: np.random.Generator) -> Asked:
    """Ask for the large number beside the main shape and its companion, if it has one."""
    if scene.companion is None:
        return number_asked(scene, rng)
    text = pair_text(scene.main.name, scene.companion.name)
    return Asked(text, str(scene.number), number_options(scene.number, rng))


def beside_asked(scene: Scene, rng: np.random.Generator) -> Asked:
    """Ask for the companion of the main shape, or for its place if it has none."""
    if scene.companion is None:
        return place_asked(scene, rng)
    right = scene.companion.kind
    options = (scene.companion.name, *wrong_kinds(right, (), random_kinds(rng, 48)))
    return Asked(beside_text(scene.main.name), scene.companion.name, shuffled(options, rng))


FRAME_QUESTIONS: Sequence[Callable[[Scene, np.random.Generator], Asked]] = (
    number_asked,
    place_asked,
    dots_asked,
    pair_asked,
    beside_asked,
)


def question_about(line: str, name: str, thing: str, rng: np.random.Generator) -> str:
    """Draw a question that a spoken line answers or leads to; a request for its name, for lines that matter to none.

    Args:
        line: The line.
        name: The name it speaks of.
        thing: A colour and a shape, for questions that name one.
        rng: Random generator.
    """
    if "look at" in line:
        cue = rng.integers(4)
        if cue < 2:
            return (flash_question_text, burst_text)[cue](name)
        return (motion_text, spot_text)[cue - 2](thing, name)
    if "code of" in line:
        return subtitle_text(name)
    return question_about_named(name, rng) if " is the " in line else f"Find {name}"


def question_about_named(name: str, rng: np.random.Generator) -> str:
    """Draw a question about the thing that a name stands for."""
    return (beside_text, named_text)[rng.integers(2)](name)


def shuffled(texts: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    """Return texts in random order."""
    return tuple(texts[int(i)] for i in rng.permutation(len(texts)))
