"""The Gymnasium environment: its own checker finds nothing, and it works with what people wrap around it."""

# ruff: noqa: D417  The episode is not an argument that a model gives to a tool.

import json
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from support.small_media import SMALL_MEDIA

from vt_env.actions.parse import render_action
from vt_env.config import BudgetConfig, MediaConfig
from vt_env.envs.spaces import MAX_TEXT_CHARS, Utf8
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.errors import ConfigError, DataError, EpisodeOver
from vt_env.tasks.task_set import TaskSet
from vt_env.testing import FakeLibrary, FakeVideo, fake_task, fake_tasks, read_second
from vt_env.types import Answer, Malformed, ToolCall

ID = "vt_env/LongVideoQA-v0"
FAKES: dict[str, Any] = {"library": FakeLibrary(), "media": SMALL_MEDIA}
ANSWER_IDX = 6
LOOK = ToolCall("frame_zoom", {"start_s": 320.0, "end_s": 340.0})


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def make(**changes: Any) -> LongVideoQAEnv:
    return LongVideoQAEnv(**{"tasks": fake_tasks(), **FAKES, **changes})


def rollout(env: gym.Env[Any, Any], seed: int, steps: int = 40) -> list[str]:
    """Play random actions, starting anew where an episode ends, and write down all that happens."""
    env.action_space.seed(seed)
    seen = [repr(env.reset(seed=seed))]
    for _ in range(steps):
        result = env.step(env.action_space.sample())
        seen.append(repr(result))
        if result[2] or result[3]:
            seen.append(repr(env.reset()))
    return seen


@pytest.mark.parametrize("perception", ["frames", "captions"])
@pytest.mark.parametrize("budget", ["default", "paper"])
def test_gymnasiums_checker_has_nothing_to_say(perception: str, budget: str):
    env = gym.make(ID, tasks=fake_tasks(), perception=perception, budget=budget, **FAKES)
    check_env(env.unwrapped)


def test_random_play_reaches_every_tool_and_stays_in_the_spaces():
    env = make(perception="frames")
    env.action_space.seed(0)
    errors: list[str | None] = []
    for seed in range(40):
        observation, info = env.reset(seed=seed)
        done = False
        while not done:
            assert env.observation_space.contains(observation)
            observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
            errors.append(info["error"])
            done = terminated or truncated
        assert env.observation_space.contains(observation) and env.render() is None
        assert set(info) >= {"stop_reason", "correct", "answer_status", "reward_terms"}
        assert reward == float(bool(info["correct"]))
    assert errors.count(None) > len(errors) / 2


def test_the_same_seed_gives_the_same_rollout():
    assert rollout(make(), 5) == rollout(make(), 5) != rollout(make(), 6)


def test_the_seed_chooses_the_task_and_an_option_overrides_it():
    env = make(tasks=fake_tasks(50))
    chosen = [env.reset(seed=seed)[1]["task_id"] for seed in range(8)]
    assert chosen == [env.reset(seed=seed)[1]["task_id"] for seed in range(8)] and len(set(chosen)) > 4
    assert env.reset(seed=0, options={"task_id": "fake/33"})[1]["task_id"] == "fake/33"


@pytest.mark.parametrize(
    ("options", "message"), [({"task_id": "x"}, "not among"), ({"task": "x"}, "allowed are 'task_id' and 'budget'")]
)
def test_wrong_reset_options_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        make().reset(options=options)


def test_an_element_of_the_space_an_action_and_a_text_are_the_same_step():
    element = (3, {"start_fraction": np.array(320 / 600), "end_fraction": np.array(340 / 600)})
    results = []
    for action in (element, LOOK, render_action(LOOK)):
        env = make()
        env.reset(seed=0)
        results.append(repr(env.step(action)))
    assert results[0] == results[1] == results[2] and "frames of the video at 05:25 05:35." in results[0]


def test_observations_carry_frames_text_and_budget():
    env = make()
    observation, _ = env.reset(seed=0)
    assert observation["question"] == "what number is beside the red square?"
    assert observation["options"] == ("12", "47", "31", "88") and observation["frames"] == ()
    observation, *_ = env.step(LOOK)
    assert [read_second(frame) for frame in observation["frames"]] == [325, 335]
    assert observation["remaining"] == {"calls": 7, "frames": 14}


def test_a_budget_is_a_preset_with_changes():
    env = make(budget="default,max_calls=3,max_frames=5")
    observation, _ = env.reset(seed=0)
    assert observation["remaining"] == {"calls": 3, "frames": 5}
    for budget, reason in {
        "defualt": "allowed are default, field, paper, tiny, with changes .*; did you mean 'default'",
        "tiny,max_cals=3": "no field 'max_cals'; allowed are max_calls, .*; did you mean 'max_calls'",
        "tiny,max_calls=few": "max_calls is 'few'; need a whole number",
        "tiny,max_calls": "max_calls is ''; need a whole number",
        "tiny,max_calls=0": "max_calls=0: need 1 or more",
    }.items():
        with pytest.raises(ConfigError, match=reason):
            make(budget=budget)


