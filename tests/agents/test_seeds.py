"""Seeds are those of runs made before, so that a continued run draws what it would have drawn."""

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agents.seeds import attempt_seed, attempt_sequence, reply_seed
from synth.generate import Attempt
from vt_env.testing import fake_task


def test_the_seeds_of_known_attempts_and_replies_are_those_of_earlier_runs():
    assert [attempt_seed(run, name, sample) for run, name, sample in KNOWN_ATTEMPTS] == KNOWN_SEEDS
    assert [reply_seed(7, turn) for turn in range(3)] == KNOWN_REPLY_SEEDS


@given(st.integers(0, 2**31), st.text(), st.integers(0, 100))
def test_an_attempt_depends_on_the_run_the_task_and_its_number_alone(run_seed: int, task_id: str, sample: int):
    words = [run_seed, zlib.crc32(task_id.encode("utf-8", "replace")), sample]
    name = task_id.encode("utf-8", "replace").decode()
    first = np.random.SeedSequence(words)
    assert attempt_seed(run_seed, name, sample) == int(first.generate_state(1)[0])
    drawn = np.random.default_rng(attempt_sequence(run_seed, name, sample)).integers(2**63)
    assert drawn == np.random.default_rng(first).integers(2**63)


def test_synthesis_and_rejection_sampling_derive_the_same_attempt():
    attempt = Attempt(fake_task(task_id="a"), 2)
    assert attempt.seed(3) == attempt_seed(3, "a", 2)
    assert attempt.rng(3).integers(2**63) == np.random.default_rng(attempt_sequence(3, "a", 2)).integers(2**63)


KNOWN_ATTEMPTS = ((0, "world/0", 0), (0, "world/0", 1), (7, "task-3", 4))
KNOWN_SEEDS = [1255179567, 2032929729, 1442978076]
KNOWN_REPLY_SEEDS = [2083679832, 369571992, 1009178997]
