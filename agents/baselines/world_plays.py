"""Scripts of the embedded world: tool calls and thoughts for each kind of question.

Thoughts are short and have one fixed form, made of steps that a tiny model learns one by one:

    #2 05:10-05:20                           next candidate, copied from the search result
    red circle near 12 look                  thing on screen, its match with the question, its number; the next step
    red square yes 31 count 2 look           the same with a running count
    red square yes 31 left high small 05:15  the same with the place of the small number and the time of the frame
    red square yes 31 order red square 05:10, blue star 09:40 then
    B. blue star                             next option to check, or the answer if it is not a number
    the red square, the blue star            previous and next target, copied from the question

The thing on screen is written before its match, so that the match compares two names. The next step is a separate word
for the same reason: when the step itself followed the match, a tiny model copied and matched without error and took the
wrong step half of the time (measured). An option is written as its whole line before it is answered: without that line
a tiny model joined the first word of one option with the second of another (seen in failed episodes). Guesses and
orders are a letter alone. Numbers are answered as digits, since a tiny model did not learn to find their letter
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
"""Running script: yields actions and receives observations; returns without an answer if the search fails."""
Kind = tuple[str, str]
"""Colour and shape."""

SUBTITLES_TOP_K = 4
CLIPS_TOP_K = 8
"""Number of clips retrieved; a video of twenty minutes has about six scenes of a colour."""

Step = Literal["look", "then", "small", "order", "answer"]
"""Next step: inspect the next candidate, go to the next option or target, zoom into the frame, order the findings, or
answer."""
Told = Literal["number", "small", "place", "dots", "companion"]
"""What a note says of the scene that was sought: its number, or also where to look closely, and so on."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Next step for one kind of question, by the match of the inspected scene."""

    found: Step
    """Colour and shape match."""
    other_shape: Step
    """Only the colour matches."""
    other_colour: Step
    """The colour differs."""
    failed: Step = "answer"
    """No candidate matches, or the script gives up."""

    def after(self, seen: Kind, asked: Kind) -> Step:
        """Return the step after a scene with `seen`, in a search for `asked`."""
        steps: dict[str, Step] = {"yes": self.found, "near": self.other_shape, "no": self.other_colour}
        return steps[match_word(seen, asked)]


NEEDLE = Steps("answer", "look", "look")
# Candidates are ranked by colour: after another colour none of the right colour follows.
COUNTING = Steps("look", "look", "answer")
ORDERING = Steps("order", "look", "look", failed="then")
GROUNDING = Steps("answer", "then", "then")
DETAIL = Steps("small", "look", "look")
ABSENCE = Steps("then", "look", "answer")


@dataclass(frozen=True, slots=True)
class Sight:
    """Inspected scene."""

    interval: Interval
    """Inspected interval."""
    words: tuple[str, ...]
    """Caption: colour, shape, number and, for scenes with a small number, the place of the shape."""

    @property
    def kind(self) -> Kind:
        """Colour and shape."""
        return self.words[0], self.words[1]


