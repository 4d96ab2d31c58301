"""The base skills: what the tiny model learns from short clips and short texts, long before it sees a tool.

Each skill makes one exchange from a generator: images and a request, and the reply. No skill contains a long video or a
tool call; three of them (`repeat`, `copy`, `find`) train copying from a list of the form that tools return, without
which no small model can follow them. Lists are short more often than long, so that a model from random weights can find
out how to copy on one or two lines. It did within 400 steps, and had not in 3000 before; `repeat`, the short lists and
the wider first weights of `experiments.tiny.model` came together, their shares are not separated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vt_env.prompts import question_text
from vt_env.types import Interval, Item, Remaining, VideoRef
from vt_env.world.questions import needle_text, reference_text, subtitle_text
from vt_env.world.script import Scene
from vt_env.world.vocabulary import ADJECTIVES, COLOURS, NAMES, NOUNS, SHAPES, VERBS


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its reply."""

    skill: str
    scenes: tuple[Scene, ...]
    """Pictures shown before the request."""
    request: str
    reply: str
    as_question: bool = False
    """Whether the request is a whole question as an episode words it, system text included."""


def read(rng: np.random.Generator) -> Exchange:
    """Say what a frame shows."""
    scene = random_scene(rng)
    return Exchange("read", (scene,), "What is shown?", scene.caption)


def verdict(rng: np.random.Generator) -> Exchange:
    """Mark each word asked for against a frame."""
    colour, shape = _pick(rng, COLOURS), _pick(rng, SHAPES)
    scene = random_scene(rng, colour, shape)
    return Exchange("verdict", (scene,), needle_text(colour, shape), note(scene, colour, shape))


def text_verdict(rng: np.random.Generator) -> Exchange:
    """Mark each word asked for against a caption."""
    colour, shape = _pick(rng, COLOURS), _pick(rng, SHAPES)
    scene = random_scene(rng, colour, shape)
    request = f"{needle_text(colour, shape)}\nSeen: {scene.caption}"
    return Exchange("text_verdict", (), request, note(scene, colour, shape))


def choose(rng: np.random.Generator) -> Exchange:
    """Answer with the option that a note names."""
    scene = random_scene(rng)
    options = _options(scene.number, rng)
    request = _as_question(needle_text(scene.colour, scene.shape), options, rng)
    return Exchange("choose", (), f"{request}\nNote: {scene.caption}", answer(scene.number), as_question=True)


def repeat(rng: np.random.Generator) -> Exchange:
    """Say a list of lines again."""
    lines = [
        f"#{i} {_random_interval(rng)}"
        if rng.random() < 0.5
        else f"{_random_interval(rng)} {_spoken(_pick(rng, NAMES), rng)}"
        for i in range(1, 1 + _count(rng, 4))
    ]
    text = "\n".join(lines)
    return Exchange("repeat", (), f"Copy\n{text}", text)


def copy(rng: np.random.Generator) -> Exchange:
    """Copy one line of a numbered list of intervals."""
    count = _count(rng, 8)
    intervals = [_random_interval(rng) for _ in range(count)]
    lines = [f"#{i} {interval} {rng.uniform(0.1, 1):.2f}" for i, interval in enumerate(intervals, 1)]
    i = int(rng.integers(count))
    return Exchange("copy", (), "\n".join([*lines, f"Copy #{i + 1}"]), f"#{i + 1} {intervals[i]}")


def find(rng: np.random.Generator) -> Exchange:
    """Copy the line that speaks of a name, or that gives its code."""
    names = [str(name) for name in rng.permutation(NAMES)[: _count(rng, 5)]]
    spoken = [_spoken(name, rng) for name in names]
    lines = [f"{_random_interval(rng)} {text}" for text in spoken]
    i = int(rng.integers(len(names)))
    asked = subtitle_text(names[i]) if "the code of" in spoken[i] else reference_text(names[i])
    return Exchange("find", (), "\n".join([*lines, asked]), lines[i])


def one_clip(rng: np.random.Generator) -> Exchange:
    """Answer a question on one frame."""
    scene = random_scene(rng)
    asked = needle_text(scene.colour, scene.shape) if rng.random() < 0.5 else reference_text(_pick(rng, NAMES))
    request = _as_question(asked, _options(scene.number, rng), rng)
    return Exchange("one_clip", (scene,), request, answer(scene.number), as_question=True)


def few_clips(rng: np.random.Generator) -> Exchange:
    """Answer a question on two to eight frames, one of which shows the answer."""
    scenes = [random_scene(rng) for _ in range(int(rng.integers(2, 9)))]
    scene = scenes[rng.integers(len(scenes))]
    asked = needle_text(scene.colour, scene.shape)
    near = [other.number for other in scenes if other is not scene]
    request = _as_question(asked, _options(scene.number, rng, near), rng)
    return Exchange("few_clips", tuple(scenes), request, answer(scene.number), as_question=True)


