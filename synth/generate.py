"""A teacher plays tasks in caption space, several attempts a task.

Attempts are independent: the randomness of each is derived from the seed, the task and its number alone. So a run that
is continued, reordered or split over processes writes the trajectories of an unbroken one. The caller keeps them (the
journal of a run directory) and says which are done.
"""

import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agents.rollout import record_unopened, run_episode
from synth.teacher import Teacher
from vt_env.config import EnvConfig
from vt_env.env import make_episode
from vt_env.errors import DataError
from vt_env.sources import Library
from vt_env.tasks import Task
from vt_env.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one task, not yet made."""

    task: Task
    sample: int
    """Which attempt at the task it is, from 0."""

    @property
    def key(self) -> tuple[str, int]:
        """What tells attempts of a run apart."""
        return (self.task.item.task_id, self.sample)

    def rng(self, seed: int) -> np.random.Generator:
        """Derive the randomness of this attempt from the seed of the run."""
        words = [seed, zlib.crc32(self.task.item.task_id.encode()), self.sample]
        return np.random.default_rng(np.random.SeedSequence(words))


def plan_attempts(tasks: Sequence[Task], samples: int, done: Collection[tuple[str, int]] = ()) -> list[Attempt]:
    """List the attempts that are still to be made, task by task.

    Args:
        tasks: What to play.
        samples: Attempts a task (5 in the paper).
        done: Keys of attempts that were made before.
    """
    attempts = [Attempt(task, sample) for task in tasks for sample in range(samples)]
    return [attempt for attempt in attempts if attempt.key not in done]


def generate(
    attempts: Sequence[Attempt], teacher: Teacher, library: Library, config: EnvConfig, seed: int
) -> Iterator[Trajectory]:
    """Make the attempts one by one; a video that fails makes its own trajectory invalid and no other.

    Args:
        attempts: What to make.
        teacher: Who plays.
        library: Opens the videos.
        config: Perception and budget of the episodes.
        seed: Seed of the run.
    """
    for attempt in attempts:
        yield _make(attempt, teacher, library, config, seed)


def _make(attempt: Attempt, teacher: Teacher, library: Library, config: EnvConfig, seed: int) -> Trajectory:
    item, sample = attempt.task.item, attempt.sample
    try:
        episode = make_episode(attempt.task, library, config)
    except DataError as reason:
        return record_unopened(item, config, str(reason), policy_name=teacher.name, seed=seed, sample=sample)
    agent = teacher.agent(item, sample, attempt.rng(seed))
    return run_episode(agent, episode, policy_name=teacher.name, seed=seed, sample=sample)