def test_an_answer_ends_an_episode_and_so_does_calling_on_without_calls():
    env = make(budget=BudgetConfig(max_calls=1, max_frames=8))
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step((ANSWER_IDX, 1))
    assert (reward, terminated, truncated, info["stop_reason"]) == (1.0, True, False, "answered")
    assert info["correct"] is True and info["reward_terms"]["accuracy"] == 1.0
    with pytest.raises(EpisodeOver):
        env.step(LOOK)
    env.reset(seed=0)
    env.step(LOOK)
    _, reward, terminated, truncated, info = env.step("?")
    assert (reward, terminated, truncated, info["stop_reason"]) == (0.0, True, False, "out_of_calls")
    assert (info["error"], info["answer_status"]) == ("over_budget", "unparsed")


def test_an_answer_beyond_the_options_of_the_task_is_wrong_and_unparsed():
    few = fake_task(task_id="few")
    many = fake_task(task_id="many")
    many_options = tuple(str(number) for number in range(9))
    object.__setattr__(many.item, "options", many_options)
    env = make(tasks=TaskSet((few, many)))
    env.reset(options={"task_id": "few"})
    *_, info = env.step((ANSWER_IDX, 8))
    assert (info["correct"], info["answer_status"]) == (False, "unparsed")


def test_before_the_end_info_tells_neither_the_key_nor_the_family():
    env = make()
    _, info = env.reset(seed=0)
    assert set(info) == set(env.step(LOOK)[4]) == {"task_id", "video", "duration_s", "image_tokens", "error"}


def test_a_task_without_a_key_has_reward_0_and_no_verdict():
    task = fake_task()
    env = make(tasks=TaskSet((type(task)(task.item, None),)))
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(Answer("47"))
    assert (reward, terminated, info["reward_terms"]) == (0.0, True, {}) and "correct" not in info


def test_a_vector_of_tasks_with_and_without_a_key_tells_which_verdicts_there_are():
    keyed, other = fake_task(), fake_task()
    tasks = [TaskSet((keyed,)), TaskSet((type(other)(other.item, None),))]
    envs = SyncVectorEnv([partial(make, tasks=it) for it in tasks])
    envs.reset(seed=0)
    *_, infos = envs.step((Answer("47"), Answer("47")))
    assert infos["correct"].tolist() == [True, False] and infos["_correct"].tolist() == [True, False]


def test_frames_can_be_written_to_without_spoiling_later_ones():
    env = make()
    env.reset(seed=0)
    first = env.step(LOOK)[0]["frames"][0]
    first[:] = 7
    assert read_second(env.step(LOOK)[0]["frames"][0]) == 325


def test_the_video_of_a_task_is_prepared_before_it_is_opened():
    prepared: list[str] = []
    task = fake_task()
    env = make(tasks=TaskSet((type(task)(task.item, task.gold, lambda ref: prepared.append(ref.handle)),)))
    assert prepared == []
    env.reset(seed=0)
    assert prepared == ["fake"]


def test_a_broken_video_is_an_error_and_not_a_reward():
    env = make(library=FakeLibrary((FakeVideo(broken_from_s=0),)))
    env.reset(seed=0)
    with pytest.raises(DataError):
        env.step(LOOK)
    assert env.episode is not None and env.episode.invalid is not None


def test_a_reset_that_fails_leaves_no_episode_to_go_on_with():
    env = make()
    env.reset(seed=0)
    with pytest.raises(ConfigError):
        env.reset(options={"task_id": "none"})
    with pytest.raises(gym.error.ResetNeeded):
        env.step(Answer("47"))


def test_wrong_arguments_are_refused_when_the_environment_is_made():
    for wrong in (
        {"perception": "ears"},
        {"budget": "huge"},
        {"rewards": "huge"},
        {"tools": "all"},
        {"tasks": "wrld"},
        {"tasks": TaskSet(())},
        {"render_mode": "human"},
    ):
        with pytest.raises(ConfigError):
            make(**wrong)
    for kind, wrong in (
        (MediaConfig, {"max_pixels": 0}),
        (MediaConfig, {"max_pixels": 783}),
        (MediaConfig, {"max_pixels": 784.5}),
        (MediaConfig, {"min_pixels": 12_545}),
        (MediaConfig, {"patch_px": 0}),
        (MediaConfig, {"backend": "ffmpeg"}),
        (MediaConfig, {"frame_rate_hz": float("nan")}),
        (MediaConfig, {"clip_s": float("inf")}),
        (BudgetConfig, {"max_calls": 2.5}),
        (BudgetConfig, {"max_frames": True}),
    ):
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))}="):
            kind(**wrong)


