"""A teacher plays tasks in caption space, several attempts a task.

Attempts are independent: the randomness of each is derived from the seed, the task and its number alone. So a run that
is continued, reordered or split over processes writes the trajectories of an unbroken one. The caller keeps them (the
journal of a run directory) and says which are done.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.backends.chat_wire import NoReply, ReplyStatus
from agents.bounded_threads import work_in_threads
from agents.rollout import record_unopened, run_episode, run_many
from agents.seeds import attempt_seed, attempt_sequence
from synth.teacher import BatchTeacher, Teacher
from vt_env.config import EnvConfig
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory, record_episode
from vt_env.errors import DataError
from vt_env.tasks.task_set import Task

Opening = Callable[[Task], Episode]
"""Builds a fresh episode about a task; raises `DataError` where its video cannot be opened."""

_PASSING = (ReplyStatus.RATE_LIMITED, ReplyStatus.TIMED_OUT, ReplyStatus.ERROR, ReplyStatus.UNREADABLE)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one task, not yet made."""

    task: Task
    sample: int
    """Number of the attempt at the task, from 0."""

    @property
    def key(self) -> tuple[str, int]:
        """Task id and number: unique within a run."""
        return (self.task.item.task_id, self.sample)

    def rng(self, seed: int) -> np.random.Generator:
        """Derive the randomness of this attempt from the seed of the run."""
        return np.random.default_rng(attempt_sequence(seed, self.task.item.task_id, self.sample))

    def seed(self, run_seed: int) -> int:
        """Derive the seed of this attempt from the seed of the run."""
        return attempt_seed(run_seed, self.task.item.task_id, self.sample)


def plan_attempts(tasks: Sequence[Task], samples: int, done: Collection[tuple[str, int]] = ()) -> list[Attempt]:
    """List the attempts that are still to be made, task by task.

    Args:
        tasks: What to play.
        samples: Attempts a task (5 in the paper).
        done: Keys of attempts that were made before.
    """
    attempts = [Attempt(task, sample) for task in tasks for sample in range(samples)]
    return [attempt for attempt in attempts if attempt.key not in done]


def may_pass(trajectory: Trajectory) -> bool:
    """Tell whether a model's server failed in a way that may have passed, so that the attempt is made again."""
    return re.match(rf"(teacher|captioner) ({'|'.join(_PASSING)}): ", trajectory.invalid or "") is not None


def generate(
    attempts: Sequence[Attempt], teacher: Teacher | BatchTeacher, opening: Opening, config: EnvConfig, seed: int
) -> Iterator[Trajectory]:
    """Make the attempts and yield each when it is done, in order unless the teacher plays several at once.

    A video that cannot be read, and a teacher without a usable reply, make their own trajectory invalid and no other.

    Args:
        attempts: What to make.
        teacher: Who plays.
        opening: Builds the episodes.
        config: What the episodes are built with, for the record of one that cannot be.
        seed: Seed of the run.
    """
    play = _Play(opening, config, seed)
    if not isinstance(teacher, Teacher):
        for start in range(0, len(attempts), teacher.batch_size):
            yield from play.batch(attempts[start : start + teacher.batch_size], teacher)
    elif teacher.concurrency == 1:
        yield from (play.one(attempt, teacher) for attempt in attempts)
    else:
        made = work_in_threads(lambda attempt, _: play.one(attempt, teacher), attempts, teacher.concurrency)
        yield from (trajectory for _, trajectory in made)


@dataclass(frozen=True, slots=True)
class _Play:
    opening: Opening
    config: EnvConfig
    seed: int

    def one(self, attempt: Attempt, teacher: Teacher) -> Trajectory:
        episode = self._open(attempt, teacher.name)
        if isinstance(episode, Trajectory):
            return episode
        agent = teacher.agent(attempt.task.item, attempt.sample, attempt.rng(self.seed))
        try:
            return run_episode(agent, episode, policy_name=teacher.name, seed=self.seed, sample=attempt.sample)
        except NoReply as reason:
            return replace(
                record_episode(episode, policy=teacher.name, seed=self.seed, sample=attempt.sample),
                invalid=f"teacher {reason}",
            )

    def batch(self, attempts: Sequence[Attempt], teacher: BatchTeacher) -> list[Trajectory]:
        episodes = [self._open(attempt, teacher.name) for attempt in attempts]
        opened = [number for number, it in enumerate(episodes) if isinstance(it, Episode)]
        played = run_many(
            teacher.policy([attempts[number].rng(self.seed) for number in opened]),
            [it for it in episodes if isinstance(it, Episode)],
            policy_name=teacher.name,
            seed=self.seed,
            samples=[attempts[number].sample for number in opened],
        )
        made = dict(zip(opened, played, strict=True))
        unopened = {number: it for number, it in enumerate(episodes) if isinstance(it, Trajectory)}
        return [(made | unopened)[number] for number in range(len(attempts))]

    def _open(self, attempt: Attempt, name: str) -> Episode | Trajectory:
        try:
            return self.opening(attempt.task)
        except DataError as reason:
            item = attempt.task.item
            return record_unopened(
                item, self.config, str(reason), policy_name=name, seed=self.seed, sample=attempt.sample
            )
