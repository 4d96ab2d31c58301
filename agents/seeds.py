"""Seeds of attempts and replies, independent of the other episodes of a run."""

import zlib

import numpy as np


def attempt_sequence(run_seed: int, task_id: str, sample: int) -> np.random.SeedSequence:
    """Derive the seed sequence of one attempt from the run's seed, the task and the number of the attempt.

    The number and order of the other tasks have no influence, so a resumed run, or one split over processes, draws the
    same numbers as an uninterrupted run.
    """
    return np.random.SeedSequence([run_seed, zlib.crc32(task_id.encode()), sample])


def attempt_seed(run_seed: int, task_id: str, sample: int) -> int:
    """Derive the seed of one attempt, 32 bits; see `attempt_sequence`."""
    return int(attempt_sequence(run_seed, task_id, sample).generate_state(1)[0])


def reply_seed(attempt_seed: int, turn: int) -> int:
    """Derive the seed of one reply, 32 bits, from the seed of its attempt and the number of earlier replies."""
    return int(np.random.SeedSequence([attempt_seed, turn]).generate_state(1)[0])
