"""Exercises with pictures: read a frame or a closer look, compare with a question, tell two moments apart."""

from collections.abc import Sequence

import numpy as np

from agents.baselines.world_plays import match_word
from experiments.tiny_model.exercise import (
    Exchange,
    Round,
    answer,
    left_line,
    pick,
    random_count,
    random_interval,
    random_kind,
    whole_question,
    with_text_before,
)
from experiments.tiny_model.world2.asked import FRAME_QUESTIONS, Asked
from experiments.tiny_model.world2.sights import Sight, SightSource, flash_of, things_of
from vt_env.prompts import frame_time
from vt_env.types import Interval
from vt_env.world.captions import small_print_text
from vt_env.world.single_scene_questions import needle_text
from vt_env.world.vocabulary import NAMES
from vt_env.world.whole_video_questions import detail_text
from vt_env.world2.captions import caption_text, flash_text, view_text
from vt_env.world2.scenes import BURST, FLASH, MOVING
from vt_env.world2.script import Kind, Scene, Thing
from vt_env.world2.sight_questions import compare_text, difference, dots_text, pair_text, place_name, place_text
from vt_env.world2.spoken_questions import beside_text, burst_text, direction, motion_text, spot_text

SHOWN, FLASHED = "What is shown?", "What flashes?"
SHOWN_LONGEST = "What is shown longest?"
"""Request for the caption of a clip of several frames."""