class Scripts:
    """Scripts of one episode, with their findings so far."""

    def __init__(self, options: Sequence[str], should_continue: Callable[[], bool]) -> None:
        """Start an episode without findings.

        Args:
            options: Options of the question.
            should_continue: Called after each wrong candidate; `False` ends the search.
        """
        self.options = tuple(options)
        self.possible: tuple[str, ...] = self.options
        """Options not ruled out; guesses are drawn from them."""
        self.note = ""
        """Thought of the next action, so far."""
        self._should_continue = should_continue
        self._calls_left = 0

    def play(self, question: str) -> Play:
        """Return the script for a question; an empty script for a question of unknown form."""
        for form, script in self._FORMS.items():
            match = re.fullmatch(form, question)
            if match:
                return script(self, *match.groups())
        return self._unknown()

    def answer_option(self, option: str) -> Answer:
        """Answer with the text of an option, after a thought with its line; an order is answered by its letter.

        A text that is not among the options is answered unchanged.
        """
        if ", " in option:
            return self.answer_letter(option)
        if option in self.options:
            self._add(option_line(self.options.index(option), option))
        return Answer(option, self.note)

    def answer_letter(self, option: str) -> Answer:
        """Answer with the letter of an option alone.

        A tiny model failed to copy lines of three names (1 of 60 right).
        """
        return Answer(option_letter(self.options.index(option)), self.note)

    def _unknown(self) -> Play:
        yield from ()

    def _note_of(self, sight: Sight, asked: Kind, told: Told) -> str:
        """Write what a scene shows of what is asked."""
        return _match_note(sight, asked, with_place=told == "small")

    def _closer_sides(self, sight: Sight) -> list[float]:
        """Return the sides of the box to look at closely for the small number of a scene."""
        return place_sides(*sight.words[3:5])

    def _needle(self, colour: str, shape: str) -> Play:
        sight = yield from self._seek((colour, shape), NEEDLE)
        if sight:
            yield Answer(sight.words[2], self.note)

    def _subtitle(self, name: str) -> Play:
        """Find the subtitle that states the code."""
        found = yield ToolCall("subtitle_retrieval", {"query": f"code {name}", "top_k": SUBTITLES_TOP_K})
        for line in found.lines:
            stated = re.search(rf"\bthe code of {name} is (\d+)", line.text)
            if stated:
                yield Answer(stated[1], line.line)

    def _reference(self, name: str) -> Play:
        """Find the subtitle with the name and inspect the screen at that time."""
        found = yield ToolCall("subtitle_retrieval", {"query": name, "top_k": SUBTITLES_TOP_K})
        for line in found.lines:
            if name in line.text.split():
                sight = yield from self._look(line.interval, line.line)
                if sight:
                    self.note = " ".join(sight.words[:3])
                    yield Answer(sight.words[2], self.note)

    def _counting(self, colour: str, shape: str) -> Play:
        """Inspect candidates until one has another colour."""
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
            self.note = f"{_match_note(sight, asked)} count {count} {step}"
            if step == "answer":
                break
        yield Answer(self.possible[0], self.note)

    def _ordering(self, names: str) -> Play:
        """Search the targets one after another, sorting those found by time."""
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
            yield self.answer_option(self.possible[0])

    def _grounding(self, colour: str, shape: str) -> Play:
        """Inspect the interval of each option.

        The last option is inspected too, so that the demonstration ends in an observed answer.
        """
        for idx, option in enumerate(self.options):
            self.possible = self.options[idx:]
            sight = yield from self._look(_interval(option), option_line(idx, option), (colour, shape))
            if sight:
                step = self._step(GROUNDING, sight, (colour, shape), is_last=idx == len(self.options) - 1)
                self.note = f"{_match_note(sight, (colour, shape))} {step}"
                if sight.kind == (colour, shape):
                    yield self.answer_option(option)
                self.possible = self.options[idx + 1 :] or self.options
                if step == "answer":
                    return

    def _detail(self, colour: str, shape: str) -> Play:
        """Find the target, then zoom into its part of the frame."""
        sight = yield from self._seek((colour, shape), DETAIL, "small")
        if not sight or len(sight.words) < 5 or not self._calls_left:
            return
        time_s = float(int(sight.interval.middle_s))
        # Written first, since a tiny model otherwise zoomed at other times than that of the frame.
        self.note += f" {format_time(time_s)}"
        shown = yield ToolCall("spatial_zoom", {"time_s": time_s, "box": self._closer_sides(sight)}, self.note)
        small = next(filter(None, (re.search(r"\bsmall (\d+)", line.text) for line in shown.lines)), None)
        if small:
            self.note = small[0]
            yield Answer(small[1], self.note)

    def _absence(self) -> Play:
        """Search the options one after another; the first without a match is the absent one."""
        *sought, last = self.options
        for idx, option in enumerate(sought):
            self.possible = (option,)
            self._add(option_line(idx, option))
            colour, shape = option.split()
            if not (yield from self._seek((colour, shape), ABSENCE)):
                yield self.answer_option(option)
            self.possible = self.options[idx + 1 :]
            if not self._calls_left:
                return
        yield self.answer_option(last)

    def _seek(self, asked: Kind, steps: Steps, told: Told = "number") -> Generator[ToolCall, Observation, Sight | None]:
        """Inspect retrieved clips in order of rank until one matches; `None` without a match."""
        found = yield self._retrieval(asked)
        candidates = found.lines
        for line in candidates:
            sight = yield from self._look(line.interval, line.line, asked)
            if not sight:
                continue
            step = self._step(steps, sight, asked, is_last=line is candidates[-1])
            self.note = f"{self._note_of(sight, asked, told)} {step}"
            if sight.kind == asked:
                return sight
            if step != "look":
                return None
        return None

    def _step(self, steps: Steps, sight: Sight, asked: Kind, *, is_last: bool = False) -> Step:
        """Return the next step, given the remaining candidates and calls, and whether to continue."""
        step = steps.after(sight.kind, asked)
        if step in ("answer", "order"):
            return step
        if not self._calls_left:
            return "answer"
        is_wrong = sight.kind != asked
        if (is_last and (is_wrong or step == "look")) or (is_wrong and not self._should_continue()):
            return steps.failed
        return step

    def _retrieval(self, kind: Kind) -> ToolCall:
        note, self.note = self.note, ""
        return ToolCall("clip_retrieval", {"query": " ".join(kind), "top_k": CLIPS_TOP_K}, note)

    def _look(
        self, interval: Interval, line: str, asked: Sequence[str] = ()
    ) -> Generator[ToolCall, Observation, Sight | None]:
        """Inspect an interval and return the scene that matches the question best; `None` without a caption.

        Clears the note.
        """
        self._add(line)
        thought, self.note = self.note, ""
        shown = yield ToolCall("caption_zoom", {"start_s": interval.start_s, "end_s": interval.end_s}, thought)
        self._calls_left = shown.remaining.calls
        captions = [tuple(line.text.split()) for line in shown.lines]
        scenes = [words for words in captions if len(words) >= 3]
        return Sight(interval, max(scenes, key=lambda words: _matches(words, asked))) if scenes else None

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


def match_word(seen: Kind, asked: Kind) -> Literal["yes", "near", "no"]:
    """Compare two kinds: `yes` if equal, `near` if only the colour matches, `no` otherwise."""
    if seen == asked:
        return "yes"
    return "near" if seen[0] == asked[0] else "no"


def _match_note(sight: Sight, asked: Kind, *, with_place: bool = False) -> str:
    """Write kind, match and number of a scene, and optionally its place: `red circle near 12`."""
    return " ".join([*sight.kind, match_word(sight.kind, asked), *sight.words[2 : 5 if with_place else 3]])


def _interval(option: str) -> Interval:
    """Parse an option of the form `mm:ss-mm:ss`.

    Raises:
        ValueError: The option has another form.
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
    """Write the target at a position, in the words of the question.

    The previous target comes first, so that a small model finds its position in the question.
    """
    return ", ".join(f"the {' '.join(kind)}" for kind in sought[max(0, place - 1) : place + 1])


def place_sides(side: str, height: str) -> list[float]:
    """Return the sides of the crop box at a place: left, top, right, bottom."""
    box = place_box(side, height)
    return [box.left, box.top, box.right, box.bottom]
