"""Errorless readers of the second world: evidence holds every answer; captions and spread frames do not."""

import numpy as np
import pytest

from experiments.bench.fixtures import world2_reader as reader
from experiments.bench.world_ceilings import WorldCeilingsBench, world2_row
from vt_env.tasks.task_set import TaskSet
from vt_env.types import Interval, SubtitleLine
from vt_env.world2.config import World2Config
from vt_env.world2.families import ALL_FAMILIES
from vt_env.world2.tasks import world2_tasks

CONTROLS = ("needle", "subtitle")
"""Families that captions and subtitles hold."""


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return world2_tasks("test", config=World2Config(videos=30))


def chance(tasks: TaskSet, family: str, view) -> float:
    """Expected accuracy of a reader that guesses among the options left."""
    shares = []
    for task in tasks.filter(lambda item: item.family == family):
        left = reader.possible_options(task.item, view(task))
        assert task.gold is not None
        shares.append((task.gold.answer_idx in left) / len(left))
    return float(np.mean(shares))


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_evidence_holds_the_answer_and_captions_hold_that_of_controls_alone(tasks, family):
    assert chance(tasks, family, reader.evidence_view) == 1
    captions = chance(tasks, family, reader.captions_view)
    assert captions == 1 if family in CONTROLS else captions < 0.4
    assert chance(tasks, family, lambda task: reader.uniform_view(task, 8)) < 0.5
    assert chance(tasks, family, lambda task: reader.uniform_view(task, 32)) < 0.65


def test_readers_do_not_rule_out_the_right_option(tasks):
    for view in (reader.captions_view, lambda task: reader.uniform_view(task, 32)):
        for task in tasks:
            assert task.gold and task.gold.answer_idx in reader.possible_options(task.item, view(task))


def test_wrong_captions_leave_a_guess(tasks):
    task = next(it for it in tasks if it.item.family == "needle")
    name = task.item.question.removeprefix("what number is beside the ").rstrip("?")
    wrong = next(str(it) for it in range(10, 100) if str(it) not in task.item.options)
    seen = reader.read_view([SubtitleLine(Interval(0, 10), f"{name} {wrong}")], [])
    assert reader.possible_options(task.item, seen) == [0, 1, 2, 3]


def test_the_table_has_a_column_for_each_reader():
    row = world2_row("pair", WorldCeilingsBench("world2", videos=4))
    assert list(row) == ["random", "blind", "uniform, 8 frames", "uniform, 32 frames", "captions", "oracle"]
    assert row["oracle"].accuracy == 1 and row["oracle"].n == 12
