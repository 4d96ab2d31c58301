"""The base skills: what the tiny model learns from short clips and short texts, long before it sees a tool.

Each skill makes one exchange from a generator: rounds of pictures, a request and the reply. No skill contains a long
video or a tool call; several train copying from a list of the form that tools return, without which no small model can
follow them. Lists are short more often than long, so that a model from random weights can find out how to copy on one
or two lines; several rounds about one list make one reading of it pay several times.

What is noted about a frame has the form of `agents.world_scripts`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.world_scripts import ABSENCE, COUNTING, DETAIL, GROUNDING, NEEDLE, ORDERING, Steps
from experiments.tiny.pictures import Picture, SceneSource
from vt_env.prompts import frame_time, left_text, option_letter, question_text
from vt_env.types import Interval, Item, Remaining, VideoRef, format_time
from vt_env.world.captions import small_print_text
from vt_env.world.questions import needle_text, reference_text, subtitle_text
from vt_env.world.scene_questions import ABSENCE_TEXT, counting_text, detail_text, grounding_text, ordering_text
from vt_env.world.script import Scene
from vt_env.world.vocabulary import ADJECTIVES, COLOURS, NAMES, NOUNS, SHAPES, VERBS


@dataclass(frozen=True, slots=True)
class Round:
    """One request and its reply."""

    request: str
    reply: str
    pictures: tuple[Picture, ...] = ()
    """Shown before the request."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A short conversation."""

    skill: str
    rounds: tuple[Round, ...]
    as_question: bool = False
    """Whether the first request is a whole question as an episode words it, so that the system text stands before."""

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures, in order."""
        return tuple(picture for it in self.rounds for picture in it.pictures)


Maker = Callable[[np.random.Generator, SceneSource, np.random.Generator], Exchange]
"""Makes an exchange; the last generator decides its length alone, so that a batch of like lengths can share it."""


def read(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Say what frames and closer looks show."""

    def one() -> Round:
        is_close = bool(rng.random() < 0.25)
        picture = Picture(scenes(rng, small_print=True if is_close else None), is_close)
        return Round("What is shown?", caption(picture), (picture,))

    return Exchange("read", tuple(one() for _ in range(_count(lengths, 6))))


