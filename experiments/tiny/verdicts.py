"""Marking what is seen against what is asked for, and saying what comes next, picture after picture."""

from collections.abc import Callable, Mapping

import numpy as np

from agents.world_scripts import ABSENCE, COUNTING, DETAIL, GROUNDING, NEEDLE, ORDERING, Steps
from experiments.tiny.exchanges import (
    CALLS,
    Exchange,
    Round,
    left_line,
    number_options,
    random_count,
    random_interval,
    random_kind,
    random_kinds,
    whole_question,
    with_text_before,
)
from experiments.tiny.pictures import Picture, SceneSource
from vt_env.prompts import frame_time
from vt_env.types import format_time
from vt_env.world.questions import needle_text
from vt_env.world.scene_questions import ABSENCE_TEXT, counting_text, detail_text, grounding_text, ordering_text
from vt_env.world.script import Scene

MARKED_BY: Mapping[Callable[[str, str], str], Steps] = {
    needle_text: NEEDLE,
    counting_text: COUNTING,
    detail_text: DETAIL,
    grounding_text: GROUNDING,
}
"""Questions that name what is sought, with what comes next."""


def verdict(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Mark frames against a question, count or place what is seen if it asks for that, and say what comes next."""
    return _verdict("verdict", rng, scenes, lengths, as_text=False)


def text_verdict(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Mark colours and shapes of captions against a question."""
    return _verdict("text_verdict", rng, scenes, lengths, as_text=True)


def named_verdict(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Mark frames against what is named, one thing after the other, and keep the order of those found if asked for."""
    *kinds, other = random_kinds(rng, 4)
    is_ordered, as_question = bool(rng.random() < 0.5), bool(lengths.random() < 0.5)
    asked = ordering_text(kinds) if is_ordered else ABSENCE_TEXT
    names = tuple(" ".join(kind) for kind in (*kinds, other))
    before = whole_question(asked, names, rng, CALLS) if as_question else asked
    rounds: list[Round] = []
    found: list[tuple[str, str]] = []
    kind, is_new = kinds.pop(0), True
    for left in _lefts(lengths):
        scene, when = scenes(rng, colour=kind[0], shape=kind[1]), random_interval(rng)
        step = (ORDERING if is_ordered else ABSENCE).after(scene_kind(scene), kind)
        if step == "order":
            found = sorted([*found, (format_time(when.start_s), " ".join(kind))])
            listed = ", ".join(f"{name} {start}" for start, name in found)
            step = f"order {listed} {'then' if kinds and left else 'answer'}"
        elif not left:
            step = "answer"
        head = f"Asked: {' '.join(kind)}\n" if is_new else ""
        request = f"{head}{when}\nFrames at {frame_time(when.middle_s)}.\n{left_line(left, rng)}"
        rounds.append(Round(request, f"{note(scene, *kind)} {step}", (Picture(scene),)))
        is_new = step != "look"
        if is_new and not kinds:
            break
        kind = kinds.pop(0) if is_new else kind
    return Exchange("named_verdict", (with_text_before(before, rounds[0]), *rounds[1:]), as_question)


def note(scene: Scene, colour: str, shape: str) -> str:
    """What is seen, each word followed by whether it is the one asked for.

    Single matches word by word are learned within seconds where one verdict at the end is not (measured in a
    prototype).
    """
    marks = [
        f"{seen} {'yes' if seen == asked else 'no'}" for seen, asked in ((scene.colour, colour), (scene.shape, shape))
    ]
    return f"{' '.join(marks)} {scene.number}"


def scene_kind(scene: Scene) -> tuple[str, str]:
    """Colour and shape."""
    return scene.colour, scene.shape


def _verdict(
    skill: str, rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator, *, as_text: bool
) -> Exchange:
    """Rounds of frames or captions, each marked against the question that comes first."""
    colour, shape = random_kind(rng)
    asked = list(MARKED_BY)[rng.integers(len(MARKED_BY))]
    is_counted, is_placed = asked is counting_text, asked is detail_text
    as_question = bool(lengths.random() < 0.5)
    options = number_options(int(rng.integers(10, 100)), rng)
    before = whole_question(asked(colour, shape), options, rng, CALLS) if as_question else asked(colour, shape)
    rounds: list[Round] = []
    found = 0
    for left in _lefts(lengths):
        scene = scenes(rng, colour=colour, shape=shape, small_print=True if is_placed else None)
        picture = Picture(scene)
        found += scene_kind(scene) == (colour, shape)
        words = [note(scene, colour, shape)] + [f"count {found}"] * is_counted + list(picture.place) * is_placed
        words.append(MARKED_BY[asked].after(scene_kind(scene), (colour, shape)) if left else "answer")
        remaining = left_line(left, rng, "captions" if as_text else "frames")
        place = [*picture.place] if as_text and scene.detail is not None else []
        shown = f"{random_interval(rng)} {' '.join([scene.caption, *place])}" if as_text else _frame_text(rng)
        rounds.append(Round(f"{shown}\n{remaining}", " ".join(words), () if as_text else (picture,)))
    return Exchange(skill, (with_text_before(before, rounds[0]), *rounds[1:]), as_question)


def _lefts(lengths: np.random.Generator) -> range:
    """Draw how many calls are left after each round, none after the last in a third of the draws."""
    rounds = random_count(lengths, 7)
    end = int(lengths.integers(1, 7)) if lengths.random() < 0.67 else 0
    return range(end + rounds - 1, end - 1, -1)


def _frame_text(rng: np.random.Generator) -> str:
    return f"Frames at {frame_time(float(rng.integers(3600)))}."
