"""The scripted policy plays the second world by tools alone, within the tiny budget."""

import re
from collections import Counter

import numpy as np
import pytest

from agents.baselines.world_script import ScriptedAgent
from agents.rollout import run_episode
from vt_env.config import EnvConfig, tiny_budget
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import Trajectory
from vt_env.prompts import TINY
from vt_env.world.in_memory import in_memory
from vt_env.world2.config import World2Config
from vt_env.world2.families import ALL_FAMILIES
from vt_env.world2.tasks import with_views, world2_tasks

CAPTIONS = EnvConfig("captions", tiny_budget(), prompts=TINY)


def played(*, views: bool, persistence: float = 1.0) -> list[tuple[str, Trajectory]]:
    tasks = world2_tasks("val", config=World2Config(videos=2, duration_max_s=900))
    tasks, library = in_memory(with_views(tasks) if views else tasks)
    agents = [ScriptedAgent(np.random.default_rng(place), persistence) for place in range(len(tasks))]
    return [
        (task.item.family, run_episode(agent, make_episode(task, library, CAPTIONS)))
        for task, agent in zip(tasks, agents, strict=True)
    ]


@pytest.fixture(scope="module")
def with_views_read() -> list[tuple[str, Trajectory]]:
    return played(views=True)


def test_every_family_is_answered_by_looking(with_views_read):
    assert {family for family, _ in with_views_read} == set(ALL_FAMILIES)
    assert [family for family, it in with_views_read if not it.correct] == []
    assert max(len(it.turns) for _, it in with_views_read) <= 9


def test_thoughts_are_of_the_documented_forms(with_views_read):
    thoughts = {family: it.turns[-1].text.partition("<answer>")[0].splitlines() for family, it in with_views_read}
    kind, place = r"\w+ \w+", "(left|right) (high|low)"
    forms = {
        "needle": f"{kind} yes \\d+ answer",
        "place": f"{kind} yes {place} answer",
        "dots": f"{kind} yes dots \\d answer",
        "detail": r"small \d+",
        "pair": f"{kind} yes, {kind} yes \\d+ answer",
        "compare": f"{kind} {place} (large|small) (larger|smaller) (same|other) side answer",
        "flash": f"flash {kind}",
        "motion": f"{kind} {place} (left|right|up|down)",
        "spot": f"{kind} {place}",
        "beside": f"{kind} yes {kind} answer",
    }
    for family, form in forms.items():
        assert any(re.fullmatch(form, it) for it in thoughts[family]), (family, thoughts[family])


def test_captions_of_clips_do_not_hold_what_views_do():
    right = Counter(family for family, it in played(views=False) if it.correct)
    assert right["needle"] == right["subtitle"] == 2
    assert sum(right.values()) - 4 < 0.6 * 2 * (len(ALL_FAMILIES) - 2)


def test_a_script_without_persistence_gives_up():
    calls = [len(it.turns) for _, it in played(views=True, persistence=0.0)]
    assert max(calls) <= 6
