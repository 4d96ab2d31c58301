"""Profiles: the parts that an episode is played with, where nothing else is asked for."""

import json
from dataclasses import replace
from fractions import Fraction

import gymnasium as gym
import pytest
from support.videos import VideoSpec, write_video

from vt_env import PROFILES, Session, SessionSource
from vt_env.config import BudgetConfig, MediaConfig, default_budget, field_budget, paper_budget
from vt_env.errors import ConfigError
from vt_env.integrations.trl import environment_class
from vt_env.media.library import VideoLibrary
from vt_env.media.terminal import say_once
from vt_env.profiles import FIELD, PAPER, WORLD, choose_profile
from vt_env.prompts import DEFAULT
from vt_env.testing import fake_tasks
from vt_env.tools.builtin import PAPER_TOOLS
from vt_env.types import VideoRef

FILM, PAINTED = VideoRef("film", "film.mp4"), VideoRef("world", "w.mp4", world=1)
IDS = ("vt_env/LongVideoQA-v0", "vt_env/LongVideoQAText-v0", "vt_env/LongVideoQANumeric-v0")


@pytest.fixture(scope="module")
def wide_tasks(tmp_path_factory):
    """A question about a video of 640 x 360 pixels and 20 seconds."""
    folder = tmp_path_factory.mktemp("wide")
    write_video(folder / "wide.mp4", VideoSpec(frames=40, fps=Fraction(2), size_px=(640, 360)))
    row = {"video": "wide.mp4", "question": "Which?", "options": ["one", "two"], "answer": 0, "task_id": "wide-1"}
    (folder / "tasks.jsonl").write_text(json.dumps(row) + "\n")
    return folder / "tasks.jsonl"


@pytest.fixture
def settings(tmp_path):
    return {"encoder": "none", "cache_dir": tmp_path}


def test_a_video_of_ones_own_is_played_with_the_field_profile_and_the_terminal_says_so_once(
    wide_tasks, settings, capsys
):
    say_once.cache_clear()
    for _ in range(2):
        env = gym.make(IDS[1], tasks=wide_tasks, **settings)
    observation, _ = env.reset(seed=0)
    assert env.unwrapped.config.budget == field_budget() and env.unwrapped.config.prompts == DEFAULT
    assert {it.shape for it in observation["frames"]} == {(252, 448, 3)} and len(observation["frames"]) == 16
    said = [line for line in capsys.readouterr().err.splitlines() if "profile" in line]
    assert len(said) == 1 and "profile field: frames of up to 112,896 pixels (144 image tokens), 12 calls" in said[0]


@pytest.mark.parametrize("name", IDS)
def test_the_generated_world_is_played_as_before_there_were_profiles(name):
    env = gym.make(name, tasks=fake_tasks(), encoder="none").unwrapped
    config = env.config
    assert (config.media, config.budget, config.prompts) == (MediaConfig(), default_budget(), DEFAULT)
    assert env.profile == replace(WORLD, encoder="none")
    assert gym.make(IDS[0], tasks="world").unwrapped.config == config


@pytest.mark.parametrize("name", IDS)
def test_every_environment_takes_a_profile_by_name(name, wide_tasks, settings):
    config = gym.make(name, tasks=wide_tasks, profile="paper", **settings).unwrapped.config
    assert config.budget == paper_budget() and config.media.frame_size_px((640, 360)) == (224, 112)
    with pytest.raises(ConfigError, match="profile='papr': allowed are world, field, paper; did you mean 'paper'"):
        gym.make(name, tasks=wide_tasks, profile="papr", **settings)


def test_parts_that_are_given_replace_those_of_the_profile(wide_tasks, settings):
    media = MediaConfig(max_pixels=32_768)
    env = gym.make(IDS[0], tasks=wide_tasks, media=media, tools="paper", budget="max_calls=20", **settings).unwrapped
    assert env.config.media == media and [it.name for it in env.tools] == [
        name for name in PAPER_TOOLS if name not in ("clip_retrieval", "caption_zoom")
    ]
    assert env.config.budget == replace(field_budget(), max_calls=20)
    with pytest.raises(ConfigError, match="no field 'max_call'"):
        gym.make(IDS[0], tasks=wide_tasks, budget="max_call=20", **settings)


def test_sessions_and_trl_choose_as_the_environments_do(wide_tasks, tmp_path):
    library = VideoLibrary(FIELD.media, tmp_path, "none")
    session = Session.open(wide_tasks, library=library)
    assert len(session.opening.pictures) == 16 and session.opening.pictures[0].shape == (252, 448, 3)
    small = SessionSource(wide_tasks, profile="world", media=MediaConfig(), library=library)
    assert small.config.budget == default_budget()
    trained = environment_class(wide_tasks, "test", profile="paper", library=library)
    assert trained._config.budget == paper_budget() and trained._config.media == FIELD.media
    assert environment_class(fake_tasks(), library=library)._config.budget == default_budget()


def test_one_video_that_is_not_of_the_world_makes_the_set_one_of_the_field():
    assert choose_profile(None, [PAINTED]) is WORLD
    assert choose_profile(None, [PAINTED, FILM]) is FIELD
    assert choose_profile("paper", [FILM]) is PAPER and choose_profile(FIELD, [PAINTED]) is FIELD


def test_field_frames_have_144_tokens_in_the_patches_of_either_family():
    qwen3 = FIELD.for_model(32, 256 * 256, 16_777_216).media
    assert qwen3.frame_size_px((1920, 1080)) == (512, 288) and FIELD.media.frame_size_px((1920, 1080)) == (448, 252)
    for media in (FIELD.media, qwen3):
        for size_px in ((1920, 1080), (1080, 1920), (640, 480), (720, 720), (2560, 1080)):
            width, height = media.frame_size_px(size_px)
            assert 110 <= width * height // media.patch_px**2 <= 144
    assert PAPER.for_model(32, 1, 10**9) is PAPER


def test_a_model_that_takes_smaller_pictures_is_shown_smaller_ones():
    assert FIELD.for_model(28, 784, 12_544).media == MediaConfig()


def test_a_budget_may_be_changes_of_the_profiles_own():
    assert FIELD.with_parts(budget="max_calls=20").budget == "field,max_calls=20"
    assert FIELD.with_parts(budget="paper").budget == "paper"
    assert FIELD.with_parts(budget=BudgetConfig(max_calls=1)).budget == BudgetConfig(max_calls=1)
    assert FIELD.with_parts() == PROFILES["field"] == FIELD
