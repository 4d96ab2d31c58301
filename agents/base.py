"""Protocols of agents and batch policies, and the conversation that a language model continues.

An agent plays one episode: it reads observations and writes the text that a language model would write. A batch policy
does the same for many episodes at once. Neither knows the answer key; `agents.baselines.oracle` alone is given it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from vt_env.episode.messages import Message, conversation_messages
from vt_env.episode.reply_record import GateRecord, ReplyEnd, ReplyRecord
from vt_env.errors import DataError
from vt_env.prompts import DEFAULT, PromptSet
from vt_env.types import Item, Observation


@dataclass(frozen=True, slots=True)
class Reply:
    """Reply of a policy, with its records."""

    text: str
    record: ReplyRecord | None = None
    """Lengths, log-probabilities and cost; `None` without a language model."""
    gate: GateRecord | None = None
    """Decision of a confidence gate on the direct answer."""

    @property
    def is_context_full(self) -> bool:
        """True if there is no reply, since the conversation no longer fits the model's context."""
        return self.record is not None and self.record.ended is ReplyEnd.CONTEXT

    def timed(self, seconds: float) -> "Reply":
        """Return the reply with its latency in seconds; a latency recorded earlier is kept."""
        if self.record is None or self.record.latency_s is not None:
            return self
        return replace(self, record=replace(self.record, latency_s=round(seconds, 6)))


CONTEXT_FULL = Reply("", ReplyRecord(ReplyEnd.CONTEXT))
"""Reply in place of one that the model's context has no room for; it ends the episode."""


class Unanswerable(DataError):
    """Permanent failure of a policy in one episode; the episode is invalid and the others continue."""


class Agent(Protocol):
    """A policy for one episode at a time."""

    def reset(self, task: Item, observation: Observation) -> None:
        """Begin an episode.

        Args:
            task: Question, options, duration in seconds and starting budget.
            observation: First observation, with the frames shown beside the question, if any.
        """
        ...

    def act(self, observation: Observation) -> str | Reply:
        """Write the next action as text: a thought and a call, or an answer.

        The first call of an episode is given the observation that `reset` was given.
        """
        ...


@dataclass(slots=True, eq=False)
class Conversation:
    """Observations and replies of one open episode."""

    episode_idx: int
    """Position of the episode in the run."""
    task: Item
    """Question, options, duration and starting budget."""
    observations: list[Observation]
    """The opening one first; one more than the replies whenever a policy is asked to act."""
    replies: list[str] = field(default_factory=list)
    """Replies of the policy, unchanged."""
    prompts: PromptSet = DEFAULT
    """Wording of the episode."""
    has_parallel_calls: bool = False
    """Whether a reply may hold several calls."""

    def messages(self, system_text: str) -> list[Message]:
        """Render the conversation as a chat: system, question, then replies and tool results in turn.

        A reply is raw text, its call included; frames stand before the text that names their times.
        """
        return conversation_messages(system_text, self.observations, self.replies, self.prompts.result_role)


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
    """Batch policy with state about open episodes."""

    def forget(self, episode_idx: int) -> None:
        """Drop the state of an episode that has ended, or whose conversation was changed."""
        ...


def ask(policy: BatchPolicy, conversations: Sequence[Conversation]) -> list[Reply]:
    """Ask a policy and record the latency of the replies."""
    if not conversations:
        return []
    start_s = time.perf_counter()
    written = policy.act(conversations)
    seconds = time.perf_counter() - start_s
    return [(Reply(it) if isinstance(it, str) else it).timed(seconds) for it in written]


def forget(policy: BatchPolicy, episode_idx: int) -> None:
    """Drop a policy's state of an episode; does nothing for policies without state."""
    if isinstance(policy, Remembering):
        policy.forget(episode_idx)
