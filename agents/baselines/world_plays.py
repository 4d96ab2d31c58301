"""How each kind of question of the embedded world is played, by tools and thoughts.

Thoughts are short and always of one form, made of steps that a tiny model learns one by one:

    #2 05:10-05:20                           the candidate that is looked at next, copied from where it stands
    red circle near 12 look                  what was seen, marked against what is asked for, its number; the next step
    red square yes 31 count 2 look           the same where things are counted
    red square yes 31 left high small 05:15  the same where the small print of it is wanted, with the time of the frame
    red square yes 31 order red square 05:10, blue star 09:40 then
    B. blue star                             the option that is taken up next, or answered where no number is seen
    the red square, the blue star            the thing that is sought next, copied from the question with the one before

What is seen is written before it is marked, so that the mark is a match of one name with another. The next step is a
word of its own for the same reason: where the mark was followed by the step itself, a tiny model copied and marked
without a fault and took the wrong step half of the time (measured). An option that was taken up by
its letter is written as the line of that letter before it is answered: without that line a tiny model joined the first
word of one option with the second of another (seen in failed episodes). A guess is a letter and nothing else, and so is
an order. A number that was seen is answered as it was noted: to find its letter is what a tiny model did not learn
(measured).
"""

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from vt_env.prompts import option_letter, option_line
from vt_env.types import Answer, Interval, Observation, ToolCall, format_time, parse_time
from vt_env.world.render import place_box

Play = Generator[ToolCall | Answer, Observation, None]
"""A script in progress: it yields an action and is sent what that action showed; it ends where it has no answer."""
Kind = tuple[str, str]
"""Colour and shape."""

SUBTITLES_TOP_K = 4
CLIPS_TOP_K = 8
"""Candidates asked for: there are about six scenes of a colour in a video of twenty minutes."""

Step = Literal["look", "then", "small", "order", "answer"]
"""What comes next: a look at the next candidate, the next option or thing sought, a closer look, the order of what was
found so far, the answer."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What comes next for one kind of question, by what was seen."""

    found: Step
    """It is what was asked for."""
    other_shape: Step
    """Its colour is right, its shape is not."""
    other_colour: Step
    """Its colour is not right."""
    is_over: Step = "answer"
    """None of the candidates was right, or the search is given up."""

    def after(self, seen: Kind, asked: Kind) -> Step:
        """Return the step after something was seen while something was asked for."""
        steps: dict[str, Step] = {"yes": self.found, "near": self.other_shape, "no": self.other_colour}
        return steps[mark(seen, asked)]


NEEDLE = Steps("answer", "look", "look")
# Candidates are ranked by colour, so that with another colour there is nothing left to count or to find.
COUNTING = Steps("look", "look", "answer")
ORDERING = Steps("order", "look", "look", is_over="then")
GROUNDING = Steps("answer", "then", "then")
DETAIL = Steps("small", "look", "look")
ABSENCE = Steps("then", "look", "answer")


@dataclass(frozen=True, slots=True)
class Sight:
    """One scene that was looked at."""

    interval: Interval
    """Where was looked."""
    words: tuple[str, ...]
    """What is to be seen: colour, shape, number and, with small print, the place of the shape."""

    @property
    def kind(self) -> Kind:
        """Colour and shape."""
        return self.words[0], self.words[1]


