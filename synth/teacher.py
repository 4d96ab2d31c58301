"""Teachers: policies that write demonstrations from the public half of a task and tool results.

It never sees the answer key: which of its attempts were right is decided afterwards, by `synth.filters`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from agents.backends.chat_wire import ChatReply, Complete, CompleteEach, NoReply, ReplyStatus
from agents.backends.sampling import Sampling
from agents.base import CONTEXT_FULL, Agent, BatchPolicy, Conversation, Reply
from agents.baselines.world_script import ScriptedAgent
from agents.language.tool_calling_chat import ChatAgent, ChatSampling, ChatTurns
from vt_env.tools.builtin import ANSWER_TOOL
from vt_env.tools.tool import Tool
from vt_env.types import Item

_TASK = (
    "Answer a multiple-choice question about a long video that you cannot watch whole. Search it and look at parts of "
    "it with the tools, one call a turn, and begin with a call. Before each later call write one or two sentences: "
    "what the last result shows that matters, and what you look for next. Name nothing that no tool has shown you. "
    "Look at the evidence before you answer. When results settle the question, or when no call is left, write your "
    "reason in a sentence and then "
)
TEACHER_SYSTEMS: Mapping[str, str] = {
    "tag": f"{_TASK}the letter of the option between <answer> and </answer>.",
    "tool": f"{_TASK}call the tool answer with the letter of the option.",
}
"""System message of chat models that teach, by `PromptSet.answers`; students are trained under that of their own prompt
set."""


def teacher_prompt(answers: str) -> str:
    """Return name and version of a teacher's system message; the version counts up with every change of wording."""
    return "teacher@2" if answers == "tag" else "teacher-tool@2"


def _system(tools: Sequence[Tool]) -> str:
    return TEACHER_SYSTEMS["tool" if ANSWER_TOOL in tools else "tag"]


@runtime_checkable
class Teacher(Protocol):
    """Makes an agent for each attempt at a task."""

    @property
    def name(self) -> str:
        """Name kept in trajectories and on the data card; names every setting that changes what is written."""
        ...

    @property
    def concurrency(self) -> int:
        """Attempts that are played at once."""
        ...

    def agent(self, item: Item, sample: int, rng: np.random.Generator) -> Agent:
        """Make the agent of one attempt.

        Args:
            item: The public half of the task.
            sample: Which attempt at the task it is, from 0.
            rng: All randomness of this attempt.
        """
        ...


class BatchTeacher(Protocol):
    """Makes one policy for many attempts that are played in lock-step: an engine that wants large batches."""

    @property
    def name(self) -> str:
        """As `Teacher.name`."""
        ...

    @property
    def batch_size(self) -> int:
        """Attempts that are played at once."""
        ...

    def policy(self, rngs: Sequence[np.random.Generator]) -> BatchPolicy:
        """Make the policy of one batch, given all randomness of each attempt."""
        ...


@dataclass(frozen=True)
class ScriptedTeacher:
    """The script for the embedded world; needs no model."""

    persistence: float = 0.8
    """Chance to go on after a wrong candidate. Below 1, so that attempts at the same question differ."""

    @property
    def name(self) -> str:
        """Name with the persistence."""
        return f"scripted-{self.persistence:g}"

    @property
    def concurrency(self) -> int:
        """One: it waits for nothing."""
        return 1

    def agent(self, item: Item, sample: int, rng: np.random.Generator) -> Agent:
        """Make a scripted agent; it reads the question from its first observation."""
        return ScriptedAgent(rng, self.persistence)


@dataclass(frozen=True)
class ChatTeacher:
    """A chat model behind a server, one conversation an attempt, many at once."""

    model: str
    """Name of the model."""
    complete: Complete
    """Asks it, from several threads."""
    tools: tuple[Tool, ...]
    sampling: ChatSampling = field(default_factory=ChatSampling)
    concurrency: int = 8

    @property
    def name(self) -> str:
        """Model and sampling."""
        return _name(self.model, self.sampling)

    def agent(self, item: Item, sample: int, rng: np.random.Generator) -> Agent:
        """Make an agent with a fresh conversation."""
        seed = int(rng.integers(2**31))
        return ChatAgent(self.complete, lambda: ChatTurns(self.tools, self.sampling, seed, _system(self.tools)))


@dataclass(frozen=True)
class BatchChatTeacher:
    """A chat model in this process that answers whole batches; calls are read from its text."""

    model: str
    """Name or folder of the model."""
    complete_each: CompleteEach
    """Answers a batch of requests."""
    tools: tuple[Tool, ...]
    sampling: ChatSampling = field(default_factory=ChatSampling)
    batch_size: int = 64

    @property
    def name(self) -> str:
        """Model and sampling."""
        return _name(self.model, self.sampling)

    def policy(self, rngs: Sequence[np.random.Generator]) -> BatchPolicy:
        """Make a policy with a fresh conversation for each attempt."""
        seeds = [int(rng.integers(2**31)) for rng in rngs]
        turns = [ChatTurns(self.tools, self.sampling, seed, _system(self.tools), "tool") for seed in seeds]
        return _BatchChat(self.complete_each, turns)


def _name(model: str, sampling: Sampling) -> str:
    """Name a model with all that is not its own: `model-t0.7`, `model-t0.7-top_p0.9`."""
    given = {name: value for name, value in sampling.record().items() if name not in ("temperature", "max_new_tokens")}
    temperature = [] if sampling.temperature is None else [f"t{sampling.temperature:g}"]
    return "-".join([model, *temperature, *(f"{name}{value}" for name, value in given.items())])


class _BatchChat:
    """Asks for the next reply of all running conversations at once.

    One without a usable reply gets an empty one, which its episode counts as malformed; a full context ends it.
    """

    def __init__(self, complete_each: CompleteEach, turns: Sequence[ChatTurns]) -> None:
        self._complete_each = complete_each
        self._turns = turns

    def act(self, conversations: Sequence[Conversation]) -> list[str | Reply]:
        """Write the next action of each conversation."""
        turns = [self._turns[it.episode_idx] for it in conversations]
        asked = [own.request(it.observations[-1]) for own, it in zip(turns, conversations, strict=True)]
        replies = self._complete_each(asked)
        return [_text(own, reply) for own, reply in zip(turns, replies, strict=True)]


def _text(turns: ChatTurns, reply: ChatReply) -> str | Reply:
    if reply.status is ReplyStatus.TOO_LONG:
        return CONTEXT_FULL
    try:
        return turns.read(reply)
    except NoReply:
        return turns.skip()
