"""Base skills: training exercises of the tiny model on single clips and short texts, without tools.

Each skill generates one exchange: rounds of pictures, a request and a reply. No skill has a long video or a tool call.
Several train copying from lists in the format of tool results, which small models need in order to use tools. Short
lists are more frequent than long ones, so that a randomly initialised model can learn copying on one or two lines.
Several rounds share a list, which gives more training signal per token.

Notes about frames have the format of `agents.baselines.world_plays`.
"""

import json
from collections.abc import Mapping

import numpy as np

from agents.baselines.world_plays import place_sides, sought_text
from experiments.tiny_model.copied_lists import copy_lines, repeat_lines, walk_lines
from experiments.tiny_model.exercise import (
    Exchange,
    Maker,
    Round,
    answer,
    number_options,
    order_options,
    pick,
    random_count,
    random_interval,
    random_kind,
    random_kinds,
    whole_question,
    with_text_before,
)
from experiments.tiny_model.full_searches import seek
from experiments.tiny_model.marking import match, named_verdict, text_verdict, verdict
from experiments.tiny_model.scene_pictures import Picture, SceneSource
from vt_env.prompts import option_letter
from vt_env.types import format_time
from vt_env.world.captions import small_print_text
from vt_env.world.single_scene_questions import needle_text, reference_text, subtitle_text
from vt_env.world.vocabulary import ADJECTIVES, HEIGHTS, NAMES, NOUNS, SIDES, VERBS
from vt_env.world.whole_video_questions import counting_text, detail_text, grounding_text, ordering_text


