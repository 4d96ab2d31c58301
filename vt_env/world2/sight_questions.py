"""Question families whose scene is found by sight.

| family | question | required steps |
|---|---|---|
| needle | what number is beside the red square? | retrieve by sight, look at candidates, read; control |
| detail | what is the small number on the red square? | find the scene, look closely at a part of a frame |
| place | where is the red square? | find the scene, tell where in the frame it is |
| dots | how many dots are beside the red square? | find the scene, count |
| compare | how does the second red star differ? | find two scenes, compare sizes and sides |
| pair | what number is beside the red star and the blue circle? | find the right one of three scenes of a red star |
"""

from collections.abc import Sequence
from itertools import product

import numpy as np

from vt_env.world.single_scene_questions import needle_text
from vt_env.world.vocabulary import SIDES
from vt_env.world.whole_video_questions import detail_text
from vt_env.world2.config import World2Config
from vt_env.world2.layout import companion_box, dots_box, large_number_box, main_box
from vt_env.world2.question import World2Question, in_random_order, wrong_numbers, wrong_of
from vt_env.world2.scenes import SINGLE, TRIPLE, TWICE, dots_windows
from vt_env.world2.script import Place, Scene, VideoScript
from vt_env.world2.vocabulary import DIFFERENCES, LEVELS, SIZES

PLACES: tuple[str, ...] = tuple(" ".join(it) for it in product(SIDES, LEVELS))
"""Options of questions about places."""


def place_text(name: str) -> str:
    """Return the text of a place question."""
    return f"where is the {name}?"


def dots_text(name: str) -> str:
    """Return the text of a dots question."""
    return f"how many dots are beside the {name}?"


def compare_text(name: str) -> str:
    """Return the text of a compare question."""
    return f"how does the second {name} differ?"


def pair_text(name: str, companion: str) -> str:
    """Return the text of a pair question."""
    return f"what number is beside the {name} and the {companion}?"


def ask_needles(
    script: VideoScript, config: World2Config, count: int, rng: np.random.Generator
) -> list[World2Question]:
    """Generate needle questions; wrong options are the numbers of scenes of the same colour, and a small number."""

    def question(scene: Scene) -> World2Question:
        near = [*(it.number for it in in_random_order(same_colour(script, scene), rng)), scene.main.detail]
        box = large_number_box(scene, scene.number, config.size_px)
        wrong = wrong_numbers(scene.number, near, rng)
        text = needle_text(*scene.main.kind)
        return World2Question("needle", text, str(scene.number), wrong, (scene.interval,), (box,))

    return [question(scene) for scene in _drawn(script, count, rng)]


def read_details(
    script: VideoScript, config: World2Config, count: int, rng: np.random.Generator
) -> list[World2Question]:
    """Generate detail questions; wrong options as `near_details`."""

    def question(scene: Scene) -> World2Question:
        wrong = wrong_numbers(scene.main.detail, near_details(script, scene, rng), rng)
        box, text = main_box(scene), detail_text(*scene.main.kind)
        return World2Question("detail", text, str(scene.main.detail), wrong, (scene.interval,), (box,))

    return [question(scene) for scene in _drawn(script, count, rng)]


def near_details(script: VideoScript, scene: Scene, rng: np.random.Generator) -> list[int]:
    """Return the large number, the companion's small one, and the small one of a scene of the same colour."""
    companion = [scene.companion.detail] if scene.companion else []
    others = in_random_order(same_colour(script, scene), rng)
    return [scene.number, *companion, *(it.main.detail for it in others)]


def locate(script: VideoScript, config: World2Config, count: int, rng: np.random.Generator) -> list[World2Question]:
    """Generate place questions; the options are the four places."""

    def question(scene: Scene) -> World2Question:
        right = place_name(scene.main.place)
        text, wrong = place_text(scene.main.name), wrong_of(right, PLACES)
        return World2Question("place", text, right, wrong, (scene.interval,), (main_box(scene),))

    return [question(scene) for scene in _drawn(script, count, rng)]


def count_dots(script: VideoScript, config: World2Config, count: int, rng: np.random.Generator) -> list[World2Question]:
    """Generate dots questions; the options are four numbers in a row, each equally likely."""

    def question(scene: Scene) -> World2Question:
        windows = dots_windows(scene.dots)
        wrong = wrong_of(str(scene.dots), [str(it) for it in windows[rng.integers(len(windows))]])
        text = dots_text(scene.main.name)
        return World2Question("dots", text, str(scene.dots), wrong, (scene.interval,), (dots_box(scene),))

    return [question(scene) for scene in _drawn(script, count, rng)]


def compare_scenes(
    script: VideoScript, config: World2Config, count: int, rng: np.random.Generator
) -> list[World2Question]:
    """Generate the question that compares two scenes of one shape: size and side of the second with the first."""
    first, second = script.of_role(TWICE)
    right = difference(first, second)
    evidence, boxes = (first.interval, second.interval), (main_box(first), main_box(second))
    text = compare_text(first.main.name)
    return [World2Question("compare", text, right, wrong_of(right, DIFFERENCES), evidence, boxes)][:count]


def difference(first: Scene, second: Scene) -> str:
    """Return how the main shape of the second scene differs from that of the first."""
    return difference_of(first.size, first.main.place, second.size, second.main.place)


def difference_of(first_size: str, first_place: Place, second_size: str, second_place: Place) -> str:
    """Return how a shape of a size in a place differs from a first one of the other size."""
    size = "larger" if SIZES.index(second_size) < SIZES.index(first_size) else "smaller"
    return f"{size} {'same' if second_place[0] == first_place[0] else 'other'} side"


def ask_pairs(script: VideoScript, config: World2Config, count: int, rng: np.random.Generator) -> list[World2Question]:
    """Generate pair questions; wrong options are the numbers beside the same shape with other companions."""
    scenes = script.of_role(TRIPLE)

    def question(scene: Scene) -> World2Question:
        assert scene.companion is not None
        near = [it.number for it in scenes if it is not scene]
        text = pair_text(scene.main.name, scene.companion.name)
        box = companion_box(scene, scene.companion)
        wrong = wrong_numbers(scene.number, near, rng)
        return World2Question("pair", text, str(scene.number), wrong, (scene.interval,), (box,))

    return [question(scene) for scene in in_random_order(scenes, rng)[:count]]


def place_name(place: Place) -> str:
    """Return a place as an option: `left high`."""
    return " ".join(place)


def same_colour(script: VideoScript, scene: Scene) -> list[Scene]:
    """Return the other scenes whose main shape has the colour of that of a scene."""
    return [it for it in script.scenes if it is not scene and it.main.kind[0] == scene.main.kind[0]]


def _drawn(script: VideoScript, count: int, rng: np.random.Generator) -> Sequence[Scene]:
    return in_random_order(script.of_role(SINGLE), rng)[:count]
