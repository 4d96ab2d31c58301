"""Training exercises: compare each picture or caption with the target of a question and name the next step."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from agents.baselines.world_plays import ABSENCE, COUNTING, DETAIL, GROUNDING, NEEDLE, ORDERING, Steps, match_word
from experiments.tiny_model.exercise import (
    CALLS,
    Exchange,
    Kind,
    Round,
    answer,
    left_line,
    number_options,
    order_options,
    random_count,
    random_interval,
    random_kind,
    random_kinds,
    whole_question,
    with_text_before,
)
from experiments.tiny_model.scene_pictures import Picture, SceneSource
from vt_env.prompts import frame_time, option_letter, option_line
from vt_env.types import Interval, format_time
from vt_env.world.script import Scene
from vt_env.world.single_scene_questions import needle_text
from vt_env.world.whole_video_questions import ABSENCE_TEXT, counting_text, detail_text, grounding_text, ordering_text

MARKED_BY: Mapping[Callable[[str, str], str], Steps] = {
    needle_text: NEEDLE,
    counting_text: COUNTING,
    detail_text: DETAIL,
    grounding_text: GROUNDING,
}
"""Next steps of each question family that names its target."""


def verdict(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that compares frames with a question's target; counting and detail add a count or a place."""
    return _verdict("verdict", rng, scenes, lengths, as_text=False)