class Scripts:
    """The scripts of one episode, with what they have found out so far."""

    def __init__(self, options: Sequence[str], goes_on: Callable[[], bool]) -> None:
        """Begin without knowing anything.

        Args:
            options: Those of the question.
            goes_on: Asked after each wrong candidate whether to go on.
        """
        self.options = tuple(options)
        self.possible: tuple[str, ...] = self.options
        """Options that a guess may take."""
        self.note = ""
        """What the next action's thought begins with."""
        self._persists = goes_on
        self._calls_left = 0

    def play(self, question: str) -> Play:
        """Return the script for a question; one without a step for a question of no known form."""
        for form, script in self._FORMS.items():
            match = re.fullmatch(form, question)
            if match:
                return script(self, *match.groups())
        return self._unknown()

    def take(self, option: str) -> Answer:
        """Answer with an option that is known: its line is written first; an order is its letter alone.

        What is no option is answered as it is.
        """
        if ", " in option:
            return self.name(option)
        if option in self.options:
            self._add(option_line(self.options.index(option), option))
        return Answer(option, self.note)

    def name(self, option: str) -> Answer:
        """Answer with the letter of an option alone: a tiny model copied no line of three names (1 of 60)."""
        return Answer(option_letter(self.options.index(option)), self.note)

    def _unknown(self) -> Play:
        yield from ()

    def _needle(self, colour: str, shape: str) -> Play:
        sight = yield from self._seek((colour, shape), NEEDLE)
        if sight:
            yield Answer(sight.words[2], self.note)

    def _subtitle(self, name: str) -> Play:
        """Find the line that speaks the code."""
        found = yield ToolCall("subtitle_retrieval", {"query": f"code {name}", "top_k": SUBTITLES_TOP_K})
        for line in found.lines:
            spoken = re.search(rf"\bthe code of {name} is (\d+)", line.text)
            if spoken:
                yield Answer(spoken[1], line.line)

    def _reference(self, name: str) -> Play:
        """Find the line that speaks the name and look at the screen at that time."""
        found = yield ToolCall("subtitle_retrieval", {"query": name, "top_k": SUBTITLES_TOP_K})
        for line in found.lines:
            if name in line.text.split():
                sight = yield from self._look(line.interval, line.line)
                if sight:
                    self.note = " ".join(sight.words[:3])
                    yield Answer(sight.words[2], self.note)

    def _counting(self, colour: str, shape: str) -> Play:
        """Look at the candidates until one has another colour."""
        count, asked = 0, (colour, shape)
        found = yield self._retrieval(asked)
        candidates = found.lines
        for line in candidates:
            sight = yield from self._look(line.interval, line.line, asked)
            if not sight:
                continue
            count += sight.kind == asked
            self.possible = (str(max(1, count)),)
            step = self._step(COUNTING, sight, asked, is_last=line is candidates[-1])
            self.note = f"{_marked(sight, asked)} count {count} {step}"
            if step == "answer":
                break
        yield Answer(self.possible[0], self.note)

    def _ordering(self, names: str) -> Play:
        """Find things one after the other and keep those found in the order of their times."""
        found: list[tuple[str, str]] = []
        sought = re.findall(r"the (\w+) (\w+)", names)
        for place, (colour, shape) in enumerate(sought):
            self._add(sought_text(sought, place))
            sight = yield from self._seek((colour, shape), ORDERING)
            if sight:
                found = sorted([*found, (format_time(sight.interval.start_s), f"{colour} {shape}")])
                is_last = (colour, shape) == sought[-1] or not self._calls_left
                self.note += (
                    f" {', '.join(f'{name} {start}' for start, name in found)} {'answer' if is_last else 'then'}"
                )
                in_order = [name for _, name in found]
                self.possible = tuple(it for it in self.options if _is_in_order(it.split(", "), in_order))
            if not self._calls_left:
                break
        if len(found) == len(sought):
            yield self.take(self.possible[0])

    def _grounding(self, colour: str, shape: str) -> Play:
        """Look at the times that the options name, the last included: an answer that was seen is one to learn from."""
        for idx, option in enumerate(self.options):
            self.possible = self.options[idx:]
            sight = yield from self._look(_interval(option), option_line(idx, option), (colour, shape))
            if sight:
                step = self._step(GROUNDING, sight, (colour, shape), is_last=idx == len(self.options) - 1)
                self.note = f"{_marked(sight, (colour, shape))} {step}"
                if sight.kind == (colour, shape):
                    yield self.take(option)
                self.possible = self.options[idx + 1 :] or self.options
                if step == "answer":
                    return

    def _detail(self, colour: str, shape: str) -> Play:
        """Find the thing, then look closely at the part of the frame where it is."""
        sight = yield from self._seek((colour, shape), DETAIL, with_place=True)
        if not sight or len(sight.words) < 5 or not self._calls_left:
            return
        time_s = float(int(sight.interval.middle_s))
        # The time that stands under the frame: where it was not written first, a tiny model looked at other times.
        self.note += f" {format_time(time_s)}"
        shown = yield ToolCall("spatial_zoom", {"time_s": time_s, "box": place_sides(*sight.words[3:5])}, self.note)
        small = next(filter(None, (re.search(r"\bsmall (\d+)", line.text) for line in shown.lines)), None)
        if small:
            self.note = small[0]
            yield Answer(small[1], self.note)

    def _absence(self) -> Play:
        """Look for one option after the other; the first that is not found is the absent one."""
        *sought, last = self.options
        for idx, option in enumerate(sought):
            self.possible = (option,)
            self._add(option_line(idx, option))
            colour, shape = option.split()
            if not (yield from self._seek((colour, shape), ABSENCE)):
                yield self.take(option)
            self.possible = self.options[idx + 1 :]
            if not self._calls_left:
                return
        yield self.take(last)

    def _seek(
        self, asked: Kind, steps: Steps, *, with_place: bool = False
    ) -> Generator[ToolCall, Observation, Sight | None]:
        """Look at what retrieval offers, best first, until it is what is sought."""
        found = yield self._retrieval(asked)
        candidates = found.lines
        for line in candidates:
            sight = yield from self._look(line.interval, line.line, asked)
            if not sight:
                continue
            step = self._step(steps, sight, asked, is_last=line is candidates[-1])
            self.note = f"{_marked(sight, asked, with_place=with_place)} {step}"
            if sight.kind == asked:
                return sight
            if step != "look":
                return None
        return None

    def _step(self, steps: Steps, sight: Sight, asked: Kind, *, is_last: bool = False) -> Step:
        """Return what comes next, given what is left of candidates, calls and persistence."""
        step = steps.after(sight.kind, asked)
        if step in ("answer", "order"):
            return step
        if not self._calls_left:
            return "answer"
        is_wrong = sight.kind != asked
        if (is_last and (is_wrong or step == "look")) or (is_wrong and not self._persists()):
            return steps.is_over
        return step

    def _retrieval(self, kind: Kind) -> ToolCall:
        note, self.note = self.note, ""
        return ToolCall("clip_retrieval", {"query": " ".join(kind), "top_k": CLIPS_TOP_K}, note)

    def _look(
        self, interval: Interval, line: str, asked: Sequence[str] = ()
    ) -> Generator[ToolCall, Observation, Sight | None]:
        """Look at an interval and return the scene nearest to what is asked for; `None` where nothing is told of it.

        The note is used up.
        """
        self._add(line)
        thought, self.note = self.note, ""
        shown = yield ToolCall("caption_zoom", {"start_s": interval.start_s, "end_s": interval.end_s}, thought)
        self._calls_left = shown.remaining.calls
        captions = [tuple(line.text.split()) for line in shown.lines]
        told = [words for words in captions if len(words) >= 3]
        return Sight(interval, max(told, key=lambda words: _matches(words, asked))) if told else None

    def _add(self, line: str) -> None:
        self.note = "\n".join(part for part in (self.note, line) if part)

    _FORMS: ClassVar[dict[str, Callable[..., Play]]] = {
        r"what number is beside the (\w+) (\w+)\?": _needle,
        r"what is the code of (\w+)\?": _subtitle,
        r"what number is on screen when the narrator says (\w+)\?": _reference,
        r"how many times is the (\w+) (\w+) shown\?": _counting,
        r"in which order are these shown: (.+)\?": _ordering,
        r"when is the (\w+) (\w+) shown\?": _grounding,
        r"what is the small number on the (\w+) (\w+)\?": _detail,
        r"which of these is never shown\?": _absence,
    }


