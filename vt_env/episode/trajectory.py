"""Trajectories: the record of one episode as one JSON line. Pictures are named (`FrameRef`), never stored.

Every line carries the schema version; a reader refuses other versions. What can be computed from the record is a
property, not a field. Fields that a reader may miss in older files have defaults.

What is the same for all episodes of a run (commit, versions, annotation hash, prompt id, sampler, model, engine) stands
once in the run's `provenance.json`, under the id that `Trajectory.provenance` names. Fields ending in `_s` that a clock
measured (`wall_s`, `ReplyRecord.latency_s`) differ from run to run; `without_times` drops them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vt_env.actions.parse import render_actions
from vt_env.budget.remaining import Remaining
from vt_env.episode.episode import Episode
from vt_env.episode.reply_record import GateRecord, ReplyEnd, ReplyRecord, TokenUse, token_use
from vt_env.errors import DataError
from vt_env.jsonl import decode_object, decode_record, encode_record, read_jsonl, write_lines
from vt_env.prompts import TINY
from vt_env.types import NOT_PLAYED, Action, FrameRef, Interval, Malformed, StopReason, ToolCall, Turn

__all__ = [
    "SCHEMA_VERSION",
    "CallRecord",
    "FrameRef",
    "GateRecord",
    "ReplyEnd",
    "ReplyRecord",
    "TokenUse",
    "Trajectory",
    "TurnRecord",
    "read_trajectories",
    "record_episode",
    "write_trajectories",
]

SCHEMA_VERSION = 1

_SIDE = re.compile(rb'"frame_px": ?(\d+)')
"""Side of a square frame in records of before frames had the shape of their video. No text of a record matches: the
quotation marks in a text are escaped."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A tool call as read, times in seconds."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One action: the policy's text and the observation it led to.

    A reply with several calls is several of these, one a call, since each has its own price, error and evidence; so
    whatever reads a trajectory call by call needs no second loop, and a reply with one call is recorded as it always
    was. `Trajectory.by_reply` gives the replies.
    """

    text: str
    """Reply of the policy, unchanged; `vt_env.actions.parse.ActionReader` reads the actions. Empty where `continues`,
    since the first call of the reply holds it."""
    call: CallRecord | None
    """`None` for an answer and for malformed text."""
    observation_text: str
    frames: tuple[FrameRef, ...] = ()
    viewed: tuple[Interval, ...] = ()
    error: str | None = None
    """As in `vt_env.types.Outcome.error`."""
    frames_hash: str = ""
    """`vt_env.hashing.frames_hash` of the frames shown; empty where none were, or where nobody kept it."""
    reply: ReplyRecord | None = None
    """What the backend said about the reply; `None` where no model was asked. Where a policy turned what the model
    wrote into another action, such as an early answer into a look, it speaks of what the model wrote."""
    gate: GateRecord | None = None
    """Decision of a confidence gate before this turn, if there was one."""
    form: str = ""
    """Form in which the action was written, as `vt_env.types.ToolCall.form`; empty for our own form."""
    continues: bool = False
    """Whether it is a further call of the reply of the turn before."""

    def without_times(self) -> "TurnRecord":
        """Return it without what a clock measured."""
        reply = None if self.reply is None else self.reply.without_times()
        gate = self.gate
        if gate is not None and gate.reply is not None:
            gate = replace(gate, reply=gate.reply.without_times())
        return replace(self, reply=reply, gate=gate)


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One episode, from the question to the stop."""

    task_id: str
    video_handle: str
    question: str
    options: tuple[str, ...]
    prompt_text: str
    """Text of the first observation."""
    perception: str
    turns: tuple[TurnRecord, ...]
    remaining: Remaining
    stop: StopReason | None
    """`None` where the episode did not end by itself: it is invalid or was broken off."""
    answer: str | None = None
    correct: bool | None = None
    """`None` where nothing was scored."""
    reward: float = 0.0
    reward_terms: Mapping[str, float] = field(default_factory=lambda: {})
    invalid: str | None = None
    """Failure that makes the episode unusable; `None` without one."""
    prompt_frames: tuple[FrameRef, ...] = ()
    """Frames shown with the question."""
    policy: str = ""
    seed: int | None = None
    sample: int = 0
    """Index of the policy's attempt at this task."""
    family: str = ""
    split: str = "test"
    prompt_frames_hash: str = ""
    """As `TurnRecord.frames_hash`, of the frames shown with the question."""
    limit: str | None = None
    """The limit of the runner at which the episode was broken off, `"tokens"` or `"seconds"`. Such an episode has no
    `stop` and is wrong where there is a key: the policy did not answer within what it was given."""
    provenance: str = ""
    """Key of `origins` in the run's `provenance.json`."""
    wall_s: float | None = None
    """Seconds from the first look at the question to the end, waiting included."""
    prompts: str = TINY.id
    """Name and version of the prompt set, as `PromptSet.id`. Records without it are of the time before there were
    several."""
    duration_s: float | None = None
    """Length of the video in seconds; `None` in older records and where the video does not open."""
    image_tokens: int | None = None
    """Image tokens of all pictures shown, as `Episode.image_tokens`; `None` in older records."""
    max_frames: int | None = None
    """Frames of the episode's budget, as `BudgetConfig.max_frames`; `None` in older records."""
    schema: int = SCHEMA_VERSION

    @property
    def calls(self) -> int:
        """Number of turns that cost a call."""
        return len(self.paid_turns)

    @property
    def paid_turns(self) -> tuple[TurnRecord, ...]:
        """Turns that cost a call: all but an answer, the one after the last call, and calls that were not played."""
        turns = self.turns if self.stop is None else self.turns[:-1]
        return tuple(turn for turn in turns if turn.error != NOT_PLAYED)

    @property
    def by_reply(self) -> tuple[tuple[TurnRecord, ...], ...]:
        """The turns of each reply, in order."""
        replies: list[list[TurnRecord]] = []
        for turn in self.turns:
            if turn.continues and replies:
                replies[-1].append(turn)
            else:
                replies.append([turn])
        return tuple(map(tuple, replies))

    @property
    def frames(self) -> tuple[FrameRef, ...]:
        """All frames shown, in order."""
        return self.prompt_frames + tuple(frame for turn in self.turns for frame in turn.frames)

    @property
    def viewed(self) -> tuple[Interval, ...]:
        """All intervals viewed, in order."""
        return tuple(interval for turn in self.turns for interval in turn.viewed)

    @property
    def errors(self) -> tuple[str, ...]:
        """Kinds of the failures of actions, in order."""
        return tuple(turn.error for turn in self.turns if turn.error is not None)

    @property
    def replies(self) -> tuple[ReplyRecord, ...]:
        """Records of the model's replies that are part of the conversation, in order."""
        return tuple(turn.reply for turn in self.turns if turn.reply is not None)

    @property
    def gate(self) -> GateRecord | None:
        """Decision of the confidence gate, if there was one."""
        return next((turn.gate for turn in self.turns if turn.gate is not None), None)

    @property
    def ended(self) -> ReplyEnd | None:
        """Finish reason of the model's last reply; `None` where no model wrote any."""
        return self.replies[-1].ended if self.replies else None

    @property
    def confidence(self) -> float | None:
        """Confidence of the model's last reply, as `ReplyRecord.confidence`; `None` where it holds no answer."""
        return self.replies[-1].confidence if self.replies else None

    @property
    def tokens(self) -> TokenUse | None:
        """Tokens by role; `None` where no backend has counted them."""
        return token_use(list(self.replies), [it.reply for it in self._turned_down if it.reply is not None])

    @property
    def latency_s(self) -> float:
        """Seconds that replies were waited for, direct answers included."""
        return sum(it.latency_s or 0.0 for it in self._all_replies)

    @property
    def cost_usd(self) -> float:
        """Cost of the replies in US dollars, direct answers included."""
        return sum(it.cost_usd for it in self._all_replies)

    @property
    def _turned_down(self) -> list[GateRecord]:
        return [turn.gate for turn in self.turns if turn.gate is not None and not turn.gate.accepted]

    @property
    def _all_replies(self) -> list[ReplyRecord]:
        return [*self.replies, *(it.reply for it in self._turned_down if it.reply is not None)]

    def without_times(self) -> "Trajectory":
        """Return the record without what a clock measured: equal for two runs of a deterministic policy."""
        return replace(self, wall_s=None, turns=tuple(turn.without_times() for turn in self.turns))

    def to_json(self) -> str:
        """Write the record as one line of JSON in ASCII.

        Raises:
            ValueError: A number is not finite.
        """
        return encode_record(self)

    @staticmethod
    def from_json(line: str | bytes) -> "Trajectory":
        """Read a record back.

        Raises:
            DataError: The line is no record, or one of another schema version.
        """
        try:
            version = decode_object(line)["schema"]
        except (ValueError, KeyError):
            raise DataError(f"not a trajectory: {line[:60]!r}; need a JSON object with 'schema'") from None
        if version != SCHEMA_VERSION:
            raise DataError(f"schema {version}: this version reads schema {SCHEMA_VERSION}; record the episodes again")
        try:
            return decode_record(_SIDE.sub(rb'"size_px": [\1, \1]', _encoded(line)), Trajectory)
        except ValueError as reason:
            raise DataError(f"damaged trajectory: {reason}; record the episode again") from reason


