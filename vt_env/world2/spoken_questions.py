"""Question families that begin at a spoken line.

| family | question | required steps |
|---|---|---|
| subtitle | what is the code of kilo? | search the subtitles, read; control |
| flash | what flashes after the narrator says kilo? | search the subtitles, look between two stored frames |
| burst | what number comes after the narrator says kilo? | search the subtitles, look at the right second |
| motion | which way does the red star move when the narrator says kilo? | look before and after the line, compare |
| spot | where is the red star when the narrator says kilo? | look during the line |
| beside | what stands beside kilo? | read what kilo is, find its scene, tell the companion |
| named | what is the small number on kilo? | read what kilo is, find its scene, look closely |
"""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from vt_env.world.single_scene_questions import subtitle_text
from vt_env.world.vocabulary import COLOURS, SHAPES
from vt_env.world2.config import World2Config
from vt_env.world2.layout import companion_box, event_box, main_box
from vt_env.world2.question import World2Question, in_random_order, wrong_kinds, wrong_numbers, wrong_of
from vt_env.world2.script import Burst, Code, Cue, Flash, Kind, Naming, Place, Stand, VideoScript
from vt_env.world2.sight_questions import PLACES, near_details, place_name, same_colour
from vt_env.world2.vocabulary import DIRECTIONS


def flash_question_text(name: str) -> str:
    """Return the text of a flash question."""
    return f"what flashes after the narrator says {name}?"


def burst_text(name: str) -> str:
    """Return the text of a burst question."""
    return f"what number comes after the narrator says {name}?"


def motion_text(thing: str, name: str) -> str:
    """Return the text of a motion question."""
    return f"which way does the {thing} move when the narrator says {name}?"


def spot_text(thing: str, name: str) -> str:
    """Return the text of a spot question."""
    return f"where is the {thing} when the narrator says {name}?"


def beside_text(name: str) -> str:
    """Return the text of a beside question."""
    return f"what stands beside {name}?"


def named_text(name: str) -> str:
    """Return the text of a question about the small number on what the narrator names."""
    return f"what is the small number on {name}?"


def ask_codes(script: VideoScript, config: World2Config, count: int, rng: np.random.Generator) -> list[World2Question]:
    """Generate subtitle questions; wrong options are the other codes."""

    def question(code: Code) -> World2Question:
        near = [other.number for other in in_random_order(script.codes, rng)]
        wrong, evidence = wrong_numbers(code.number, near, rng), (code.line.interval,)
        return World2Question("subtitle", subtitle_text(code.name), str(code.number), wrong, evidence)

    return [question(code) for code in in_random_order(script.codes, rng)[:count]]


def name_flashes(
    script: VideoScript, config: World2Config, count: int, rng: np.random.Generator
) -> list[World2Question]:
    """Generate flash questions; wrong options have colour and shape of the other flash."""
    flashes = [cue.event for cue in script.cues if isinstance(cue.event, Flash)]

    def question(cue: Cue) -> World2Question:
        assert isinstance(cue.event, Flash)
        wrong = wrong_kinds(cue.event.kind, [it.kind for it in flashes], _kinds(list(COLOURS), rng))
        return _event_question("flash", flash_question_text(cue.name), " ".join(cue.event.kind), wrong, cue, config)

    return _asked(script, lambda it: isinstance(it, Flash), question, count, rng)


def read_bursts(
    script: VideoScript, config: World2Config, count: int, rng: np.random.Generator
) -> list[World2Question]:
    """Generate burst questions; wrong options are the standing number, the other burst's and a small one."""
    bursts = [cue.event for cue in script.cues if isinstance(cue.event, Burst)]

    def question(cue: Cue) -> World2Question:
        assert isinstance(cue.event, Burst)
        near = [cue.scene.number, *(it.number for it in bursts if it is not cue.event), cue.scene.main.detail]
        wrong = wrong_numbers(cue.event.number, near, rng)
        return _event_question("burst", burst_text(cue.name), str(cue.event.number), wrong, cue, config)

    return _asked(script, lambda it: isinstance(it, Burst), question, count, rng)