def read(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that describes frames and crops."""

    def one() -> Round:
        is_close = bool(rng.random() < 0.4)
        picture = Picture(scenes(rng, small_print=True if is_close else None), is_close)
        return Round("What is shown?", caption(picture), (picture,))

    return Exchange("read", tuple(one() for _ in range(random_count(lengths, 6))))


def look(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that reads small print in crops."""

    def one() -> Round:
        picture = Picture(scenes(rng, small_print=True), is_close=True)
        return Round("What is shown?", caption(picture), (picture,))

    return Exchange("look", tuple(one() for _ in range(random_count(lengths, 6))))


def choose(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that answers a question with the option named in a note."""
    scene = scenes(rng)
    request = whole_question(needle_text(scene.colour, scene.shape), number_options(scene.number, rng), rng)
    seen = Round(f"{request}\nNote: {scene.caption}", answer(scene.number))
    return Exchange("choose", (seen,), as_question=True)


def repeat(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that copies lists of lines."""
    return repeat_lines(_any_line, rng, lengths)


def copy(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that copies lines of a list, selected by number or letter."""
    heads, lines = _list(rng, lengths)
    return copy_lines(heads, lines, rng, lengths)


def walk(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that goes through a list line by line, or through the objects of a question."""
    if rng.random() < 0.2:
        return _walk_through_question(rng)
    heads, lines = _list(rng, lengths)
    return walk_lines(heads, lines, rng)


def box(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that maps a place to the crop box in fractions of the frame."""

    def one() -> Round:
        side, height = pick(rng, SIDES), pick(rng, HEIGHTS)
        return Round(f"Crop {side} {height}", json.dumps(place_sides(side, height)))

    return Exchange("box", tuple(one() for _ in range(random_count(lengths, 6))))


def find(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that copies the subtitle line about a name or its code."""
    names = [str(name) for name in rng.permutation(NAMES)[: random_count(lengths, 5)]]
    spoken = [_spoken(name, rng) for name in names]
    lines = [f"{random_interval(rng)} {text}" for text in spoken]

    def one(place: int) -> Round:
        word = subtitle_text if "the code of" in spoken[place] else reference_text
        return Round(word(names[place]), lines[place])

    first, *others = [one(int(place)) for place in rng.permutation(len(names))]
    return Exchange("find", (with_text_before("\n".join(lines), first), *others))


def order(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that keeps a sorted list while timed objects arrive one by one, then answers with the order."""
    kinds = random_kinds(rng, 3)
    timed = [(format_time(float(rng.integers(3600))), " ".join(kind)) for kind in kinds]
    rounds = []
    for count in range(1, len(timed) + 1):
        time, name = timed[count - 1]
        in_order = sorted(timed[:count])
        rounds.append(Round(f"{name} {time}", f"order {', '.join(f'{it} {at}' for at, it in in_order)}"))
    rounds.append(Round("Answer now.", f"<answer>{', '.join(it for _, it in sorted(timed))}</answer>"))
    return Exchange("order", (with_text_before(ordering_text(kinds), rounds[0]), *rounds[1:]))


def one_clip(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that answers a question about one frame or crop."""
    scene = scenes(rng)
    is_close = scene.detail is not None and bool(rng.random() < 0.5)
    number = scene.detail if is_close and scene.detail else scene.number
    if is_close:
        asked = detail_text(scene.colour, scene.shape)
    else:
        asked = needle_text(scene.colour, scene.shape) if rng.random() < 0.5 else reference_text(pick(rng, NAMES))
    request = whole_question(asked, number_options(number, rng), rng)
    seen = Round(request, answer(number), (Picture(scene, is_close),))
    return Exchange("one_clip", (seen,), as_question=True)


def few_clips(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that answers a question about two to eight frames, one of which shows the answer."""
    shown = [scenes(rng) for _ in range(int(lengths.integers(2, 9)))]
    scene = shown[rng.integers(len(shown))]
    near = [other.number for other in shown if other is not scene]
    request = whole_question(needle_text(scene.colour, scene.shape), number_options(scene.number, rng, near), rng)
    seen = Round(request, answer(scene.number), tuple(map(Picture, shown)))
    return Exchange("few_clips", (seen,), as_question=True)


def unseen(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that answers a question without frames, in the right format; the answer is a guess."""
    number = int(rng.integers(10, 100))
    request = whole_question(_any_question(rng), number_options(number, rng), rng)
    return Exchange("unseen", (Round(request, answer(number)),), as_question=True)


SKILLS: Mapping[str, Maker] = {
    "read": read,
    "look": look,
    "verdict": verdict,
    "text_verdict": text_verdict,
    "named_verdict": named_verdict,
    "match": match,
    "seek": seek,
    "choose": choose,
    "repeat": repeat,
    "copy": copy,
    "walk": walk,
    "find": find,
    "order": order,
    "one_clip": one_clip,
    "few_clips": few_clips,
    "unseen": unseen,
    "box": box,
}


def caption(picture: Picture) -> str:
    """Return the description of a picture: kind, number and place of a frame, or the small print of a crop."""
    scene = picture.scene
    return (
        small_print_text(scene.detail)
        if picture.is_close and scene.detail
        else " ".join([scene.caption, *picture.place])
    )


def _list(rng: np.random.Generator, lengths: np.random.Generator) -> tuple[list[str], list[str]]:
    """Draw a list to copy from: the labels of its lines, and the lines."""
    if rng.random() < 0.3:
        heads = [f"{option_letter(idx)}." for idx in range(4)]
        texts = _options(rng, len(heads))
        return heads, [f"{head} {text}" for head, text in zip(heads, texts, strict=True)]
    heads = [f"#{rank}" for rank in range(1, 1 + random_count(lengths, 8))]
    return heads, [f"{head} {random_interval(rng)}" for head in heads]


def _options(rng: np.random.Generator, count: int) -> list[str]:
    """Draw option texts: orders of three objects, or intervals and objects."""
    if rng.random() < 0.3:
        return list(order_options(random_kinds(rng, 3), rng))
    return [str(random_interval(rng)) if rng.random() < 0.5 else " ".join(random_kind(rng)) for _ in range(count)]


def _walk_through_question(rng: np.random.Generator) -> Exchange:
    kinds = random_kinds(rng, 3)
    first, *others = [Round("Next", sought_text(kinds, place)) for place in range(len(kinds))]
    return Exchange("walk", (with_text_before(ordering_text(kinds), first), *others))


def _any_line(rank: int, rng: np.random.Generator) -> str:
    kind = rng.integers(3)
    if kind == 0:
        return f"#{rank} {random_interval(rng)}"
    if kind == 1:
        return f"{option_letter(rank - 1)}. {' '.join(random_kind(rng))}"
    return f"{random_interval(rng)} {_spoken(pick(rng, NAMES), rng)}"


def _spoken(name: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.6:
        return f"the code of {name} is {rng.integers(10, 100)}"
    if rng.random() < 0.5:
        return f"look at {name} now"
    return f"{name} {pick(rng, VERBS)} the {pick(rng, ADJECTIVES)} {pick(rng, NOUNS)}"


def _any_question(rng: np.random.Generator) -> str:
    of_things, of_names = (needle_text, detail_text, counting_text, grounding_text), (subtitle_text, reference_text)
    place = int(rng.integers(len(of_things) + len(of_names)))
    if place < len(of_things):
        return of_things[place](*random_kind(rng))
    return of_names[place - len(of_things)](pick(rng, NAMES))