def verdict(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Mark frames against a question, count or place what is seen if it asks for that, and say what comes next."""
    return _verdict("verdict", rng, scenes, lengths, as_text=False)


def text_verdict(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Mark colours and shapes of captions against a question."""
    return _verdict("text_verdict", rng, scenes, lengths, as_text=True)


def named_verdict(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Mark frames against what is named, one thing after the other, and keep the order of those found if asked for."""
    *kinds, other = _kinds(rng, 4)
    is_ordered, as_question = bool(rng.random() < 0.5), bool(lengths.random() < 0.5)
    asked = ordering_text(kinds) if is_ordered else ABSENCE_TEXT
    names = tuple(" ".join(kind) for kind in (*kinds, other))
    before = _as_question(asked, names, rng, CALLS) if as_question else asked
    rounds: list[Round] = []
    found: list[tuple[str, str]] = []
    kind, is_new = kinds.pop(0), True
    for left in _lefts(lengths):
        scene, when = scenes(rng, colour=kind[0], shape=kind[1]), _random_interval(rng)
        step = (ORDERING if is_ordered else ABSENCE).after(scene_kind(scene), kind)
        if step == "order":
            found = sorted([*found, (format_time(when.start_s), " ".join(kind))])
            listed = ", ".join(f"{name} {start}" for start, name in found)
            step = f"order {listed} {'then' if kinds and left else 'answer'}"
        elif not left:
            step = "answer"
        head = f"Asked: {' '.join(kind)}\n" if is_new else ""
        request = f"{head}{when}\nFrames at {frame_time(when.middle_s)}.\n{_left(left, rng)}"
        rounds.append(Round(request, f"{note(scene, *kind)} {step}", (Picture(scene),)))
        is_new = step != "look"
        if is_new and not kinds:
            break
        kind = kinds.pop(0) if is_new else kind
    return Exchange("named_verdict", (_after(before, rounds[0]), *rounds[1:]), as_question)


def choose(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Answer with the option that a note names."""
    scene = scenes(rng)
    request = _as_question(needle_text(scene.colour, scene.shape), _options(scene.number, rng), rng)
    seen = Round(f"{request}\nNote: {scene.caption}", answer(scene.number))
    return Exchange("choose", (seen,), as_question=True)


def repeat(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Say lists of lines again."""

    def one() -> Round:
        lines = [_any_line(rank, rng) for rank in range(1, 1 + _count(lengths, 4))]
        text = "\n".join(lines)
        return Round(f"Copy\n{text}", text)

    return Exchange("repeat", tuple(one() for _ in range(_count(lengths, 3))))


def copy(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Copy lines of a numbered list of intervals, or lettered options, that are named."""
    heads, lines = _list(rng, lengths)
    asked = rng.integers(len(lines), size=int(lengths.integers(1, 7)))
    first, *others = [Round(f"Copy {heads[place]}", lines[place]) for place in asked]
    return Exchange("copy", (_after(_shown(lines, rng), first), *others))


def walk(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Go through a list line by line, from anywhere on."""
    heads, lines = _list(rng, lengths)
    start = int(rng.integers(len(lines))) if rng.random() < 0.3 else 0
    first = Round(f"Copy {heads[start]}", lines[start])
    others = [Round("Next", line) for line in lines[start + 1 :]]
    return Exchange("walk", (_after(_shown(lines, rng), first), *others))


def find(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Copy the lines that speak of a name, or that give its code."""
    names = [str(name) for name in rng.permutation(NAMES)[: _count(lengths, 5)]]
    spoken = [_spoken(name, rng) for name in names]
    lines = [f"{_random_interval(rng)} {text}" for text in spoken]

    def one(place: int) -> Round:
        word = subtitle_text if "the code of" in spoken[place] else reference_text
        return Round(word(names[place]), lines[place])

    first, *others = [one(int(place)) for place in rng.permutation(len(names))]
    return Exchange("find", (_after("\n".join(lines), first), *others))


def order(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Keep things in the order of their times as they are told one by one, then answer with that order."""
    kinds = _kinds(rng, 3)
    told = [(format_time(float(rng.integers(3600))), " ".join(kind)) for kind in kinds]
    rounds = []
    for count in range(1, len(told) + 1):
        time, name = told[count - 1]
        in_order = sorted(told[:count])
        rounds.append(Round(f"{name} {time}", f"order {', '.join(f'{it} {at}' for at, it in in_order)}"))
    rounds.append(Round("Answer now.", f"<answer>{', '.join(it for _, it in sorted(told))}</answer>"))
    return Exchange("order", (_after(ordering_text(kinds), rounds[0]), *rounds[1:]))


def one_clip(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Answer a question on one frame or closer look."""
    scene = scenes(rng)
    is_close = scene.detail is not None and bool(rng.random() < 0.5)
    number = scene.detail if is_close and scene.detail else scene.number
    if is_close:
        asked = detail_text(scene.colour, scene.shape)
    else:
        asked = needle_text(scene.colour, scene.shape) if rng.random() < 0.5 else reference_text(_pick(rng, NAMES))
    request = _as_question(asked, _options(number, rng), rng)
    seen = Round(request, answer(number), (Picture(scene, is_close),))
    return Exchange("one_clip", (seen,), as_question=True)


def few_clips(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Answer a question on two to eight frames, one of which shows the answer."""
    shown = [scenes(rng) for _ in range(int(lengths.integers(2, 9)))]
    scene = shown[rng.integers(len(shown))]
    near = [other.number for other in shown if other is not scene]
    request = _as_question(needle_text(scene.colour, scene.shape), _options(scene.number, rng, near), rng)
    seen = Round(request, answer(scene.number), tuple(map(Picture, shown)))
    return Exchange("few_clips", (seen,), as_question=True)


def unseen(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Answer in the right form where nothing was shown; the reply can only be a guess."""
    number = int(rng.integers(10, 100))
    request = _as_question(_any_question(rng), _options(number, rng), rng)
    return Exchange("unseen", (Round(request, answer(number)),), as_question=True)


SKILLS: Mapping[str, Maker] = {
    "read": read,
    "verdict": verdict,
    "text_verdict": text_verdict,
    "named_verdict": named_verdict,
    "choose": choose,
    "repeat": repeat,
    "copy": copy,
    "walk": walk,
    "find": find,
    "order": order,
    "one_clip": one_clip,
    "few_clips": few_clips,
    "unseen": unseen,
}

CALLS = 8
"""What an episode begins with."""
MARKED_BY: Mapping[Callable[[str, str], str], Steps] = {
    needle_text: NEEDLE,
    counting_text: COUNTING,
    detail_text: DETAIL,
    grounding_text: GROUNDING,
}
"""Questions that name what is sought, with what comes next."""


def caption(picture: Picture) -> str:
    """Say what a picture shows."""
    scene = picture.scene
    return small_print_text(scene.detail) if picture.is_close and scene.detail else scene.caption


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


def answer(number: int) -> str:
    """The reply that ends an episode."""
    return f"<answer>{number}</answer>"


def _verdict(
    skill: str, rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator, *, as_text: bool
) -> Exchange:
    """Rounds of frames or captions, each marked against the question that comes first."""
    colour, shape = _kind(rng)
    asked = list(MARKED_BY)[rng.integers(len(MARKED_BY))]
    is_counted, is_placed = asked is counting_text, asked is detail_text
    as_question = bool(lengths.random() < 0.5)
    options = _options(int(rng.integers(10, 100)), rng)
    before = _as_question(asked(colour, shape), options, rng, CALLS) if as_question else asked(colour, shape)
    rounds: list[Round] = []
    found = 0
    for left in _lefts(lengths):
        scene = scenes(rng, colour=colour, shape=shape, small_print=True if is_placed else None)
        picture = Picture(scene)
        found += scene_kind(scene) == (colour, shape)
        words = [note(scene, colour, shape)] + [f"count {found}"] * is_counted + list(picture.place) * is_placed
        words.append(MARKED_BY[asked].after(scene_kind(scene), (colour, shape)) if left else "answer")
        remaining = _left(left, rng, "captions" if as_text else "frames")
        place = [*picture.place] if as_text and scene.detail is not None else []
        shown = f"{_random_interval(rng)} {' '.join([scene.caption, *place])}" if as_text else _frame_text(rng)
        rounds.append(Round(f"{shown}\n{remaining}", " ".join(words), () if as_text else (picture,)))
    return Exchange(skill, (_after(before, rounds[0]), *rounds[1:]), as_question)


def _lefts(lengths: np.random.Generator) -> range:
    """Draw how many calls are left after each round, none after the last in a third of the draws."""
    rounds = _count(lengths, 7)
    end = int(lengths.integers(1, 7)) if lengths.random() < 0.67 else 0
    return range(end + rounds - 1, end - 1, -1)


def _left(calls: int, rng: np.random.Generator, perception: str = "frames") -> str:
    return left_text(Remaining(calls, calls + int(rng.integers(3))), perception)


def _after(text: str, first: Round) -> Round:
    """Put a text before the first request; the pictures of that round come before both."""
    return Round(f"{text}\n{first.request}", first.reply, first.pictures)


def _frame_text(rng: np.random.Generator) -> str:
    return f"Frames at {frame_time(float(rng.integers(3600)))}."


def _as_question(asked: str, options: tuple[str, ...], rng: np.random.Generator, calls: int = 0) -> str:
    item = Item("skill", asked, options, VideoRef("skill", ""))
    return question_text(item, float(rng.integers(1, 3600)), Remaining(calls, calls), "frames")


def _options(number: int, rng: np.random.Generator, near: Sequence[int] = ()) -> tuple[str, ...]:
    wrong = [n for n in [*near, *rng.permutation(np.arange(10, 100))] if n != number]
    options = [number, *list(dict.fromkeys(wrong))[:3]]
    return tuple(str(options[i]) for i in rng.permutation(4))


def _list(rng: np.random.Generator, lengths: np.random.Generator) -> tuple[list[str], list[str]]:
    """Draw a list to copy from: how its lines are named, and the lines."""
    if rng.random() < 0.3:
        heads = [f"{option_letter(idx)}." for idx in range(4)]
        texts = [str(_random_interval(rng)) if rng.random() < 0.5 else " ".join(_kind(rng)) for _ in heads]
        return heads, [f"{head} {text}" for head, text in zip(heads, texts, strict=True)]
    heads = [f"#{rank}" for rank in range(1, 1 + _count(lengths, 8))]
    return heads, [f"{head} {_random_interval(rng)}" for head in heads]


def _shown(lines: Sequence[str], rng: np.random.Generator) -> str:
    """Show a list as it is, one of ranked clips with their scores."""
    is_ranked = lines[0].startswith("#")
    return "\n".join(f"{line} {rng.uniform(0.1, 1):.2f}" if is_ranked else line for line in lines)


def _any_line(rank: int, rng: np.random.Generator) -> str:
    kind = rng.integers(3)
    if kind == 0:
        return f"#{rank} {_random_interval(rng)}"
    if kind == 1:
        return f"{option_letter(rank - 1)}. {' '.join(_kind(rng))}"
    return f"{_random_interval(rng)} {_spoken(_pick(rng, NAMES), rng)}"


def _count(lengths: np.random.Generator, most: int) -> int:
    """Draw a length from 1 to `most`, small ones more often."""
    return int(lengths.integers(1, lengths.integers(2, most + 2)))


def _random_interval(rng: np.random.Generator) -> Interval:
    start_s = int(rng.integers(0, 3590))
    return Interval(start_s, start_s + int(rng.integers(3, 61)))


def _spoken(name: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.6:
        return f"the code of {name} is {rng.integers(10, 100)}"
    if rng.random() < 0.5:
        return f"look at {name} now"
    return f"{name} {_pick(rng, VERBS)} the {_pick(rng, ADJECTIVES)} {_pick(rng, NOUNS)}"


def _any_question(rng: np.random.Generator) -> str:
    word = (needle_text, detail_text, counting_text, grounding_text, subtitle_text, reference_text)[rng.integers(6)]
    return word(_pick(rng, NAMES)) if word in (subtitle_text, reference_text) else word(*_kind(rng))


def _kind(rng: np.random.Generator) -> tuple[str, str]:
    return _pick(rng, COLOURS), _pick(rng, SHAPES)


def _kinds(rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """Draw kinds that are all different."""
    every = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    return [every[place] for place in rng.choice(len(every), count, replace=False)]


def _pick(rng: np.random.Generator, words: Mapping[str, object] | tuple[str, ...]) -> str:
    return list(words)[rng.integers(len(words))]