def tell_motion(
    script: VideoScript, config: World2Config, count: int, rng: np.random.Generator
) -> list[World2Question]:
    """Generate motion questions; the options are the four directions."""

    def question(cue: Cue) -> World2Question:
        assert isinstance(cue.event, Stand)
        right = direction(cue.event.start, cue.event.end)
        text = motion_text(cue.scene.main.name, cue.name)
        return _event_question("motion", text, right, wrong_of(right, DIRECTIONS), cue, config)

    return _asked(script, _moves, question, count, rng)


def locate_at_cue(
    script: VideoScript, config: World2Config, count: int, rng: np.random.Generator
) -> list[World2Question]:
    """Generate spot questions; the options are the four places, among them the other one of the moving shape."""

    def question(cue: Cue) -> World2Question:
        assert isinstance(cue.event, Stand)
        right = place_name(cue.event.start)
        text = spot_text(cue.scene.main.name, cue.name)
        return _event_question("spot", text, right, wrong_of(right, PLACES), cue, config)

    return _asked(script, lambda it: isinstance(it, Stand) and not _moves(it), question, count, rng)


def name_companions(
    script: VideoScript, config: World2Config, count: int, rng: np.random.Generator
) -> list[World2Question]:
    """Generate beside questions; wrong options have colour and shape of the companion in a scene of the same colour."""
    companions = [it.companion.kind for it in script.scenes if it.companion]

    def question(naming: Naming) -> World2Question:
        scene, companion = naming.scene, naming.scene.companion
        assert companion is not None
        alike = [it.companion.kind for it in in_random_order(same_colour(script, scene), rng) if it.companion]
        near = [*alike, *in_random_order(companions, rng)]
        common = sorted({kind[0] for kind in companions})
        wrong = wrong_kinds(companion.kind, near, _kinds(common, rng))
        box = companion_box(scene, companion)
        return World2Question("beside", beside_text(naming.name), companion.name, wrong, (scene.interval,), (box,))

    return [question(naming) for naming in in_random_order(script.namings, rng)[:count]]


def read_named_details(
    script: VideoScript, config: World2Config, count: int, rng: np.random.Generator
) -> list[World2Question]:
    """Generate questions about the small number on what the narrator names; wrong options as `near_details`."""

    def question(naming: Naming) -> World2Question:
        scene = naming.scene
        right, wrong = scene.main.detail, wrong_numbers(scene.main.detail, near_details(script, scene, rng), rng)
        box = main_box(scene)
        return World2Question("named", named_text(naming.name), str(right), wrong, (scene.interval,), (box,))

    return [question(naming) for naming in in_random_order(script.namings, rng)[:count]]


def direction(start: Place, end: Place) -> str:
    """Return the direction from a place to a neighbouring one."""
    if start[1] == end[1]:
        return end[0]
    return "up" if end[1] == "high" else "down"


def _moves(event: Flash | Burst | Stand) -> bool:
    return isinstance(event, Stand) and event.start != event.end


def _asked(
    script: VideoScript,
    is_asked: Callable[[Flash | Burst | Stand], bool],
    question: Callable[[Cue], World2Question],
    count: int,
    rng: np.random.Generator,
) -> list[World2Question]:
    cues = [cue for cue in script.cues if is_asked(cue.event)]
    return [question(cue) for cue in in_random_order(cues, rng)[:count]]


def _event_question(
    family: str, text: str, right: str, wrong: tuple[str, ...], cue: Cue, config: World2Config
) -> World2Question:
    box = event_box(cue.scene, cue.event, config.size_px)
    return World2Question(family, text, right, wrong, (cue.event.interval,), (box,))


def _kinds(colours: Sequence[str], rng: np.random.Generator) -> list[Kind]:
    return in_random_order(list(product(colours, SHAPES)), rng)