def read(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that says everything that frames show."""

    def one() -> Round:
        sight = Sight(scenes(rng))
        return Round(SHOWN, view_text(sight.picture), (sight,))

    return Exchange("read", tuple(one() for _ in range(random_count(lengths, 6))))


def look(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that reads small numbers in closer looks."""

    def one() -> Round:
        scene = scenes(rng)
        things = things_of(scene)
        thing = things[int(rng.integers(len(things)))]
        return Round(SHOWN, small_print_text(thing.detail), (Sight(scene, crop=thing.place),))

    return Exchange("look", tuple(one() for _ in range(random_count(lengths, 6))))


def caption(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that captions clips: of their frames, in order, most show one scene."""
    count = int(lengths.integers(2, 6))

    def one() -> Round:
        scene, other = scenes(rng), scenes(rng)
        others = int(rng.integers((count - 1) // 2 + 1))
        shown = [scene] * (count - others) + [other] * others
        sights = [Sight(it) for it in (shown if rng.random() < 0.5 else shown[::-1])]
        return Round(SHOWN_LONGEST, caption_text(scene), tuple(sights))

    return Exchange("caption", tuple(one() for _ in range(random_count(lengths, 2))))


def mark(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that compares frames with the thing that a question names, and says the rest if it is there."""
    return _mark("mark", rng, scenes, lengths, as_text=False)


def text_mark(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that compares what is said of frames with the thing that a question names."""
    return _mark("text_mark", rng, scenes, lengths, as_text=True)


def pair(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that looks for two things in one frame; the number is said where both are there."""
    while (target := scenes(rng)).companion is None:
        pass
    assert target.companion is not None
    main, companion = target.main, target.companion
    text = pair_text(main.name, companion.name)

    def one(is_target: bool) -> Round:
        sight = Sight(target if is_target else scenes(rng, kind=main.kind))
        shown = sight.scene
        pairs = zip(things_of(shown), (main.kind, companion.kind), strict=False)
        notes = [_marked(thing, kind) for thing, kind in pairs]
        is_found = len(notes) == 2 and all(note.endswith("yes") for note in notes)
        step = f"{shown.number} answer" if is_found else "look"
        return Round(_frame_line(rng), f"{', '.join(notes)} {step}", (sight,))

    rounds = [one(bool(rng.random() < 0.4)) for _ in range(random_count(lengths, 5))]
    return Exchange("pair", (with_text_before(text, rounds[0]), *rounds[1:]))


def differ(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that compares a thing in two frames, in size and side."""
    return _differ("differ", rng, scenes, lengths, as_text=False)


def text_differ(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that compares what is said of a thing in two frames, in size and side."""
    return _differ("text_differ", rng, scenes, lengths, as_text=True)


def way(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that says which way a thing went between two frames."""

    def one() -> tuple[Round, Round]:
        scene = scenes(rng, role=MOVING)
        sights = [Sight(scene), Sight(scene, is_event=True)]
        before, now = sights if rng.random() < 0.5 else sights[::-1]
        places = before.shown.main.place, now.shown.main.place
        asked = motion_text(scene.main.name, pick(rng, NAMES))
        return (
            Round(f"{asked}\n{_frame_line(rng)}", _whereabouts(before.shown), (before,)),
            Round(_frame_line(rng), f"{_whereabouts(now.shown)} {direction(*places)}", (now,)),
        )

    return Exchange("way", tuple(it for _ in range(random_count(lengths, 3)) for it in one()))


def flash(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that names what flashes in a frame: the thing without a small number."""

    def one() -> Round:
        scene = scenes(rng, role=FLASH)
        return Round(FLASHED, flash_text(flash_of(scene)), (Sight(scene, is_event=True),))

    return Exchange("flash", tuple(one() for _ in range(random_count(lengths, 5))))


def burst(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that says the large number before and while it is another one."""

    def one(sight: Sight) -> Round:
        asked = burst_text(pick(rng, NAMES))
        return Round(f"{asked}\n{_frame_line(rng)}", caption_text(sight.shown), (sight,))

    drawn = [scenes(rng, role=BURST) for _ in range(random_count(lengths, 3))]
    return Exchange("burst", tuple(one(Sight(it, event)) for it in drawn for event in (False, True)))


def spot(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that says where the main shape is."""

    def one() -> Round:
        scene = scenes(rng)
        asked = spot_text(scene.main.name, pick(rng, NAMES))
        return Round(f"{asked}\n{_frame_line(rng)}", _whereabouts(scene), (Sight(scene),))

    return Exchange("spot", tuple(one() for _ in range(random_count(lengths, 5))))


def one_clip(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that answers a question about one frame."""
    scene = scenes(rng)
    return _answered("one_clip", _any_asked(scene, rng), [scene], rng)


def few_clips(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that answers a question about two to eight frames, one of which shows the answer."""
    shown = [scenes(rng) for _ in range(int(lengths.integers(2, 9)))]
    return _answered("few_clips", _any_asked(shown[rng.integers(len(shown))], rng), shown, rng)


def unseen(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that answers a question without frames, in the right format; the answer is a guess."""
    return _answered("unseen", _any_asked(scenes(rng), rng), [], rng)


def choose(rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that answers a question with the option that a note names."""
    asked = _any_asked(scenes(rng), rng)
    request = f"{whole_question(asked.text, asked.options, rng)}\nNote: {asked.answer}"
    return Exchange("choose", (Round(request, answer(asked.answer)),), as_question=True)


def _mark(
    skill: str, rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator, *, as_text: bool
) -> Exchange:
    """Build rounds of frames, or of views, each compared with the thing that the first round's question names."""
    kind = random_kind(rng)
    words = " ".join(kind)
    # Views do not give the time of the frame, at which a closer look is taken.
    asked = int(rng.integers(4 if as_text else 5))
    questions = needle_text(*kind), place_text(words), dots_text(words), beside_text(words), detail_text(*kind)

    def one() -> Round:
        sight = Sight(scenes(rng, kind=kind))
        shown = sight.scene
        time, left = frame_time(float(rng.integers(3600))), int(rng.integers(8))
        is_right = shown.main.kind == kind
        found = [_marked(shown.main, kind), *([_found(shown, asked)] if is_right else [])]
        step = "answer" if is_right or not left else "look"
        # The last question is about a small number, for which the next step is a closer look at the same frame.
        words = [*filter(None, found), f"small {time}" if is_right and left and asked == 4 else step]
        if as_text:
            budget = left_line(left, rng, "captions")
            return Round(f"{random_interval(rng)} {view_text(sight.picture)}\n{budget}", " ".join(words))
        return Round(f"Frames at {time}.\n{left_line(left, rng)}", " ".join(words), (sight,))

    rounds = [one() for _ in range(random_count(lengths, 6))]
    return Exchange(skill, (with_text_before(questions[asked], rounds[0]), *rounds[1:]))


def _differ(
    skill: str, rng: np.random.Generator, scenes: SightSource, lengths: np.random.Generator, *, as_text: bool
) -> Exchange:
    def one() -> tuple[Round, Round]:
        first = scenes(rng)
        while (second := scenes(rng, kind=first.main.kind)).main.kind != first.main.kind or second.size == first.size:
            pass
        when = sorted((random_interval(rng), random_interval(rng)), reverse=bool(rng.random() < 0.5))
        earlier, later = (first, second) if when[0] < when[1] else (second, first)
        replies = f"{_seen(first)} look", f"{_seen(second)} {difference(earlier, later)} answer"
        shown = [_shown_as(scene, it, rng, as_text=as_text) for scene, it in zip((first, second), when, strict=True)]
        requests = f"{compare_text(first.main.name)}\n{shown[0]}", shown[1]
        pictures = [() if as_text else (Sight(scene),) for scene in (first, second)]
        one, other = (Round(*it) for it in zip(requests, replies, pictures, strict=True))
        return one, other

    return Exchange(skill, tuple(it for _ in range(random_count(lengths, 2)) for it in one()))


def _found(scene: Scene, asked: int) -> str:
    """Return what a question of `_mark` asks of a scene; an empty text if it lacks that."""
    place = place_name(scene.main.place)
    dots = f"dots {scene.dots}" if scene.dots else ""
    return (str(scene.number), place, dots, scene.companion.name if scene.companion else "", place)[asked]


def _seen(scene: Scene) -> str:
    """Return the main shape with its place and size in words."""
    return f"{_whereabouts(scene)} {scene.size}"


def _whereabouts(scene: Scene) -> str:
    """Return the main shape with its place in words."""
    return f"{scene.main.name} {place_name(scene.main.place)}"


def _shown_as(scene: Scene, when: Interval, rng: np.random.Generator, *, as_text: bool) -> str:
    """Return the request of a frame of a scene, or of its view."""
    if as_text:
        return f"{when} {view_text(Sight(scene).picture)}"
    return f"{when}\nFrames at {frame_time(when.middle_s)}.\n{left_line(int(rng.integers(1, 8)), rng)}"


def _answered(skill: str, asked: Asked, shown: Sequence[Scene], rng: np.random.Generator) -> Exchange:
    request = whole_question(asked.text, asked.options, rng)
    round_ = Round(request, answer(asked.answer), tuple(Sight(it) for it in shown))
    return Exchange(skill, (round_,), as_question=True)


def _any_asked(scene: Scene, rng: np.random.Generator) -> Asked:
    return FRAME_QUESTIONS[int(rng.integers(len(FRAME_QUESTIONS)))](scene, rng)


def _frame_line(rng: np.random.Generator) -> str:
    left = int(rng.integers(8))
    return f"Frames at {frame_time(float(rng.integers(3600)))}.\n{left_line(left, rng)}"


def _marked(thing: Thing, asked: Kind) -> str:
    return f"{thing.name} {match_word(thing.kind, asked)}"
