"""GRPO keeps tasks with mixed outcomes."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from experiments.runs.read_run import JOURNAL
from experiments.train.mixed_outcome_tasks import mixed_outcome_tasks
from vt_env.budget.remaining import Remaining
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError
from vt_env.testing import fake_tasks
from vt_env.types import StopReason


def rollout(task_id: str, sample: int, *, correct: bool) -> Trajectory:
    return Trajectory(
        task_id=task_id,
        video_handle="v",
        question="?",
        options=("47", "12"),
        prompt_text="",
        perception="frames",
        turns=(),
        remaining=Remaining(1, 1),
        stop=StopReason.ANSWERED,
        answer="47" if correct else "12",
        correct=correct,
        sample=sample,
    )


def write_rollouts(folder: Path, outcomes: dict[str, str]) -> None:
    """Write a journal of outcomes, `r` where a rollout was right."""
    rollouts = [
        rollout(task_id, sample, correct=letter == "r")
        for task_id, letters in outcomes.items()
        for sample, letter in enumerate(letters)
    ]
    if rollouts:
        (folder / JOURNAL).write_text("".join(f"{json.dumps(asdict(it))}\n" for it in rollouts))


def test_only_questions_with_right_and_wrong_rollouts_are_kept_in_their_order(tmp_path):
    tasks = fake_tasks()
    first, second, third = [task.item.task_id for task in tasks]
    write_rollouts(tmp_path, {third: "rwrr", first: "wr", second: "rrrr", "not among the tasks": "rw"})
    assert [task.item.task_id for task in mixed_outcome_tasks(tasks, tmp_path)] == [first, third]


def test_a_rollout_whose_data_failed_is_not_taken_for_a_wrong_one(tmp_path):
    tasks = fake_tasks()
    settled, mixed = (task.item.task_id for task in tasks[:2])
    write_rollouts(tmp_path, {settled: "rr", mixed: "rw"})
    failed = replace(rollout(settled, 2, correct=False), correct=None, stop=None, invalid="no such file")
    with (tmp_path / JOURNAL).open("a") as file:
        file.write(f"{failed.to_json()}\n")
    assert [task.item.task_id for task in mixed_outcome_tasks(tasks, tmp_path)] == [mixed]


@pytest.mark.parametrize("outcomes", [{}, {"a": "rrr", "b": "ww"}])
def test_no_mixed_outcome_is_refused_with_a_remedy(tmp_path, outcomes):
    write_rollouts(tmp_path, outcomes)
    with pytest.raises(ConfigError, match="vt-env rft" if not outcomes else "--samples") as error:
        mixed_outcome_tasks(fake_tasks(), tmp_path)
    assert "\n" not in str(error.value)
