"""What an agent is, what it is shown, and the conversation that a language model continues.

An agent plays one episode: it reads observations and writes the text that a language model would write. A batch policy
does the same for many episodes at once. Neither knows the answer key; `agents.oracle` alone is given it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vt_env.chat import Message, message
from vt_env.types import Observation, parse_time

_OPENING = re.compile(r"^Question: (.*?)\n((?:[A-Z]\. .*\n)+)Video (\d+:\d\d) long\.", re.DOTALL)
_OPTION = re.compile(r"^[A-Z]\. (.*)$", re.MULTILINE)


class Agent(Protocol):
    """A policy for one episode at a time."""

    def reset(self, observation: Observation) -> None:
        """Begin an episode whose question is `observation`."""
        ...

    def act(self, observation: Observation) -> str:
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

    Raises:
        ValueError: The text is not such an opening.
    """
    match = _OPENING.match(text)
    duration_s = parse_time(match.group(3)) if match else None
    if match is None or duration_s is None:
        raise ValueError(f"opening text {text[:80]!r}: need 'Question: ...', lettered options and 'Video mm:ss long.'")
    return Opening(match.group(1), tuple(_OPTION.findall(match.group(2))), duration_s)


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

    def act(self, conversations: Sequence[Conversation]) -> list[str]:
        """Write the next action of each conversation, in the same order.

        Episodes that have ended are left out, so a call may hold fewer conversations than the one before.
        """
        ...


def _observation_message(role: str, observation: Observation) -> Message:
    frames = () if observation.frames is None else observation.frames.data
    return message(role, observation.text, frames)
