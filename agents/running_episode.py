"""Episode in progress under a policy, and its recording as a trajectory."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat

from agents.base import BatchPolicy, Conversation, Reply, Unanswerable, ask
from vt_env.budget.remaining import Remaining
from vt_env.config import EnvConfig
from vt_env.episode.episode import Episode
from vt_env.episode.reply_record import token_use
from vt_env.episode.trajectory import Trajectory, TurnRecord, record_episode
from vt_env.errors import DataError
from vt_env.hashing import frames_hash
from vt_env.types import Item


@dataclass(frozen=True, slots=True)
class Start:
    """Specification of an episode that has not been opened yet."""

    item: Item
    config: EnvConfig
    build: Callable[[], Episode]
    """Factory of the episode; opens the video and may raise `DataError`."""
    seed: int | None = None
    """Seed of the attempt, recorded in the trajectory."""
    sample: int = 0
    """Number of the attempt at this task, from 0."""


@dataclass(frozen=True)
class EpisodeLimits:
    """Limits of one episode besides its budget. An episode that reaches a limit is stopped and counts as wrong."""

    tokens: int | None = None
    """Maximum prompt and completion tokens, summed over all requests; `None` sets no limit."""
    seconds: float | None = None
    """Maximum wall time in seconds, waiting included. Depends on the machine; `None` sets no limit."""


@dataclass(eq=False)
class RunningEpisode:
    """Episode in progress, with its conversation and records."""

    idx: int
    """Position of the episode in the run."""
    start: Start
    episode: Episode
    policy_name: str
    limits: EpisodeLimits
    start_s: float
    """Value of `time.perf_counter` at the start of the episode."""
    conversation: Conversation = field(init=False)
    replies: list[Reply] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    """Hash of the frames of the question and of each result."""
    limit: str | None = None
    """Name of the limit that stopped the episode."""
    failure: str | None = None
    """Reason for an invalid episode: unreadable video, or a policy that cannot act."""

    @property
    def is_new(self) -> bool:
        """True before the first reply."""
        return not self.replies

    def start_episode(self) -> bool:
        """Render the question. Returns `False` if the video cannot be read; the episode is then invalid."""
        try:
            observation = self.episode.start()
            item, prompts = self.episode.policy_item, self.episode.config.prompts
            parallel = self.episode.config.budget.max_parallel_calls > 1
            self.conversation = Conversation(
                self.idx, item, [observation], prompts=prompts, has_parallel_calls=parallel
            )
        except DataError as reason:
            self.failure = str(reason)
            return False
        self.hashes.append(frames_hash(observation.frames))
        return True

    def ask_and_apply(self, policy: BatchPolicy) -> bool:
        """Ask the policy for one reply and apply it. Returns `False` at the end of the episode."""
        try:
            (reply,) = ask(policy, [self.conversation])
        except Unanswerable as reason:
            self.failure = str(reason)
            return False
        return self.apply(reply)

    def apply(self, reply: Reply) -> bool:
        """Apply a reply. Returns `False` if the episode has ended, is invalid or has reached a limit."""
        self.replies.append(reply)
        self.conversation.replies.append(reply.text)
        try:
            outcome = (
                self.episode.end_full_context()
                if reply.is_context_full
                else self.episode.apply(*self.episode.actions(reply.text))
            )
        except DataError:
            return False
        self.conversation.observations.append(outcome.observation)
        self.hashes += [frames_hash(it.frames) for it in outcome.observation.parts]
        if outcome.stop is not None:
            return False
        self.limit = self._limit()
        return self.limit is None

    def record(self) -> Trajectory:
        """Build the trajectory, with reply records, frame hashes and wall time."""
        texts = [reply.text for reply in self.replies]
        seed, sample = self.start.seed, self.start.sample
        played = record_episode(self.episode, texts, policy=self.policy_name, seed=seed, sample=sample)
        return replace(
            played,
            turns=tuple(self._with_records(played.turns)),
            prompt_frames_hash=self.hashes[0] if self.hashes else "",
            limit=self.limit,
            invalid=played.invalid or self.failure,
            wall_s=round(time.perf_counter() - self.start_s, 6),
        )

    def _with_records(self, turns: Sequence[TurnRecord]) -> Iterator[TurnRecord]:
        """Add what the backend said to the first turn of each reply, and hashes to all that were shown."""
        # Where the data failed between the calls of a reply, the last turns were shown to nobody.
        hashes, replies = chain(self.hashes[1:], repeat("")), iter(self.replies)
        for turn, shown in zip(turns, hashes, strict=False):
            if turn.continues:
                yield replace(turn, frames_hash=shown)
            else:
                reply = next(replies)
                yield replace(turn, frames_hash=shown, reply=reply.record, gate=reply.gate)

    def _limit(self) -> str | None:
        seconds = time.perf_counter() - self.start_s
        if self.limits.seconds is not None and seconds >= self.limits.seconds:
            return "seconds"
        if self.limits.tokens is None:
            return None
        replies = [reply.record for reply in self.replies if reply.record is not None]
        gates = [reply.gate for reply in self.replies if reply.gate is not None and not reply.gate.accepted]
        used = token_use(replies, [gate.reply for gate in gates if gate.reply is not None])
        return "tokens" if used is not None and used.read + used.replies >= self.limits.tokens else None


def open_episode(idx: int, start: Start, policy_name: str, limits: EpisodeLimits | None) -> RunningEpisode | Trajectory:
    """Build and start an episode.

    Args:
        idx: Position of the episode in the run.
        start: Specification of the episode.
        policy_name: Name recorded in the trajectory.
        limits: Limits besides the budget; `None` sets none.

    Returns:
        The running episode, or an invalid trajectory if the video cannot be opened or read.
    """
    start_s = time.perf_counter()
    try:
        episode = start.build()
    except DataError as reason:
        return record_unopened(
            start.item, start.config, str(reason), policy_name=policy_name, seed=start.seed, sample=start.sample
        )
    running = RunningEpisode(idx, start, episode, policy_name, limits or EpisodeLimits(), start_s)
    return running if running.start_episode() else running.record()


def record_unopened(
    item: Item, config: EnvConfig, reason: str, *, policy_name: str = "", seed: int | None = None, sample: int = 0
) -> Trajectory:
    """Build the trajectory of an episode whose video could not be opened: invalid, without turns."""
    return Trajectory(
        task_id=item.task_id,
        video_handle=item.video.handle,
        question=item.question,
        options=item.options,
        prompt_text="",
        perception=config.perception,
        turns=(),
        remaining=Remaining(config.budget.max_calls, config.budget.max_frames),
        stop=None,
        invalid=reason,
        policy=policy_name,
        seed=seed,
        sample=sample,
        family=item.family,
        split=item.split,
        prompts=config.prompts.id,
    )
