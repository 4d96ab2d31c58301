"""Conformance of integrations: a framework's own client and a bare `Episode` play the same scripted conversations.

    from vt_env.testing import integration_conformance

    def test_my_integration_changes_nothing():
        integration_conformance(my_adapter)

An adapter is a function that plays conversations side by side through the framework and returns what came out.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vt_env.actions.parse import render_action
from vt_env.config import BudgetConfig
from vt_env.envs.base import make_episode
from vt_env.gold import Gold
from vt_env.prompts import OVER
from vt_env.session import SessionSource
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.testing.fakes import FakeLibrary, FakeVideo
from vt_env.types import Answer, Interval, Item, Observation, SubtitleLine, ToolCall, VideoRef

AT_ONCE = 16
"""Conversations that must not mix."""

StepKind = Literal[
    "text tool",
    "picture tool",
    "wrong tool",
    "bad argument",
    "time as text",
    "time as number",
    "several calls",
    "over frames",
    "over calls",
    "answer",
    "after the end",
]
"""Kinds of step of the script; an integration names those that its framework cannot pass on."""


@dataclass(frozen=True, slots=True)
class ScriptedTurn:
    """One turn of a conversation: tool calls, or an answer."""

    kind: StepKind
    calls: tuple[tuple[str, dict[str, object]], ...] = ()
    """Names and arguments; several calls are of one reply and are made in order."""
    answer: str | None = None
    """Letter of the answer."""

    @property
    def texts(self) -> list[str]:
        """The calls, or the answer, one text each, as a model writes them."""
        if self.answer is not None:
            return [render_action(Answer(self.answer))]
        return [render_action(ToolCall(name, arguments)) for name, arguments in self.calls]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A task and what is done about it."""

    task_id: str
    turns: tuple[ScriptedTurn, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """What a client received for one call or answer."""

    text: str
    pictures: tuple[NDArray[np.uint8], ...] = ()
    """Decoded pictures, uint8[H, W, 3] RGB, in order."""
    wire: bytes = b""
    """Every byte that came out, where the framework sends bytes, without ids that are drawn at random."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """One conversation as a client saw it."""

    opening: Received
    """The question."""
    received: tuple[Received, ...]
    """One for each call and each answer, in order."""
    reward: float
    stop: str | None
    """Stop reason as `StopReason`; `None` where the framework is not told."""


Adapter = Callable[[SessionSource, Sequence[Conversation]], Sequence[Played]]
"""Plays the conversations at the same time, with `source.tasks`, `source.config`, `source.tools`, `source.library`."""


def integration_conformance(adapter: Adapter, *, without: Collection[StepKind] = ()) -> None:
    """Check that an integration neither adds, loses, reorders nor mixes anything.

    * Texts, decoded pixels, rewards and stop reasons equal those of a bare `Episode`, pictures in the order of times.
    * 16 conversations at once, each about its own video, give what each gives alone.
    * With another answer key, every byte before the end is the same: nothing tells what is right.

    Args:
        adapter: Plays conversations through the framework's own client.
        without: Steps that the framework cannot pass on; say why beside the call.

    Raises:
        AssertionError: Something differs; the message names the conversation and the step.
    """
    source, conversations = _source(_tasks(0)), _conversations(without)
    played = list(adapter(source, conversations))
    assert len(played) == len(conversations), f"{len(conversations)} conversations, {len(played)} came back"
    for conversation, found in zip(conversations, played, strict=True):
        _compare(conversation, found, _play_bare(source, conversation))
    first = conversations[:2]
    for alone, found in zip(adapter(_source(_tasks(1)), first), played, strict=False):
        _check_bytes(alone, found)


def _source(tasks: TaskSet) -> SessionSource:
    budget = BudgetConfig(max_calls=10, max_frames=7, frames_per_zoom=2)
    library = FakeLibrary(tuple(_video(number) for number in range(AT_ONCE)))
    return SessionSource(tasks, budget=budget, library=library, tools=_TOOLS)


_TOOLS = ["subtitle_retrieval", "subtitle_zoom", "frame_zoom", "spatial_zoom"]


def _video(number: int) -> FakeVideo:
    lines = tuple(SubtitleLine(Interval(at_s, at_s + 4), f"the code of delta is {number}") for at_s in (190, 400))
    return FakeVideo(VideoRef(f"fake{number}", f"fake{number}.mp4"), subtitle_lines=lines)


def _tasks(shift: int) -> TaskSet:
    """Make the tasks; `shift` moves the answer keys."""
    options = ("12", "47", "31", "88")
    return TaskSet(
        tuple(
            Task(
                Item(f"q{number}", "what is the code?", options, _video(number).ref, "codes"),
                Gold((number + shift) % len(options), (Interval(190 + shift, 194 + shift),)),
            )
            for number in range(AT_ONCE)
        )
    )


def _conversations(without: Collection[StepKind]) -> list[Conversation]:
    """Make one conversation a task; every other one runs out of calls."""
    made: list[Conversation] = []
    for number in range(AT_ONCE):
        turns = _spendthrift(number) if number % 2 else _thorough(number)
        made.append(Conversation(f"q{number}", tuple(it for it in turns if it.kind not in without)))
    return made


def _zoom(start_s: object, end_s: object) -> tuple[str, dict[str, object]]:
    return "frame_zoom", {"start_s": start_s, "end_s": end_s}


def _thorough(number: int) -> list[ScriptedTurn]:
    at_s = 200 + 10 * number
    return [
        ScriptedTurn("text tool", (("subtitle_retrieval", {"query": "code delta", "top_k": 1}),)),
        ScriptedTurn("picture tool", (_zoom(at_s, at_s + 8),)),
        ScriptedTurn("wrong tool", (("caption_zoom", {"start_s": 1, "end_s": 2}),)),
        ScriptedTurn("bad argument", (_zoom("soon", 9),)),
        ScriptedTurn("time as text", (_zoom("00:05", "00:08"),)),
        ScriptedTurn("time as number", (_zoom(5, 8),)),
        ScriptedTurn(
            "several calls",
            (
                ("subtitle_zoom", {"start_s": 390, "end_s": "06:50"}),
                ("spatial_zoom", {"time_s": at_s, "box": [0, 0, 0.5, 1]}),
            ),
        ),
        ScriptedTurn("over frames", (_zoom(100, 110),)),
        # Right in every other conversation of this kind.
        ScriptedTurn("answer", answer="A"),
        ScriptedTurn("after the end", (_zoom(100, 110),)),
    ]


def _spendthrift(number: int) -> list[ScriptedTurn]:
    calls = [ScriptedTurn("text tool", (("subtitle_zoom", {"start_s": it, "end_s": 200 + number}),)) for it in range(9)]
    return [
        *calls,
        ScriptedTurn("picture tool", (_zoom(number, number + 1),)),
        ScriptedTurn("over calls", (_zoom(1, 2),)),
        ScriptedTurn("after the end", answer="B"),
    ]


def _play_bare(source: SessionSource, conversation: Conversation) -> Played:
    task = source.tasks.by_id(conversation.task_id)
    episode = make_episode(task, source.library, source.config, source.tools)
    opening, received = _received(episode.start()), list[Received]()
    for turn in conversation.turns:
        for text in turn.texts:
            if episode.stop is None:
                received.append(_received(episode.apply(*episode.actions(text)).observation))
            else:
                received.append(Received(OVER))
    return Played(opening, tuple(received), episode.reward, None if episode.stop is None else str(episode.stop))


def _received(observation: Observation) -> Received:
    frames = () if observation.frames is None else tuple(observation.frames.data)
    return Received(observation.text, frames)


def _compare(conversation: Conversation, found: Played, expected: Played) -> None:
    where = f"conversation {conversation.task_id}"
    _compare_one(f"{where}, question", found.opening, expected.opening)
    kinds = [turn.kind for turn in conversation.turns for _ in turn.texts]
    got, wanted = len(found.received), len(expected.received)
    assert got == wanted, f"{where}: {got} replies to {wanted} calls and answers"
    for kind, one, other in zip(kinds, found.received, expected.received, strict=True):
        _compare_one(f"{where}, {kind}", one, other)
    assert found.reward == expected.reward, f"{where}: reward {found.reward}, need {expected.reward}"
    if found.stop is not None:
        assert found.stop == expected.stop, f"{where}: stop {found.stop!r}, need {expected.stop!r}"


def _compare_one(where: str, found: Received, expected: Received) -> None:
    assert found.text == expected.text, f"{where}: text {found.text!r}, need {expected.text!r}"
    shapes = [[list(it.shape) for it in one.pictures] for one in (found, expected)]
    assert shapes[0] == shapes[1], f"{where}: pictures of {shapes[0]}, need {shapes[1]}"
    for number, (one, other) in enumerate(zip(found.pictures, expected.pictures, strict=True)):
        assert np.array_equal(one, other), f"{where}: picture {number} has other pixels"


def _check_bytes(one: Played, other: Played) -> None:
    """Compare two plays under different answer keys up to the end."""
    for number, (left, right) in enumerate(zip(_before_end(one), _before_end(other), strict=True)):
        assert left.wire == right.wire, f"reply {number} depends on the answer key: {left.wire!r}, {right.wire!r}"


def _before_end(played: Played) -> list[Received]:
    texts = [it.text for it in played.received]
    end = texts.index(OVER) if OVER in texts else len(texts)
    return [played.opening, *played.received[:end]]