def text_verdict(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that compares captions with a question's target."""
    return _verdict("text_verdict", rng, scenes, lengths, as_text=True)


def named_verdict(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise with several targets in turn, which keeps the order of the found ones in ordering questions.

    If the options are given and the frames decide between them, the reply ends with the answer.
    """
    as_question = bool(lengths.random() < 0.5)
    search = _NamedSearch(rng, is_ordered=bool(rng.random() < 0.5))
    before = whole_question(search.question, search.options, rng, CALLS) if as_question else search.question
    rounds: list[Round] = []
    for left in _lefts(lengths):
        kind, head = search.kind, "" if rounds and not search.is_new else f"Asked: {' '.join(search.kind)}\n"
        scene = scenes(rng, colour=kind[0], shape=kind[1])
        when, step, option = search.follow(scene, left)
        ending = search.answered(option) if option and as_question else ""
        request = f"{head}{when}\nFrames at {frame_time(when.middle_s)}.\n{left_line(left, rng)}"
        reply = f"{note(scene, *kind)} {step}{ending}"
        rounds.append(Round(request, reply, (Picture(scene),)))
        if search.is_over:
            break
    return Exchange("named_verdict", (with_text_before(before, rounds[0]), *rounds[1:]), as_question)


class _NamedSearch:
    """A search for three targets in turn, for their order in time or for the absent option.

    Args:
        rng: Random generator.
        is_ordered: Whether the question is about their order.
    """

    def __init__(self, rng: np.random.Generator, *, is_ordered: bool) -> None:
        *kinds, self._other = random_kinds(rng, 4)
        self._rng, self._is_ordered = rng, is_ordered
        self._whens = {kind: random_interval(rng) for kind in kinds}
        self._found: list[Kind] = []
        self.kind, *self._left = kinds
        """Current target."""
        self.is_new = True
        """Whether the current target has no round yet."""
        self.is_over = False
        """Whether the question is decided or no target is left."""
        orders = order_options(self._in_order(kinds), rng)
        self._right = orders[0]
        self.question = ordering_text(kinds) if is_ordered else ABSENCE_TEXT
        """Question text."""
        self.options = (
            tuple(orders[i] for i in rng.permutation(len(orders)))
            if is_ordered
            else tuple(" ".join(kind) for kind in (*kinds, self._other))
        )
        """Options of the question."""

    def follow(self, scene: Scene, calls: int) -> tuple[Interval, str, str]:
        """Return the interval of a scene, the next step, and the decided option or an empty text."""
        steps, is_right = ORDERING if self._is_ordered else ABSENCE, scene_kind(scene) == self.kind
        when = self._whens[self.kind] if is_right else random_interval(self._rng)
        step: str = steps.after(scene_kind(scene), self.kind)
        if is_right and self._is_ordered:
            self._found.append(self.kind)
            times = [f"{' '.join(it)} {format_time(self._whens[it].start_s)}" for it in self._in_order(self._found)]
            step = f"order {', '.join(times)} {'then' if self._left and calls else 'answer'}"
        elif not calls:
            step = "answer"
        option = self._decided(step, is_right=is_right)
        self.is_new = step != "look"
        self.is_over = bool(option) or (self.is_new and not self._left)
        if self.is_new and self._left:
            self.kind = self._left.pop(0)
        return when, step, option

    def answered(self, option: str) -> str:
        """Return the answer text of an option: an order by its letter, an object after its option line."""
        idx = self.options.index(option)
        if self._is_ordered:
            return f"\n{answer(option_letter(idx))}"
        return f"\n{option_line(idx, option)}\n{answer(option)}"

    def _decided(self, step: str, *, is_right: bool) -> str:
        """Return the option that the frames decide for, or an empty text if it would be a guess."""
        if self._is_ordered:
            return self._right if len(self._found) == len(self._whens) else ""
        if not is_right:
            return " ".join(self.kind) if step == "answer" else ""
        return " ".join(self._other) if step == "then" and not self._left else ""

    def _in_order(self, kinds: Sequence[Kind]) -> list[Kind]:
        return sorted(kinds, key=lambda it: (format_time(self._whens[it].start_s), " ".join(it)))


def match(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that compares two names, each word of which agrees in half of the draws.

    A name is one token, so the model must learn the colour within it.
    """

    def one() -> Round:
        asked, other = random_kind(rng), random_kind(rng)
        colour, shape = (it if rng.random() < 0.5 else new for it, new in zip(asked, other, strict=True))
        reply = f"{colour} {shape} {match_word((colour, shape), asked)}"
        return Round(f"Asked: {' '.join(asked)}\nSeen: {colour} {shape}", reply)

    return Exchange("match", tuple(one() for _ in range(random_count(lengths, 8))))


def note(scene: Scene, colour: str, shape: str) -> str:
    """Return the note on a scene: its kind, the mark of the comparison, and its number."""
    return f"{scene.colour} {scene.shape} {match_word(scene_kind(scene), (colour, shape))} {scene.number}"


def scene_kind(scene: Scene) -> tuple[str, str]:
    """Return colour and shape of a scene."""
    return scene.colour, scene.shape


def _verdict(
    skill: str, rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator, *, as_text: bool
) -> Exchange:
    """Build rounds of frames or captions, each compared with the question of the first round."""
    colour, shape = random_kind(rng)
    questions = [it for it in MARKED_BY if not (as_text and it is detail_text)]
    asked = questions[rng.integers(len(questions))]
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
        frame = frame_time(float(rng.integers(3600)))
        step = MARKED_BY[asked].after(scene_kind(scene), (colour, shape)) if left else "answer"
        words += [step, frame] if step == "small" else [step]
        remaining = left_line(left, rng, "captions" if as_text else "frames")
        place = [*picture.place] if as_text and scene.detail is not None else []
        shown = f"{random_interval(rng)} {' '.join([scene.caption, *place])}" if as_text else f"Frames at {frame}."
        rounds.append(Round(f"{shown}\n{remaining}", " ".join(words), () if as_text else (picture,)))
    return Exchange(skill, (with_text_before(before, rounds[0]), *rounds[1:]), as_question)


def _lefts(lengths: np.random.Generator) -> range:
    """Draw the remaining calls after each round; none after the last round in a third of the draws."""
    rounds = random_count(lengths, 7)
    end = int(lengths.integers(1, 7)) if lengths.random() < 0.67 else 0
    return range(end + rounds - 1, end - 1, -1)
