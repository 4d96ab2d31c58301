"""Reasons to reject a trajectory: one function each, which returns its finding or `None`.

They read the trajectory as it was written in caption space. Two of them need the evidence, which is part of the answer
key; they run when all attempts are made, so that nothing of it reaches a teacher.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from synth.near_duplicates import plain
from vt_env.actions.parse import ActionReader
from vt_env.episode.trajectory import Trajectory, TurnRecord
from vt_env.prompts import read_lines
from vt_env.types import NOT_PLAYED, Answer, Interval, StopReason, ToolCall, parse_time

Evidence = Sequence[Interval]
"""Intervals of the video that show the answer; empty where unknown."""
Reason = Callable[[Trajectory, Evidence], str | None]
"""Returns one line about what is wrong with a trajectory; `None` if nothing is."""

_READER = ActionReader()
_TASK_WORDS = ("answer", "call", "caption", "clip", "frame", "option", "question", "subtitle", "tool", "video", "zoom")
"""Words that name nothing in the video, however they are written."""
_MOMENT_S = 1e-3
"""Time that a frame counts as shown, in seconds."""
_SMALL = 10
"""Numbers below this are counts, which nothing needs to have shown."""
_TIME = re.compile(r"\b\d+(?::\d\d)+\b")
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,15})?")
_QUOTED = re.compile(r"[\"“«]([^\"“”«»]{2,80})[\"”»]")
_NAME = re.compile(r"(?<=[a-z0-9,;] )[A-Z][a-z]{2,}\b")
"""Preceded by a word of its sentence, so that no first word is one."""


def invalid(trajectory: Trajectory, evidence: Evidence) -> str | None:
    """The data or the teacher's server failed during the episode."""
    return trajectory.invalid


def unscored(trajectory: Trajectory, evidence: Evidence) -> str | None:
    """The task has no known answer."""
    return "the task has no answer key" if trajectory.correct is None else None


def over_budget(trajectory: Trajectory, evidence: Evidence) -> str | None:
    """Calls or the model's context ran out without an answer, or the budget did not allow a call."""
    if trajectory.stop is StopReason.CONTEXT_FULL:
        return f"the conversation no longer fitted the model's context after {trajectory.calls} calls"
    if trajectory.stop is StopReason.OUT_OF_CALLS:
        return f"no answer after {trajectory.calls} calls"
    return _failed(trajectory, ("over_budget", NOT_PLAYED))


def malformed(trajectory: Trajectory, evidence: Evidence) -> str | None:
    """An action could not be read, named no tool, had arguments that the tool does not take, or is not in our form."""
    failed = _failed(trajectory, ("malformed", "tool_error"))
    others = (f"turn {number}: {it.form}, not our form" for number, it in enumerate(trajectory.turns, 1) if it.form)
    return failed or next(others, None)


def never_looked(trajectory: Trajectory, evidence: Evidence) -> str | None:
    """Nothing of the video was seen, heard or read; retrieving clips is not looking."""
    return None if trajectory.viewed else f"{trajectory.calls} calls, none of which looks"


def wrong_answer(trajectory: Trajectory, evidence: Evidence) -> str | None:
    """The answer was not the right option."""
    return None if trajectory.correct else f"answered {trajectory.answer!r}"


def evidence_not_viewed(trajectory: Trajectory, evidence: Evidence) -> str | None:
    """Of the evidence nothing was viewed: the right answer was a guess, or came from elsewhere.

    What counts is what was shown: a look at an hour shows few moments of it.
    """
    shown = [interval for turn in trajectory.turns for interval in _shown(turn)]
    if not evidence or any(_touches(shown, it) for it in evidence):
        return None
    return f"none of {_listed(evidence)} was viewed"


def answered_before_evidence(trajectory: Trajectory, evidence: Evidence) -> str | None:
    """A thought says what the answer is, rightly, before any evidence was viewed and before any result named it.

    Literal: the option's text or letter follows "answer" or "must be" within a few words. An option that is merely
    taken up next is no answer.
    """
    option = _right_option(trajectory)
    if not evidence or option is None:
        return None
    letter = chr(ord("A") + trajectory.options.index(option)) if option in trajectory.options else option
    # A letter counts as it is written, and not before another word: "the answer is a number", "Answer: A man ...".
    named = rf"(?<!\w)(?:(?i:{re.escape(' '.join(option.split()))})(?!\w)|{letter}(?!\w| [a-z]))"
    claim = re.compile(rf"\b(?i:answer|must be)\b[^.\n]{{0,40}}?{named}")
    shown, seen = trajectory.question, []
    for number, turn in enumerate(trajectory.turns):
        if any(_touches(seen, it) for it in evidence) or _states(shown, option):
            return None
        if claim.search(" ".join(_thought(turn).split())):
            return f"turn {number + 1} says that it is {option!r}"
        shown, seen = f"{shown}\n{turn.observation_text}", [*seen, *_shown(turn)]
    return None


