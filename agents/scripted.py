"""A script that plays the embedded world from the text it is shown, captions and subtitles, and from nothing else.

It writes the demonstrations that a tiny model learns from, so its thoughts are short and always of one form: after a
retrieval it copies the line it goes by, after a look it notes what is seen and marks each word that was asked for with
yes or no. Such single-word matches are what a small model learns; one verdict at the end it does not.
"""

import re
from collections.abc import Callable, Generator, Sequence

import numpy as np

from agents.base import Opening, read_opening
from vt_env.actions import render_action
from vt_env.timed_text import TimedText, read_lines
from vt_env.types import Answer, Interval, Observation, ToolCall

Play = Generator[ToolCall | Answer, Observation, None]
"""A script in progress: it yields an action and is sent what that action showed; it ends where it has no answer."""

_SUBTITLES_TOP_K = 4
_CLIPS_TOP_K = (4, 8)
"""Candidates asked for at first, and once all of the first were wrong."""


class ScriptedAgent:
    """Looks for the answer with the tools that the question calls for; guesses where it finds none."""

    def __init__(self, rng: np.random.Generator, persistence: float = 1.0) -> None:
        """Make an agent whose every choice is drawn from `rng`.

        Args:
            rng: Decides when to give up, and every guess.
            persistence: Chance to go on after a wrong candidate; otherwise the script gives up and guesses.

        Raises:
            ValueError: `persistence` lies outside `[0, 1]`.
        """
        if not 0 <= persistence <= 1:
            raise ValueError(f"persistence={persistence}: need a chance in [0, 1]")
        self._rng = rng
        self._persistence = persistence

    def reset(self, observation: Observation) -> None:
        """Choose the script for the question; a question of no known form is guessed at once."""
        opening = read_opening(observation.text)
        self._options = opening.options
        self._note = ""
        self._play = self._script_for(opening)
        self._started = False

    def act(self, observation: Observation) -> str:
        """Write the script's next action, or a guess once the budget or the script is at its end."""
        try:
            action = self._play.send(observation) if self._started else next(self._play)
        except StopIteration:
            action = self._guess()
        self._started = True
        if isinstance(action, ToolCall) and not observation.remaining.calls:
            action = self._guess()
        return render_action(action)

    def _script_for(self, opening: Opening) -> Play:
        scripts: Sequence[tuple[str, Callable[..., Play]]] = (
            (r"what number is beside the (\w+) (\w+)\?", self._needle),
            (r"what is the code of (\w+)\?", self._subtitle),
            (r"what number is on screen when the narrator says (\w+)\?", self._reference),
        )
        for form, script in scripts:
            match = re.fullmatch(form, opening.question)
            if match:
                return script(*match.groups())
        return self._unknown()

    def _unknown(self) -> Play:
        yield from ()

    def _needle(self, colour: str, shape: str) -> Play:
        """Look at what retrieval offers, best first, until colour and shape match."""
        seen: set[Interval] = set()
        for top_k in _CLIPS_TOP_K:
            arguments = {"query": f"{colour} {shape}", "top_k": top_k}
            retrieved = yield ToolCall("clip_retrieval", arguments, self._note)
            self._note = ""
            for candidate in read_lines(retrieved.text):
                if candidate.interval in seen:
                    continue
                seen.add(candidate.interval)
                number = yield from self._look(candidate, (colour, shape))
                if number is not None:
                    yield Answer(number, self._note)
                if self._rng.random() >= self._persistence:
                    return

    def _subtitle(self, name: str) -> Play:
        """Find the line that speaks the code."""
        found = yield ToolCall("subtitle_retrieval", {"query": f"code {name}", "top_k": _SUBTITLES_TOP_K})
        for line in read_lines(found.text):
            spoken = re.search(rf"\bthe code of {name} is (\d+)", line.text)
            if spoken:
                yield Answer(spoken[1], line.line)

    def _reference(self, name: str) -> Play:
        """Find the line that speaks the name and look at the screen at that time."""
        found = yield ToolCall("subtitle_retrieval", {"query": name, "top_k": _SUBTITLES_TOP_K})
        for line in read_lines(found.text):
            if name in line.text.split():
                number = yield from self._look(line, ())
                if number is not None:
                    yield Answer(number, self._note)

    def _look(self, where: TimedText, asked: tuple[str, ...]) -> Generator[ToolCall, Observation, str | None]:
        """Look at an interval, note the scene nearest to what was asked for, and return its number if it is that."""
        thought = "\n".join(part for part in (self._note, where.line) if part)
        arguments = {"start_s": where.interval.start_s, "end_s": where.interval.end_s}
        shown = yield ToolCall("caption_zoom", arguments, thought)
        captions: list[list[str]] = [line.text.split() for line in read_lines(shown.text)]
        if not captions:
            self._note = ""
            return None
        nearest = max(captions, key=lambda words: _matches(words, asked))
        self._note = _marked(nearest, asked)
        return nearest[-1] if tuple(nearest[: len(asked)]) == asked else None

    def _guess(self) -> Answer:
        return Answer(self._options[self._rng.integers(len(self._options))], self._note)


def _matches(words: Sequence[str], asked: Sequence[str]) -> int:
    return sum(word == wanted for word, wanted in zip(words, asked, strict=False))


def _marked(words: Sequence[str], asked: Sequence[str]) -> str:
    """Mark each word seen with yes or no against the word asked for: `red yes circle no 12`."""
    marks = [f"{word} {'yes' if word == wanted else 'no'}" for word, wanted in zip(words, asked, strict=False)]
    return " ".join([*marks, *words[len(asked) :]])