def record_episode(
    episode: Episode,
    texts: Sequence[str] | None = None,
    *,
    policy: str = "",
    seed: int | None = None,
    sample: int = 0,
) -> Trajectory:
    """Record an episode, whether it has ended, became invalid or was broken off.

    Args:
        episode: The episode, started.
        texts: What the policy wrote, one text a reply; `None` renders the actions.
        policy: Name of the policy.
        seed: Seed of the policy, if it has one.
        sample: Which attempt of the policy at this task.

    Raises:
        ValueError: There are fewer texts than replies.
    """
    item = episode.item
    written = _texts(episode.turns) if texts is None else texts
    replies = sum(not turn.continues for turn in episode.turns)
    if len(written) < replies:
        raise ValueError(f"{len(written)} texts for {replies} replies: need one text a reply")
    # An invalid episode has no turn for the action that broke it, so the last text may have none.
    waiting = iter(written)
    turns = tuple(_turn_record("" if turn.continues else next(waiting), turn) for turn in episode.turns)
    return Trajectory(
        task_id=item.task_id,
        video_handle=item.video.handle,
        question=item.question,
        options=item.options,
        prompt_text=episode.prompt_text,
        perception=episode.perception.name,
        turns=turns,
        remaining=episode.remaining,
        stop=episode.stop,
        answer=None if episode.answer is None else episode.answer.text,
        correct=episode.correct,
        reward=episode.reward,
        reward_terms=episode.reward_terms(),
        invalid=episode.invalid,
        prompt_frames=episode.prompt_frames,
        policy=policy,
        seed=seed,
        sample=sample,
        family=item.family,
        split=item.split,
        prompts=episode.config.prompts.id,
        duration_s=episode.video.duration_s,
        image_tokens=episode.image_tokens,
        max_frames=episode.config.budget.max_frames,
    )


