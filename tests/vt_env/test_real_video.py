"""The environment on a real video: 13 seconds of NASA footage with its own subtitles, decoded and searched for real."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vt_env.config import BudgetConfig, EnvConfig, MediaConfig
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.episode import Episode
from vt_env.media.library import Video, VideoLibrary
from vt_env.types import Answer, Item, ToolCall, VideoRef

VIDEO = Path(__file__).parents[1] / "fixtures" / "nasa_13013.mp4"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    return VideoLibrary(MediaConfig(), tmp_path_factory.mktemp("cache"), "colours").open(VideoRef("nasa", str(VIDEO)))


TIMES = st.one_of(
    st.floats(-1, 15), st.integers(0, 14), st.sampled_from([0.0, 1e-9, 12.9999999999, 13.0]), st.just("the end")
)


@settings(max_examples=30)
@given(TIMES, TIMES, st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_nothing_that_a_model_can_ask_for_makes_a_sound_video_fail(
    video: Video, first: float | str, second: float | str, box: list[float]
):
    end_s = video.duration_s
    start, end = (float(np.nextafter(end_s, 0)) if it == "the end" else it for it in (first, second))
    item = Item("nasa", "Who speaks?", ("NASA", "a bird"), video.ref)
    episode = Episode(item, None, video, EnvConfig(budget=BudgetConfig(max_frames=99, frames_per_zoom=3)))
    episode.start()
    for call in (
        ToolCall("frame_zoom", {"start_s": start, "end_s": end}),
        ToolCall("frame_zoom", {"start_s": start, "end_s": end_s}),
        ToolCall("subtitle_zoom", {"start_s": start, "end_s": end}),
        ToolCall("spatial_zoom", {"time_s": start, "box": box}),
        ToolCall("spatial_zoom", {"time_s": end, "box": [0.0, 0.0, 1e-9, 1e-9]}),
    ):
        assert episode.apply(call).error in (None, "tool_error")


def test_a_real_video_with_its_own_subtitles_is_played(tmp_path: Path):
    video = Path(__file__).parents[1] / "fixtures" / "nasa_13013.mp4"
    row = {
        "video": str(video),
        "question": "Who speaks?",
        "options": ["NASA", "a bird"],
        "answer": 0,
        "evidence": [[0, 5]],
    }
    (tmp_path / "tasks.jsonl").write_text(json.dumps(row))
    choices = {"prompts": "tiny", "encoder": "colours", "cache_dir": tmp_path / "cache", "render_mode": "rgb_array"}
    env = LongVideoQAEnv(tasks=tmp_path, profile="world", **choices)
    observation, info = env.reset(seed=0)
    assert "Video 00:13 long." in observation["text"]
    observation, *_ = env.step(ToolCall("subtitle_zoom", {"start_s": 0, "end_s": 13}))
    assert observation["text"].startswith("00:0")
    observation, _, _, _, info = env.step(ToolCall("frame_zoom", {"start_s": 0, "end_s": "00:14"}))
    assert info["error"] is None and [frame.shape for frame in observation["frames"]] == [(112, 112, 3)] * 2
    observation, _, _, _, info = env.step(ToolCall("spatial_zoom", {"time_s": 5, "box": [0.25, 0.25, 0.75, 0.75]}))
    assert observation["text"].startswith("Crop at 00:05.")
    assert info["error"] is None and observation["frames"][0].shape == (112, 112, 3)
    observation, _, _, _, info = env.step(ToolCall("clip_retrieval", {"query": "blue earth"}))
    assert info["error"] is None and env.observation_space.contains(observation)
    assert env.step(Answer("NASA"))[1] == 1.0 and env.render().shape == (720, 960, 3)
