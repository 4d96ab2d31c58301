"""Image tokens in environments, sessions, curricula, the confidence gate and records."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.shaped_video import QWEN2_MEDIA, ShapedVideo

from agents.language.confidence_gate import LONG_FROM_S, gate_budget, gate_looks
from experiments.settings.models import ModelConfig
from experiments.settings.policies import Setting, layout_of
from vt_env.budget.remaining import Remaining
from vt_env.config import BudgetConfig, EnvConfig, MediaConfig, paper_budget, resolve_budget
from vt_env.envs.curricula import BudgetCurriculum
from vt_env.envs.numeric_env import LongVideoQANumericEnv
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.trajectory import Trajectory, record_episode
from vt_env.errors import ConfigError
from vt_env.prompts import TINY
from vt_env.session import Session
from vt_env.tasks.task_set import TaskSet
from vt_env.testing import FakeLibrary, fake_task
from vt_env.types import ToolCall

LOOK = ToolCall("frame_zoom", {"start_s": 300.0, "end_s": 340.0})
LIMITED = "default,max_image_tokens=600"


def opened(kind: Any = LongVideoQAEnv, budget: Any = LIMITED, **choices: Any) -> Any:
    tasks, library = TaskSet((fake_task(),)), FakeLibrary((ShapedVideo(),))
    return kind(tasks=tasks, library=library, budget=budget, media=QWEN2_MEDIA, **choices)


def test_observations_of_the_typed_environment_hold_the_tokens_left_where_there_is_a_limit():
    env = opened()
    env.reset(seed=0)
    observation, _, _, _, info = env.step(LOOK)
    assert env.observation_space.contains(observation)
    assert observation["remaining"] == {"calls": 7, "frames": 14, "image_tokens": 360} and info["image_tokens"] == 240
    free = opened(budget="default")
    assert set(free.reset(seed=0)[0]["remaining"]) == {"calls", "frames"}


def test_a_numeric_policy_is_shown_no_look_that_the_tokens_do_not_hold():
    env = opened(LongVideoQANumericEnv)
    env.reset(seed=0)
    looks = [idx for idx, name in enumerate(env.action_names) if name.startswith("look_")]
    env.step(env.action_names.index("search_clips"))
    while env.episode.remaining.can_look:
        assert any(env.action_masks()[looks])
        observation = env.step(env.action_names.index("look_at_0"))[0]
    assert not any(env.action_masks()[looks]) and env.episode.remaining.frames > 0
    share = observation[env.feature_slices["budget"]][1]
    assert share == pytest.approx(env.episode.remaining.image_tokens / 600)


def test_a_reset_takes_a_smaller_limit_and_refuses_a_larger_one_and_none():
    env = opened(LongVideoQATextEnv)
    observation = env.reset(seed=0, options={"budget": "default,max_image_tokens=300"})[0]
    assert "300 image tokens are left" in observation["text"]
    for budget in ("default,max_image_tokens=601", "default"):
        with pytest.raises(ConfigError, match=r"reset option budget.max_image_tokens=\w+: need 600 or less"):
            env.reset(options={"budget": budget})


def test_a_curriculum_raises_the_limit():
    env = BudgetCurriculum(opened(), ["default,max_image_tokens=240", LIMITED], promote_at=1.0, window=1)
    left = []
    for _ in range(2):
        left.append(int(env.reset(seed=0)[0]["remaining"]["image_tokens"]))
        env.step((len(env.unwrapped.tools), 1))
    assert left == [240, 600]


def test_a_session_says_what_is_left():
    tasks, library = TaskSet((fake_task(),)), FakeLibrary((ShapedVideo(),))
    session = Session.open(tasks, budget=LIMITED, media=QWEN2_MEDIA, library=library)
    assert session.opening.remaining == Remaining(8, 16, 600, 120)
    outcomes = session.calls([("frame_zoom", {"start_s": 300, "end_s": 340})] * 3)
    assert [it.error for it in outcomes] == [None, None, None]
    assert [len(it.observation.pictures) for it in outcomes] == [2, 2, 1]
    refused = session.call("frame_zoom", {"start_s": 300, "end_s": 340})
    assert refused.error == "over_budget" and "image tokens needed: 120, left: 0" in refused.observation.text


def test_a_record_says_what_was_charged_and_one_of_before_is_read():
    env = opened()
    env.reset(seed=0)
    env.step(LOOK)
    record = record_episode(env.episode)
    assert Trajectory.from_json(record.to_json()) == record and record.image_tokens == 240
    assert record.remaining == Remaining(7, 14, 360, 120)
    before = json.loads(record.to_json())
    del before["image_tokens"], before["remaining"]["image_tokens"], before["remaining"]["frame_tokens"]
    for frame in before["turns"][0]["frames"]:
        del frame["stored_px"]
    read = Trajectory.from_json(json.dumps(before))
    assert read.image_tokens is None and read.remaining == Remaining(7, 14)


@pytest.mark.parametrize("duration_s", [LONG_FROM_S - 1, LONG_FROM_S])
def test_the_gate_keeps_half_of_the_tokens_for_what_follows(duration_s):
    budget = BudgetConfig(8, 64, 8, max_image_tokens=1280)
    gated = gate_budget(budget, duration_s, QWEN2_MEDIA)
    assert gated.max_image_tokens == 1280 and gated.global_frames <= 1280 // 2 // 128
    EnvConfig(budget=gated, media=QWEN2_MEDIA)
    assert gate_looks(budget, QWEN2_MEDIA).top_k == 1
    free = BudgetConfig(8, 64, 8)
    assert gate_budget(free, duration_s, QWEN2_MEDIA) == gate_budget(free, duration_s)


def test_a_policy_whose_budget_holds_no_picture_is_refused_before_any_video_is_opened():
    setting = Setting("default,max_image_tokens=100", media=QWEN2_MEDIA)
    with pytest.raises(ConfigError, match="give 128 or more"):
        layout_of("full", ModelConfig(), setting)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("max_image_tokens=0", "budget.max_image_tokens=0: need 1 or more"),
        ("max_image_tokens=-5", "need a whole number"),
        ("max_image_tokens=1.5", "need a whole number"),
        ("max_image_token=5", "did you mean 'max_image_tokens'"),
    ],
)
def test_a_wrong_change_is_refused(change, said):
    with pytest.raises(ConfigError) as refused:
        resolve_budget(f"paper,{change}")
    assert said in str(refused.value)


def test_no_preset_has_a_limit_and_the_texts_of_shipped_sets_are_what_they_were():
    assert paper_budget().max_image_tokens is None
    assert TINY.key == "96c83802bd282e39" != replace(TINY, budget_image_tokens="{image_tokens} left.").key
    assert TINY.budget_text(Remaining(8, 8), "frames") == "Left: 8 calls, 8 frames."
    assert TINY.budget_text(Remaining(8, 8, 90, 16), "frames").startswith("Left: 8 calls, 8 frames. 90 image tokens")


def test_pictures_of_a_users_own_tool_are_charged_too():
    def panorama(episode: Any) -> Any:
        """Show a wide picture."""
        from vt_env.types import FrameBatch, View

        return View("wide", FrameBatch(np.zeros((1, 56, 1120, 3), np.uint8), np.array([1.0])))

    env = opened(tools=["frame_zoom", panorama])
    env.reset(seed=0)
    assert env.step(ToolCall("panorama", {}))[4]["image_tokens"] == 2 * 40
    assert MediaConfig().image_tokens((1120, 56)) == 80
