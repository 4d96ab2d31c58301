"""What a model answered, however it ended, and the one strict way to read it.

A reply that cannot be read has a status and no letter: nothing here guesses.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vt_env.actions.final_answer import final_answer
from vt_env.actions.read_answer import AnswerStatus, ReadAnswer, read_answer
from vt_env.benchmarks.readers.rows import Span
from vt_env.benchmarks.scoring.cited_spans import cited_spans
from vt_env.episode.trajectory import ReplyEnd, Trajectory
from vt_env.errors import DataError
from vt_env.types import StopReason

_WRAPPER = re.compile(r"(\*\*|__|\*|_|`|\[|\\boxed\{)(.+?)(\*\*|__|\*|_|`|\]|\})", re.DOTALL)
_CLOSER = {"[": "]", "\\boxed{": "}"}
_MAX_WRAPPERS = 4
_REFUSAL = re.compile(
    r"\b(?:i\s+(?:cannot|can't|can\s+not|could\s+not|couldn't|am\s+unable|am\s+not\s+able)|i'm\s+(?:unable|not\s+able)|"
    r"(?:unable|impossible|not\s+possible)\s+to\s+(?:answer|determine|tell|say)|"
    r"cannot\s+be\s+(?:answered|determined)|i'?m\s+sorry)\b",
    re.IGNORECASE,
)


class Ended(StrEnum):
    """How the reply came to an end."""

    STOP = "stop"
    """By itself."""
    LENGTH = "length"
    """Cut at the token limit."""
    REFUSED = "refused"
    """The model or a filter before it declined."""
    LIMIT = "limit"
    """The episode's budget ended it."""
    ERROR = "error"
    """Data, model or server failed; whatever text there is, is no answer."""


class Status(StrEnum):
    """What a reply counts as."""

    OK = "ok"
    UNPARSED = "unparsed"
    AMBIGUOUS = "ambiguous"
    """More than one option was named."""
    REFUSED = "refused"
    """It says that it cannot answer."""
    TRUNCATED = "truncated"
    """It was cut before it named an option."""
    ERROR = "error"
    LIMIT = "limit"
    """The budget ended before it named an option."""


_STATUS_OF_END = {
    Ended.LENGTH: Status.TRUNCATED,
    Ended.REFUSED: Status.REFUSED,
    Ended.LIMIT: Status.LIMIT,
    Ended.ERROR: Status.ERROR,
}
_ENDS = {ReplyEnd.LENGTH: Ended.LENGTH, ReplyEnd.REFUSED: Ended.REFUSED}


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one question as it was written."""

    task_id: str
    text: str
    ended: Ended = Ended.STOP
    viewed: tuple[Span, ...] = ()
    """What of the video was looked at on the way, where that is known."""
    cited: tuple[Span, ...] = ()
    """Spans that the last message names as evidence, see `vt_env.benchmarks.scoring.cited_spans`."""


def reply_of(episode: Trajectory) -> Reply:
    """Turn the record of an episode into a reply: the text of its answer, unchanged.

    An invalid or broken-off episode is an error; one that ended without an answer is at its limit, or truncated where
    the model's last reply was cut, or refused where the model or a filter declined.
    """
    if episode.invalid is not None or (episode.stop is None and episode.limit is None):
        return Reply(episode.task_id, "", Ended.ERROR)
    viewed = tuple((interval.start_s, interval.end_s) for interval in episode.viewed)
    if episode.stop is not StopReason.ANSWERED:
        cut = episode.limit is None and episode.ended
        return Reply(episode.task_id, "", _ENDS.get(cut, Ended.LIMIT) if cut else Ended.LIMIT, viewed)
    last = episode.turns[-1].text if episode.turns else ""
    return Reply(episode.task_id, episode.answer or "", Ended.STOP, viewed, cited_spans(last))


def replies_of(episodes: Iterable[Trajectory]) -> dict[str, Reply]:
    """Turn records into replies by task id.

    Raises:
        DataError: A task was attempted twice; score the attempts apart.
    """
    replies: dict[str, Reply] = {}
    for episode in episodes:
        if episode.task_id in replies:
            raise DataError(f"{episode.task_id}: two attempts; an official score takes one, so score samples apart")
        replies[episode.task_id] = reply_of(episode)
    return replies


def read_strictly(text: str, options: Sequence[str]) -> ReadAnswer:
    """Read a reply as one of `options`.

    The part that `vt_env.actions.final_answer` finds must be an option's letter or text as
    `vt_env.actions.read_answer` reads them, emphasised or bracketed at will. "The answer is C" is no such text.
    """
    return read_answer(_unwrapped(final_answer(text)), options)


def strict_status(reply: Reply, options: Sequence[str]) -> tuple[int | None, Status]:
    """Read a reply strictly.

    Returns: position of the option, or `None`, and what the reply counts as.
    """
    if reply.ended is Ended.ERROR:
        return None, Status.ERROR
    answer = read_strictly(reply.text, options)
    if answer.status is AnswerStatus.UNPARSED:
        return None, status_without_option(reply)
    return answer.option_idx, Status.OK if answer.status is AnswerStatus.MATCHED else Status.AMBIGUOUS


def status_without_option(reply: Reply) -> Status:
    """Tell why a reply names no option."""
    if reply.ended is not Ended.STOP:
        return _STATUS_OF_END[reply.ended]
    return Status.REFUSED if _REFUSAL.search(reply.text) else Status.UNPARSED


def _unwrapped(text: str) -> str:
    text = text.strip()
    for _ in range(_MAX_WRAPPERS):
        match = _WRAPPER.fullmatch(text.rstrip("."))
        if match is None or match[3] != _CLOSER.get(match[1], match[1]):
            break
        text = match[2].strip()
    return text
