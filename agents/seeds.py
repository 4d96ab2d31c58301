"""Seeds of attempts and replies, derived so that neither depends on what else is played."""

import zlib

import numpy as np


def attempt_sequence(run_seed: int, task_id: str, sample: int) -> np.random.SeedSequence:
    """Derive the randomness of one attempt from the run's seed, the task and the number of the attempt.

    The number of tasks, their order and what is played beside them do not matter, so a run that is continued or split
    over processes draws what an unbroken one draws.
    """
    return np.random.SeedSequence([run_seed, zlib.crc32(task_id.encode()), sample])


def attempt_seed(run_seed: int, task_id: str, sample: int) -> int:
    """Derive the seed of one attempt, 32 bits; see `attempt_sequence`."""
    return int(attempt_sequence(run_seed, task_id, sample).generate_state(1)[0])


def reply_seed(attempt_seed: int, turn: int) -> int:
    """Derive the seed of one reply, 32 bits, from that of its attempt and the number of replies before it."""
    return int(np.random.SeedSequence([attempt_seed, turn]).generate_state(1)[0])
