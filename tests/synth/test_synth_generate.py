"""Generating attempts: seeded one by one, blind to the answer key, and untouched by a video that fails."""

from dataclasses import replace

import numpy as np
import pytest
from support.small_world import CAPTIONS, SmallWorld, small_world

from synth.generate import Opening, generate, plan_attempts
from synth.teacher import ScriptedTeacher
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import Trajectory
from vt_env.gold import Gold
from vt_env.protocols import Library
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.testing import FakeLibrary, fake_tasks
from vt_env.types import VideoRef

__all__ = ["small_world"]

TEACHER = ScriptedTeacher(persistence=0.5)


def opening(library: Library) -> Opening:
    return lambda task: make_episode(task, library, CAPTIONS)


def play(world: SmallWorld, tasks: TaskSet, samples: int = 2, seed: int = 0) -> list[Trajectory]:
    return list(generate(plan_attempts(tasks, samples), TEACHER, opening(world.library), CAPTIONS, seed))


def with_other_answer(task: Task, rng: np.random.Generator) -> Task:
    others = [idx for idx in range(len(task.item.options)) if idx != task.gold.answer_idx]
    return replace(task, gold=Gold(int(rng.choice(others)), task.gold.evidence))


@pytest.mark.slow
def test_a_permuted_answer_key_changes_nothing_that_the_teacher_sees_or_does(small_world: SmallWorld):
    tasks = small_world.tasks.head(24)
    rng = np.random.default_rng(0)
    permuted = TaskSet(tuple(with_other_answer(task, rng) for task in tasks))
    right, wrong = play(small_world, tasks), play(small_world, permuted)
    assert any(it.correct for it in right)
    assert [it.correct for it in right] != [it.correct for it in wrong]
    assert [hide_score(it).to_json() for it in right] == [hide_score(it).to_json() for it in wrong]


def hide_score(trajectory: Trajectory) -> Trajectory:
    return replace(trajectory, correct=None, reward=0.0, reward_terms={})


def test_an_attempt_is_the_same_whatever_is_played_before_it(small_world: SmallWorld):
    tasks = small_world.tasks.head(12)
    whole = {(it.task_id, it.sample): it for it in play(small_world, tasks, samples=3)}
    for part in play(small_world, TaskSet(tasks.tasks[::-1]), samples=2):
        assert part == whole[part.task_id, part.sample]


def test_attempts_at_a_question_differ_and_so_do_seeds(small_world: SmallWorld):
    needles = small_world.tasks.filter(lambda item: item.family == "needle").head(12)
    attempts = play(small_world, needles, samples=3)
    plays = {(it.task_id, tuple(turn.text for turn in it.turns)) for it in attempts}
    assert len(plays) > len(needles)
    assert attempts != [replace(it, seed=0) for it in play(small_world, needles, samples=3, seed=1)]


def test_the_plan_leaves_out_what_is_done():
    left = plan_attempts(fake_tasks(2), 2, done={("fake/0", 0), ("fake/1", 1), ("gone", 0)})
    assert [attempt.key for attempt in left] == [("fake/0", 1), ("fake/1", 0)]


def test_a_video_that_does_not_open_is_recorded_and_the_others_are_played():
    first, second = fake_tasks(2)
    missing = replace(first, item=replace(first.item, video=VideoRef("gone", "gone.mp4")))
    tasks = TaskSet((missing, second))
    broken, played = generate(plan_attempts(tasks, 1), TEACHER, opening(FakeLibrary()), CAPTIONS, seed=5)
    assert "not in this library" in broken.invalid
    assert (broken.task_id, broken.seed, broken.policy, broken.turns) == ("fake/0", 5, "scripted-0.5", ())
    assert played.invalid is None and played.turns