def test_stepping_before_the_first_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded):
        make().step(LOOK)


def scene(episode: Any, mode: Literal["day", "night"], sizes: list[float], name: str = "", loud: bool = False) -> str:
    """Tell what the scene is.

    Args:
        mode: When.
        sizes: Sizes.
        name: Name.
        loud: Whether it is loud.
    """
    return json.dumps([mode, sizes, name, loud])


def test_a_tool_of_ones_own_gets_a_space_and_is_played_at_random():
    env = gym.make(ID, tasks=fake_tasks(), tools=["frame_zoom", scene], **FAKES).unwrapped
    check_env(env)
    env.action_space.seed(0)
    env.reset(seed=0)
    shown = []
    while len(shown) < 3:
        tool_idx, value = env.action_space.sample()
        if tool_idx == 1:
            env.reset(seed=0)
            observation, _, _, _, info = env.step((tool_idx, value))
            assert info["error"] is None
            shown.append(json.loads(observation["text"].split("\n")[0]))
    assert {mode for mode, *_ in shown} <= {"day", "night"} and all(isinstance(it[3], bool) for it in shown)


def test_it_is_pickled_and_its_spec_is_json():
    env = pickle.loads(pickle.dumps(gym.make(ID, tasks=fake_tasks(), **FAKES)))
    assert rollout(env, 5, steps=3) == rollout(gym.make(ID, tasks=fake_tasks(), **FAKES), 5, steps=3)
    spec = gym.spec(ID)
    assert gym.envs.registration.EnvSpec.from_json(spec.to_json()) == spec


def make_fake() -> gym.Env[Any, Any]:
    return gym.make(ID, tasks=fake_tasks(), **FAKES)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_vector_environments_play_as_single_ones_do(kind: str):
    if kind == "sync":
        envs = SyncVectorEnv([make_fake, make_fake])
    else:
        envs = AsyncVectorEnv([make_fake, make_fake], shared_memory=False, context="forkserver")
    try:
        observation, _ = envs.reset(seed=[1, 2])
        expected = [make_fake().reset(seed=seed)[0] for seed in (1, 2)]
        assert observation["text"] == tuple(it["text"] for it in expected)
        envs.action_space.seed(0)
        for _ in range(12):
            observation, rewards, *_ = envs.step(envs.action_space.sample())
        assert rewards.shape == (2,) and len(observation["text"]) == 2
    finally:
        envs.close()


def test_make_vec_works():
    envs = gym.make_vec(ID, num_envs=2, vectorization_mode="sync", tasks=fake_tasks(), **FAKES)
    assert len(envs.reset(seed=0)[0]["question"]) == 2
    envs.close()


def test_wrappers_people_use_work():
    env = gym.wrappers.RecordEpisodeStatistics(gym.wrappers.TimeLimit(make_fake(), 3))
    env.reset(seed=0)
    *_, info = env.step(Answer("47"))
    assert info["episode"]["r"] == 1.0


@pytest.mark.parametrize(("mode", "kind"), [("ansi", str), ("rgb_array", np.ndarray)])
def test_rendering_shows_the_episode(mode: str, kind: type):
    env = gym.make(ID, tasks=fake_tasks(), render_mode=mode, **FAKES)
    env.reset(seed=0)
    before = env.render()
    env.step(LOOK)
    after = env.render()
    assert isinstance(before, kind) and isinstance(after, kind)
    if isinstance(after, np.ndarray):
        assert before.shape == after.shape == (720, 960, 3) and not np.array_equal(before, after)
    else:
        assert "frame_zoom" in after and "frames of the video at 05:25 05:35." in after


def test_texts_in_any_script_are_in_the_space_and_samples_are_words():
    space = Utf8(MAX_TEXT_CHARS, seed=0)
    for text in ("", "naïve 河内 🦜", "a\nb", "x" * MAX_TEXT_CHARS):
        assert text in space
    assert "x" * (MAX_TEXT_CHARS + 1) not in space and 5 not in space
    words = [space.sample() for _ in range(50)]
    assert all(word.isalnum() and len(word) <= 12 for word in words)


def test_importing_the_package_loads_no_decoder_no_index_and_no_deep_learning():
    code = (
        "import sys, vt_env, vt_env.envs.base, vt_env.testing\n"
        "heavy = {'av', 'decord', 'faiss', 'PIL', 'torch', 'transformers', 'trl', 'vllm', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_malformed_action_is_a_step_like_any_other():
    env = make()
    env.reset(seed=0)
    assert env.step(Malformed("?", "what?"))[4]["error"] == "malformed"
