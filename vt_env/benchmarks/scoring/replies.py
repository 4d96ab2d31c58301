"""Replies to benchmark questions, and the strict rule of answer extraction.

A reply that the rule cannot parse has a status and no letter; nothing is guessed.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from vt_env.actions.final_answer import final_answer
from vt_env.actions.read_answer import AnswerStatus, ReadAnswer, read_answer
from vt_env.benchmarks.readers.rows import Span
from vt_env.benchmarks.scoring.cited_spans import cited_spans
from vt_env.episode.trajectory import ReplyEnd, Trajectory
from vt_env.errors import DataError
from vt_env.types import StopReason

_WRAPPER = re.compile(r"(\*\*|__|\*|_|`|\[|\\boxed\{|\$|\"|')(.+?)(\*\*|__|\*|_|`|\]|\}|\$|\"|')", re.DOTALL)
_CLOSER = {"[": "]", "\\boxed{": "}"}
_MAX_WRAPPERS = 4
_OBJECT = re.compile(r"\s*(?:```(?:json)?\s*)?(\{[^{}]{1,1000}\})\s*(?:```\s*)?", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\b(?:i\s+(?:cannot|can't|can\s+not|could\s+not|couldn't|am\s+unable|am\s+not\s+able)|i'm\s+(?:unable|not\s+able)|"
    r"(?:unable|impossible|not\s+possible)\s+to\s+(?:answer|determine|tell|say)|"
    r"cannot\s+be\s+(?:answered|determined)|i'?m\s+sorry)\b",
    re.IGNORECASE,
)


class Ended(StrEnum):
    """Finish reason of a reply."""

    STOP = "stop"
    """Complete."""
    LENGTH = "length"
    """Truncated at the token limit."""
    REFUSED = "refused"
    """Declined by the model or a content filter."""
    LIMIT = "limit"
    """Ended by the episode's budget."""
    CONTEXT = "context"
    """The conversation no longer fitted the model's context."""
    ERROR = "error"
    """Data, model or server failed; the text, if any, is not an answer."""


class Status(StrEnum):
    """Outcome of answer extraction."""

    OK = "ok"
    UNPARSED = "unparsed"
    AMBIGUOUS = "ambiguous"
    """Several options were named."""
    REFUSED = "refused"
    """The reply declines to answer."""
    TRUNCATED = "truncated"
    """The reply was truncated before it named an option."""
    ERROR = "error"
    LIMIT = "limit"
    """The budget was used up before an option was named."""
    CONTEXT = "context"
    """The conversation no longer fitted the model's context before an option was named."""


_STATUS_OF_END = {
    Ended.LENGTH: Status.TRUNCATED,
    Ended.REFUSED: Status.REFUSED,
    Ended.LIMIT: Status.LIMIT,
    Ended.CONTEXT: Status.CONTEXT,
    Ended.ERROR: Status.ERROR,
}
_ENDS = {ReplyEnd.LENGTH: Ended.LENGTH, ReplyEnd.REFUSED: Ended.REFUSED, ReplyEnd.CONTEXT: Ended.CONTEXT}


@dataclass(frozen=True, slots=True)
class Reply:
    """Raw answer to one question."""

    task_id: str
    text: str
    ended: Ended = Ended.STOP
    viewed: tuple[Span, ...] = ()
    """Spans that the policy viewed, if known."""
    cited: tuple[Span, ...] = ()
    """Spans that the last message cites, see `vt_env.benchmarks.scoring.cited_spans`."""


def reply_of(episode: Trajectory) -> Reply:
    """Convert a trajectory to a reply with the unchanged text of its answer.

    An invalid or unfinished episode is an error. An episode without an answer has reached a limit, unless the model's
    last reply was truncated or declined, or its context was full.
    """
    if episode.invalid is not None or (episode.stop is None and episode.limit is None):
        return Reply(episode.task_id, "", Ended.ERROR)
    viewed = tuple((interval.start_s, interval.end_s) for interval in episode.viewed)
    if episode.stop is not StopReason.ANSWERED:
        cut = episode.limit is None and episode.ended
        return Reply(episode.task_id, "", _ENDS.get(cut, Ended.LIMIT) if cut else Ended.LIMIT, viewed)
    last = episode.by_reply[-1][0].text if episode.turns else ""
    return Reply(episode.task_id, episode.answer or "", Ended.STOP, viewed, cited_spans(last))


def replies_of(episodes: Iterable[Trajectory]) -> dict[str, Reply]:
    """Convert trajectories to replies by task id.

    Raises:
        DataError: A task has two attempts; score each sample separately.
    """
    replies: dict[str, Reply] = {}
    for episode in episodes:
        if episode.task_id in replies:
            raise DataError(f"{episode.task_id}: two attempts, an official score allows one; score samples separately")
        replies[episode.task_id] = reply_of(episode)
    return replies


def read_strictly(text: str, options: Sequence[str]) -> ReadAnswer:
    """Match a reply to one of `options` under the strict rule.

    The part that `vt_env.actions.final_answer` extracts must be an option's letter or text, as
    `vt_env.actions.read_answer` defines them, possibly emphasised, quoted, in brackets or as the `result` of a JSON
    object, which CG-Bench's prompt asks for. "The answer is C" does not match.
    """
    answer = final_answer(text)
    forms = (answer, _unwrapped(answer), _result_in(answer))
    found = [read_answer(form, options) for form in forms]
    return next((it for it in found if it.status is not AnswerStatus.UNPARSED), found[0])


def strict_status(reply: Reply, options: Sequence[str]) -> tuple[int | None, Status]:
    """Apply the strict rule to a reply.

    Returns: the option index, or `None`, and the status.
    """
    if reply.ended is Ended.ERROR:
        return None, Status.ERROR
    answer = read_strictly(reply.text, options)
    if answer.status is AnswerStatus.UNPARSED:
        return None, status_without_option(reply)
    return answer.option_idx, Status.OK if answer.status is AnswerStatus.MATCHED else Status.AMBIGUOUS


def status_without_option(reply: Reply) -> Status:
    """Return the status of a reply that names no option."""
    if reply.ended is not Ended.STOP:
        return _STATUS_OF_END[reply.ended]
    return Status.REFUSED if _REFUSAL.search(reply.text) else Status.UNPARSED


def _result_in(text: str) -> str:
    """Return the text under the only key of a JSON object, `result`; empty if the text is no such object."""
    match = _OBJECT.fullmatch(text)
    try:
        found: Any = json.loads(match[1]) if match else None
    except (ValueError, RecursionError):
        return ""
    held = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    value = held.get("result")
    return value if isinstance(value, str) and len(held) == 1 else ""


def _unwrapped(text: str) -> str:
    text = text.strip()
    for _ in range(_MAX_WRAPPERS):
        match = _WRAPPER.fullmatch(text.rstrip("."))
        if match is None or match[3] != _CLOSER.get(match[1], match[1]):
            break
        text = match[2].strip()
    return text