def unseen(rng: np.random.Generator) -> Exchange:
    """Answer in the right form where nothing was shown; the reply can only be a guess."""
    asked = _pick_question(rng)
    number = int(rng.integers(10, 100))
    request = _as_question(asked, _options(number, rng), rng)
    return Exchange("unseen", (), request, answer(number), as_question=True)


Maker = Callable[[np.random.Generator], Exchange]

SKILLS: Mapping[str, Maker] = {
    "read": read,
    "verdict": verdict,
    "text_verdict": text_verdict,
    "choose": choose,
    "repeat": repeat,
    "copy": copy,
    "find": find,
    "one_clip": one_clip,
    "few_clips": few_clips,
    "unseen": unseen,
}

Group = Mapping[str, float]
"""Shares of the skills in batches of exchanges of like length, so that little is padding."""

TEXTS: Group = {"repeat": 0.3, "copy": 0.25, "find": 0.2, "text_verdict": 0.15, "choose": 0.1}
"""Before a model is shown a picture."""
GROUPS: tuple[tuple[float, Group], ...] = (
    (0.60, {"read": 0.4, "verdict": 0.5, "text_verdict": 0.1}),
    (0.34, {"choose": 0.15, "repeat": 0.1, "copy": 0.25, "find": 0.2, "one_clip": 0.2, "unseen": 0.1}),
    (0.06, {"few_clips": 1.0}),
)
"""After that, each with its share of the batches."""


def random_exchange(group: Group, rng: np.random.Generator) -> Exchange:
    """Draw a skill of the group by its share and make one exchange of it."""
    skills, shares = zip(*group.items(), strict=True)
    return SKILLS[skills[rng.choice(len(skills), p=shares)]](rng)


def random_group(rng: np.random.Generator) -> Group:
    """Draw the group of a batch by its share."""
    shares, groups = zip(*GROUPS, strict=True)
    return groups[rng.choice(len(groups), p=shares)]


def random_scene(rng: np.random.Generator, colour: str | None = None, shape: str | None = None) -> Scene:
    """Draw a scene; a colour or shape that is given is kept in half of the draws, so that both verdicts are common."""
    drawn_colour, drawn_shape = _pick(rng, COLOURS), _pick(rng, SHAPES)
    return Scene(
        Interval(0, 1),
        colour if colour and rng.random() < 0.6 else drawn_colour,
        shape if shape and rng.random() < 0.5 else drawn_shape,
        int(rng.integers(10, 100)),
        int(rng.integers(2**31)),
    )


def note(scene: Scene, colour: str, shape: str) -> str:
    """What is seen, each word followed by whether it is the one asked for.

    Single matches word by word are learned within seconds where one verdict at the end is not (measured in a
    prototype).
    """
    marks = [
        f"{seen} {'yes' if seen == asked else 'no'}" for seen, asked in ((scene.colour, colour), (scene.shape, shape))
    ]
    return f"{' '.join(marks)} {scene.number}"


def answer(number: int) -> str:
    """The reply that ends an episode."""
    return f"<answer>{number}</answer>"


def _as_question(asked: str, options: tuple[str, ...], rng: np.random.Generator) -> str:
    item = Item("skill", asked, options, VideoRef("skill", ""))
    return question_text(item, float(rng.integers(1, 3600)), Remaining(0, 0), "frames")


def _options(number: int, rng: np.random.Generator, near: list[int] | None = None) -> tuple[str, ...]:
    wrong = [n for n in [*(near or []), *rng.permutation(np.arange(10, 100))] if n != number]
    options = [number, *list(dict.fromkeys(wrong))[:3]]
    return tuple(str(options[i]) for i in rng.permutation(4))


def _count(rng: np.random.Generator, most: int) -> int:
    """Draw a length from 1 to `most`, small ones more often."""
    return int(rng.integers(1, rng.integers(2, most + 2)))


def _random_interval(rng: np.random.Generator) -> Interval:
    start_s = int(rng.integers(0, 3590))
    return Interval(start_s, start_s + int(rng.integers(3, 61)))


def _spoken(name: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.6:
        return f"the code of {name} is {rng.integers(10, 100)}"
    if rng.random() < 0.5:
        return f"look at {name} now"
    return f"{name} {_pick(rng, VERBS)} the {_pick(rng, ADJECTIVES)} {_pick(rng, NOUNS)}"


def _pick_question(rng: np.random.Generator) -> str:
    return (
        needle_text(_pick(rng, COLOURS), _pick(rng, SHAPES)),
        subtitle_text(_pick(rng, NAMES)),
        reference_text(_pick(rng, NAMES)),
    )[rng.integers(3)]


def _pick(rng: np.random.Generator, words: Mapping[str, object] | tuple[str, ...]) -> str:
    return list(words)[rng.integers(len(words))]
