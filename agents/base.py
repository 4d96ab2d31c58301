"""What an agent is, what it is shown, and the conversation that a language model continues.

An agent plays one episode: it reads observations and writes the text that a language model would write. A batch policy
does the same for many episodes at once. Neither knows the answer key; `agents.baselines.oracle` alone is given it.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from vt_env.episode.messages import Message, message
from vt_env.episode.reply_record import GateRecord, ReplyRecord
from vt_env.errors import DataError
from vt_env.types import Observation, parse_time

_QUESTION = "Question: "
_LENGTH = re.compile(r"^Video (\d+:\d\d) long\.", re.MULTILINE)
_LETTER = re.compile(r"^[A-Z]\. ", re.MULTILINE)
_OPTION = re.compile(r"^[A-Z]\. (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a policy wrote, with what is known about it."""

    text: str
    record: ReplyRecord | None = None
    """`None` where no language model wrote it."""
    gate: GateRecord | None = None
    """What a confidence gate decided before it."""

    def timed(self, seconds: float) -> "Reply":
        """Return it with the seconds it took, unless it has its own already."""
        if self.record is None or self.record.latency_s is not None:
            return self
        return replace(self, record=replace(self.record, latency_s=round(seconds, 6)))


class Unanswerable(DataError):
    """A policy cannot act in one episode, whatever is tried; the episode is invalid and the others go on."""


class Agent(Protocol):
    """A policy for one episode at a time."""

    def reset(self, observation: Observation) -> None:
        """Begin an episode whose question is `observation`."""
        ...

    def act(self, observation: Observation) -> str | Reply:
        """Write the next action as text: a thought and a call, or an answer.

        The first call of an episode is given the observation that `reset` was given.
        """
        ...


@dataclass(frozen=True, slots=True)
class Opening:
    """The first observation of an episode, read back from its text."""

    question: str
    options: tuple[str, ...]
    duration_s: float
    """Length of the video in seconds, rounded down to a whole one."""


def read_opening(text: str) -> Opening:
    """Read the question, the options and the duration from the text that opens an episode.

    The last line that tells a length counts, since options may hold such a line, too; the question ends at the first
    lettered line. Takes time in proportion to the text, whatever it holds: one pattern for all of it would try every
    way to share lines out among options.

    Raises:
        ValueError: The text is not such an opening.
    """
    length = None
    for found in _LENGTH.finditer(text):
        length = found
    duration_s = parse_time(length[1]) if length else None
    first = _LETTER.search(text, len(_QUESTION), length.start()) if length else None
    if length is None or duration_s is None or first is None or not text.startswith(_QUESTION):
        raise ValueError(f"opening text {text[:80]!r}: need 'Question: ...', lettered options and 'Video mm:ss long.'")
    options = tuple(_OPTION.findall(text, first.start(), length.start()))
    return Opening(text[len(_QUESTION) : first.start() - 1], options, duration_s)


@dataclass(slots=True, eq=False)
class Conversation:
    """What was shown and written in one open episode."""

    episode_idx: int
    """Position of the episode among those that are played together."""
    observations: list[Observation]
    """The opening one first; one more than the replies whenever a policy is asked to act."""
    replies: list[str] = field(default_factory=list)
    """What the policy wrote, unchanged."""

    def messages(self, system_text: str) -> list[Message]:
        """Render the conversation as a chat: system, question, then replies and tool results in turn.

        A reply is raw text, its call included; frames stand before the text that names their times.
        """
        opening, *results = self.observations
        chat = [message("system", system_text), _observation_message("user", opening)]
        for reply, result in zip(self.replies, results, strict=True):
            chat += [message("assistant", reply), _observation_message("tool", result)]
        return chat


class BatchPolicy(Protocol):
    """A policy for many episodes at once, such as a language model behind a generator."""

    def act(self, conversations: Sequence[Conversation]) -> Sequence[str | Reply]:
        """Write the next action of each conversation, in the same order.

        A call may hold any of the open episodes. Where several threads play, each asks for its own.

        Raises:
            Unanswerable: Only for a single conversation: its episode cannot go on.
        """
        ...


@runtime_checkable
class Remembering(Protocol):
    """A batch policy that keeps something about open episodes."""

    def forget(self, episode_idx: int) -> None:
        """Drop what is kept about an episode: it has ended, or its conversation is to be read anew."""
        ...


def ask(policy: BatchPolicy, conversations: Sequence[Conversation]) -> list[Reply]:
    """Ask a policy and note how long the replies took."""
    if not conversations:
        return []
    start_s = time.perf_counter()
    written = policy.act(conversations)
    seconds = time.perf_counter() - start_s
    return [(Reply(it) if isinstance(it, str) else it).timed(seconds) for it in written]


def forget(policy: BatchPolicy, episode_idx: int) -> None:
    """Let a policy drop what it keeps about an episode, if it keeps anything."""
    if isinstance(policy, Remembering):
        policy.forget(episode_idx)


def _observation_message(role: str, observation: Observation) -> Message:
    frames = () if observation.frames is None else observation.frames.data
    return message(role, observation.text, frames)
