"""The journal of GRPO holds every rollout that was trained on, once, wherever the run was killed."""

from dataclasses import replace

import pytest

pytest.importorskip("accelerate", reason="needs the train extra")

from experiments.runs.read_run import JOURNAL
from experiments.runs.run_dir import Run
from experiments.train.grpo_rollout_journal import RolloutJournal
from vt_env.config import EnvConfig
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import Trajectory, read_trajectories, record_episode
from vt_env.testing import FakeLibrary, fake_task

pytestmark = pytest.mark.slow


def rollouts(*rewards: float) -> list[Trajectory]:
    episode = make_episode(fake_task(), FakeLibrary(), EnvConfig())
    episode.start()
    return [replace(record_episode(episode), reward=reward) for reward in rewards]


def lines(run: Run) -> list[tuple[int, float]]:
    return [(it.sample, it.reward) for it in read_trajectories(run.path / JOURNAL)]


def test_rollouts_are_numbered_through_the_steps(tmp_path):
    run = Run(tmp_path)
    write = RolloutJournal(run, rollouts_per_step=2)
    write(0, rollouts(0.1, 0.2))
    write(1, rollouts(0.3))
    write(2, rollouts(0.4, 0.5))
    assert lines(run) == [(0, 0.1), (1, 0.2), (2, 0.3), (4, 0.4), (5, 0.5)]


def test_a_run_that_goes_on_from_a_checkpoint_takes_out_what_it_does_again(tmp_path):
    run = Run(tmp_path)
    before = RolloutJournal(run, rollouts_per_step=2)
    for step in range(3):
        before(step, rollouts(0.1, 0.1))
    after = RolloutJournal(run, rollouts_per_step=2)
    after(1, rollouts(0.9, 0.9))
    assert lines(run) == [(0, 0.1), (1, 0.1), (2, 0.9), (3, 0.9)]
    after(2, rollouts(0.9, 0.9))
    assert lines(run)[2:] == [(2, 0.9), (3, 0.9), (4, 0.9), (5, 0.9)]


def test_refills_of_a_step_are_numbered_behind_its_first_rollouts(tmp_path):
    run = Run(tmp_path)
    write = RolloutJournal(run, rollouts_per_step=8, policy="grpo (control: shuffled rewards)")
    for step in (0, 0, 1):
        write(step, rollouts(0.1, 0.2))
    assert [sample for sample, _ in lines(run)] == [0, 1, 2, 3, 8, 9]
    assert {it.policy for it in read_trajectories(tmp_path / JOURNAL)} == {"grpo (control: shuffled rewards)"}
    again = RolloutJournal(run, rollouts_per_step=8)
    again(1, rollouts(0.9))
    assert [sample for sample, _ in lines(run)] == [0, 1, 2, 3, 8]


def test_other_processes_write_nothing(tmp_path):
    RolloutJournal(None, rollouts_per_step=2)(0, rollouts(0.1))
    assert not list(tmp_path.iterdir())