def write_trajectories(path: str | Path, trajectories: Iterable[Trajectory]) -> None:
    """Write records to a JSONL file, whole or not at all."""
    write_lines(Path(path), (trajectory.to_json() for trajectory in trajectories))


def read_trajectories(path: str | Path, *, skip_torn: bool = False) -> Iterator[Trajectory]:
    """Read records one by one.

    Args:
        path: A JSONL file.
        skip_torn: Leave out a last line that was cut off, which a killed writer leaves.

    Raises:
        DataError: A line is no record or one of another schema version; the message names file and line.
    """
    return read_jsonl(Path(path), Trajectory.from_json, skip_torn=skip_torn)


def _encoded(line: str | bytes) -> bytes:
    # Half a surrogate pair, which a server may send, stays what it is.
    return line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")


def _turn_record(text: str, turn: Turn) -> TurnRecord:
    action = turn.action
    call = CallRecord(action.name, dict(action.arguments)) if isinstance(action, ToolCall) else None
    form = "" if isinstance(action, Malformed) else action.form
    return TurnRecord(
        text, call, turn.observation_text, turn.frames, turn.viewed, turn.error, form=form, continues=turn.continues
    )


def _texts(turns: Sequence[Turn]) -> list[str]:
    """Write each reply of an episode that no text was written for."""
    replies: list[list[Action]] = []
    for turn in turns:
        if turn.continues:
            replies[-1].append(turn.action)
        else:
            replies.append([turn.action])
    return [render_actions(actions) for actions in replies]