def mark(seen: Kind, asked: Kind) -> Literal["yes", "near", "no"]:
    """Say whether a thing is the one asked for, or of its colour at least, as what is retrieved for it mostly is."""
    if seen == asked:
        return "yes"
    return "near" if seen[0] == asked[0] else "no"


def _marked(sight: Sight, asked: Kind, *, with_place: bool = False) -> str:
    """Write what was seen with its mark and its number, and where it is if that matters: `red circle near 12`."""
    return " ".join([*sight.kind, mark(sight.kind, asked), *sight.words[2 : 5 if with_place else 3]])


def _interval(option: str) -> Interval:
    """Read an option of the form `mm:ss-mm:ss`.

    Raises:
        ValueError: It has another form.
    """
    start_s, end_s = map(parse_time, option.split("-"))
    if start_s is None or end_s is None:
        raise ValueError(f"option {option!r}: need mm:ss-mm:ss")
    return Interval(start_s, max(end_s, start_s + 1))


def _matches(words: Sequence[str], asked: Sequence[str]) -> int:
    return sum(word == wanted for word, wanted in zip(words, asked, strict=False))


def _is_in_order(names: Sequence[str], known: Sequence[str]) -> bool:
    places = [names.index(name) for name in known if name in names]
    return places == sorted(places)


def sought_text(sought: Sequence[Kind], place: int) -> str:
    """Name what is sought next as the question does; the one before it is what a small model finds its place by."""
    return ", ".join(f"the {' '.join(kind)}" for kind in sought[max(0, place - 1) : place + 1])


def place_sides(side: str, height: str) -> list[float]:
    """Return the box of a closer look at a place, as a call has it."""
    box = place_box(side, height)
    return [box.left, box.top, box.right, box.bottom]