def redundant_calls(trajectory: Trajectory, evidence: Evidence) -> str | None:
    """A call repeats an earlier one, or looks with the same tool at what that has shown already.

    Where frames were shown, the frames decide. Elsewhere a look counts as a repetition inside an earlier one of
    less than twice its length; narrower ones zoom in.
    """
    done: list[TurnRecord] = []
    for number, turn in enumerate(trajectory.turns):
        if turn.call is None:
            continue
        for earlier in done:
            if earlier.call == turn.call:
                return f"turn {number + 1} repeats {turn.call.name}"
            is_look = _name(earlier) == turn.call.name and "start_s" in turn.call.arguments
            if is_look and _covered(turn, earlier):
                return f"turn {number + 1} looks again at {_listed(turn.viewed)}"
        done.append(turn)
    return None


def caption_leak(trajectory: Trajectory, evidence: Evidence) -> str | None:
    """A thought names what nothing has shown: a number from 10 on, a quotation, or a name.

    Literal: what it names must stand in the question, its options, an earlier result, or the turn's own call. Names are
    capitalised words inside a sentence; times are not judged. It misses a paraphrase and every common word. Where
    frames were shown nothing is judged, since what they show stands in no text.
    """
    if trajectory.frames:
        return None
    shown = "\n".join((trajectory.prompt_text, trajectory.question, *trajectory.options))
    for number, turn in enumerate(trajectory.turns):
        known = f"{shown}\n{_call_text(turn)}"
        numbers = _numbers(known)
        unknown = [it for it in _NUMBER.findall(_TIME.sub(" ", _thought(turn))) if float(it) >= _SMALL]
        unknown = [it for it in unknown if float(it) not in numbers]
        unknown += [it for it in _names(_thought(turn)) if not _states(known, it)]
        if unknown:
            return f"turn {number + 1} names {unknown[0]!r}, which nothing has shown"
        shown = f"{shown}\n{turn.observation_text}"
    return None


REASONS: Mapping[str, Reason] = {
    reason.__name__: reason
    for reason in (
        invalid,
        unscored,
        over_budget,
        malformed,
        never_looked,
        wrong_answer,
        evidence_not_viewed,
        answered_before_evidence,
        redundant_calls,
        caption_leak,
    )
}
"""In the order in which they are tried; the first that finds something is kept."""


def _failed(trajectory: Trajectory, kinds: Sequence[str]) -> str | None:
    for number, turn in enumerate(trajectory.turns):
        if turn.error in kinds:
            return f"turn {number + 1}: {turn.observation_text.partition(chr(10))[0][:120]}"
    return None


def _right_option(trajectory: Trajectory) -> str | None:
    """The option that was answered, where it was the right one."""
    answer = trajectory.turns[-1].text if trajectory.turns else ""
    action = _READER.read(answer).action
    if not trajectory.correct or not isinstance(action, Answer):
        return None
    letters = {chr(ord("A") + idx): option for idx, option in enumerate(trajectory.options)}
    return letters.get(action.text.strip().rstrip(".)").upper(), action.text)


def _states(text: str, option: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(plain(option))}(?!\w)", plain(text)) is not None


def _thought(turn: TurnRecord) -> str:
    return _READER.read(turn.text).thought


def _call_text(turn: TurnRecord) -> str:
    """Return the calls of a reply as they are written; nothing for an answer."""
    found = _READER.read(turn.text).actions
    return "\n".join(turn.text[slice(*it.span)] for it in found if it.span and isinstance(it.action, ToolCall))


def _numbers(text: str) -> set[float]:
    """All numbers of a text, its times in seconds among them."""
    times_s = [parse_time(mark) for mark in _TIME.findall(text)]
    return {float(it) for it in _NUMBER.findall(text)} | {time_s for time_s in times_s if time_s is not None}


def _names(thought: str) -> list[str]:
    names = (name for name in _NAME.findall(thought) if name.casefold().rstrip("s") not in _TASK_WORDS)
    return [*_QUOTED.findall(thought), *names]


def _touches(viewed: Sequence[Interval], wanted: Interval) -> bool:
    return any(it.overlap_s(wanted) > 0 for it in viewed)


def _covered(turn: TurnRecord, earlier: TurnRecord) -> bool:
    if turn.frames and earlier.frames:
        return set(turn.frames) <= set(earlier.frames)
    return bool(turn.viewed) and all(any(_repeats(it, before) for before in earlier.viewed) for it in turn.viewed)


def _repeats(later: Interval, earlier: Interval) -> bool:
    is_inside = earlier.start_s <= later.start_s and later.end_s <= earlier.end_s
    return is_inside and earlier.duration_s < 2 * later.duration_s


def _name(turn: TurnRecord) -> str:
    return "" if turn.call is None else turn.call.name


def _shown(turn: TurnRecord) -> tuple[Interval, ...]:
    """Return what a turn showed: moments of frames, lines that name their times, else the interval that was viewed."""
    if not turn.viewed:
        return ()
    if turn.frames:
        return tuple(Interval(it.time_s, it.time_s + _MOMENT_S) for it in turn.frames)
    return tuple(it.interval for it in read_lines(turn.observation_text)) or turn.viewed


def _listed(intervals: Sequence[Interval]) -> str:
    return ", ".join(map(str, intervals[:3])) + (" ..." if len(intervals) > 3 else "")
