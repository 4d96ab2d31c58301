"""A law: what an episode is charged in image tokens is what Qwen's processors count in the pictures that it shows."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.shaped_video import QWEN2_MEDIA, ShapedVideo
from support.videos import VideoSpec, write_video
from transformers import Qwen2VLImageProcessor

from vt_env.config import BudgetConfig, EnvConfig, MediaConfig
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import record_episode
from vt_env.errors import ConfigError
from vt_env.gold import Gold
from vt_env.media.decode.video_file import read_size_px
from vt_env.media.library import VideoLibrary
from vt_env.tasks.task_set import Task
from vt_env.testing import fake_task
from vt_env.types import Answer, Box, FrameBatch, Item, Observation, ToolCall, VideoRef

LIMITS = {
    28: {"shortest_edge": 3136, "longest_edge": 12_845_056},
    32: {"shortest_edge": 65_536, "longest_edge": 16_777_216},
}
"""`size` in preprocessor_config.json of Qwen/Qwen2.5-VL-7B-Instruct and Qwen/Qwen3-VL-8B-Instruct, by merged patch."""
MEDIA = {"qwen2.5-vl": QWEN2_MEDIA, "qwen3-vl": MediaConfig(131_072, 65_536, 32)}
SHAPES = {
    "wide": VideoSpec(size_px=(640, 360)),
    "tall": VideoSpec(size_px=(180, 320)),
    "four_to_three": VideoSpec(size_px=(320, 240)),
    "square": VideoSpec(size_px=(224, 224)),
    "anamorphic": VideoSpec(size_px=(162, 181), pixel_aspect=Fraction(2), pix_fmt="yuv444p"),
}
Pictures = Sequence[NDArray[np.uint8]]


@cache
def processor(patch_px: int) -> Any:
    return Qwen2VLImageProcessor(patch_size=patch_px // 2, merge_size=2, size=LIMITS[patch_px])


def counted(pictures: Pictures, patch_px: int) -> int:
    """Count image tokens with a processor, each picture checked to keep its size."""
    total = 0
    for picture in pictures:
        _, rows, columns = processor(patch_px)(images=[picture], return_tensors="np")["image_grid_thw"][0].tolist()
        assert (rows * patch_px // 2, columns * patch_px // 2) == picture.shape[:2], "resized"
        total += rows * columns // 4
    return total


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    for name, spec in SHAPES.items():
        write_video(folder / f"{name}.mp4", replace(spec, frames=20))
    return folder


@pytest.mark.parametrize("family", MEDIA)
@pytest.mark.parametrize("shape", SHAPES)
def test_an_episode_is_charged_what_the_processors_count_at_five_aspect_ratios(folder, shape, family):
    media = MEDIA[family]
    item = Item("q", "what is it?", ("one", "two"), VideoRef(shape, str(folder / f"{shape}.mp4")))
    budget = BudgetConfig(max_frames=32, frames_per_zoom=3, global_frames=2, max_image_tokens=9000)
    library = VideoLibrary(media, folder / "cache", "none")
    episode = make_episode(Task(item, Gold(0)), library, EnvConfig(budget=budget, media=media))
    shown = [episode.start()]
    shown.append(look(episode, "frame_zoom", start_s=0.0, end_s=1.0))
    for box in ([0.0, 0.0, 0.5, 0.5], [0.2, 0.1, 0.9, 0.35], [0.4, 0.0, 0.5, 1.0]):
        shown.append(look(episode, "spatial_zoom", time_s=0.5, box=box))
        assert shown[-1].pictures[0].shape[1::-1] == episode.video.picture_size_px(Box(*box))
    pictures = [picture for it in shown for picture in it.pictures]
    assert len(pictures) >= 6 and pictures[0].shape[1::-1] == episode.video.picture_size_px()
    tokens = counted(pictures, media.patch_px)
    assert episode.image_tokens == record_episode(episode).image_tokens == tokens
    assert shown[-1].remaining.image_tokens == 9000 - tokens
    assert shown[0].remaining.frame_tokens == counted(pictures[:1], media.patch_px)
    assert read_size_px(item.video.path) == library.open(item.video).size_px


def test_a_whole_conversation_holds_the_image_tokens_that_it_was_charged():
    from transformers import AutoProcessor

    from vt_env.testing import tiny_vlm

    tiny = tiny_vlm()
    model: Any = AutoProcessor.from_pretrained(tiny.folder)
    image_token = model.tokenizer.convert_tokens_to_ids(model.image_token)
    for task_id, replies in tiny.replies.items():
        session = tiny.source.open(task_id=task_id)
        for reply in replies:
            session.act(reply)
        messages = tiny.messages(task_id)
        ids = model.apply_chat_template(messages, tools=tiny.tool_schemas, tokenize=True, return_dict=False)[0]
        assert ids.count(image_token) == session.episode.image_tokens, task_id
    assert session.episode.image_tokens > 0


def look(episode: Episode, tool: str, **arguments: Any) -> Observation:
    outcome = episode.apply(ToolCall(tool, arguments))
    assert outcome.error is None, outcome.observation.text
    return outcome.observation


def shaped(native_px: tuple[int, int], budget: BudgetConfig, perception: str = "frames") -> Episode:
    media = MEDIA["qwen2.5-vl"]
    task = fake_task()
    return Episode(task.item, task.gold, ShapedVideo(native_px=native_px), EnvConfig(perception, budget, media=media))


LOOKS = st.lists(
    st.one_of(
        st.tuples(st.just("zoom"), st.integers(0, 590), st.integers(1, 9)),
        st.tuples(st.just("crop"), st.integers(0, 590), st.sampled_from([0.2, 0.5, 1.0])),
    ),
    max_size=12,
)
SIDES = st.integers(20, 1200)


def calls(looks: Sequence[tuple[str, int, float]], zoom: str) -> list[ToolCall]:
    return [
        ToolCall(zoom, {"start_s": float(at_s), "end_s": float(at_s + size)})
        if kind == "zoom"
        else ToolCall("spatial_zoom", {"time_s": float(at_s), "box": [0.0, 0.0, size, 1.0]})
        for kind, at_s, size in looks
    ]


@given(native_px=st.tuples(SIDES, SIDES), looks=LOOKS, limit=st.integers(256, 3000), global_frames=st.integers(0, 1))
def test_the_sum_of_what_is_charged_is_what_the_pictures_hold_and_never_above_the_budget(
    native_px, looks, limit, global_frames
):
    budget = BudgetConfig(12, 64, 4, global_frames, max_image_tokens=limit)
    episode = shaped(native_px, budget)
    observations = [episode.start()]
    for call in calls(looks, "frame_zoom"):
        before = episode.remaining
        outcome = episode.apply(call)
        observations.append(outcome.observation)
        if outcome.error is not None:
            assert outcome.error == "over_budget" and "image tokens needed" in outcome.observation.text
            assert not outcome.observation.pictures and episode.remaining.image_tokens == before.image_tokens
        elif call.name == "frame_zoom" and len(outcome.observation.pictures) < 4:
            # Trimmed: one more frame would not have fitted, or the interval holds no more.
            fits = (before.image_tokens or 0) // before.frame_tokens
            duration_s = float(str(call.arguments["end_s"])) - float(str(call.arguments["start_s"]))
            assert len(outcome.observation.pictures) == min(fits, duration_s, 4)
        hold = sum(it.shape[0] // 28 * (it.shape[1] // 28) for o in observations for it in o.pictures)
        assert episode.image_tokens == hold <= limit
        assert outcome.observation.remaining.image_tokens == limit - hold


@given(native_px=st.tuples(SIDES, SIDES), looks=LOOKS, limit=st.integers(256, 2000))
def test_captions_are_charged_what_their_frames_cost_so_the_same_calls_with_frames_fare_alike(native_px, looks, limit):
    budget = BudgetConfig(12, 256, 4, max_image_tokens=limit)
    seen, read = shaped(native_px, budget), shaped(native_px, budget, "captions")
    assert seen.start().remaining == read.start().remaining
    for frames, captions in zip(calls(looks, "frame_zoom"), calls(looks, "caption_zoom"), strict=True):
        outcomes = seen.apply(frames), read.apply(captions)
        assert outcomes[0].error == outcomes[1].error
        assert seen.remaining.image_tokens == read.remaining.image_tokens


def test_without_a_limit_nobody_is_told_and_captions_read_no_frame():
    class Unseen(ShapedVideo):
        def frames_at(self, times_s: Sequence[float]) -> FrameBatch:
            raise AssertionError("read")

    task = fake_task()
    episode = Episode(task.item, task.gold, Unseen(), EnvConfig("captions", media=MEDIA["qwen2.5-vl"]))
    assert "token" not in episode.start().text
    outcome = episode.apply(ToolCall("caption_zoom", {"start_s": 320.0, "end_s": 330.0}))
    assert outcome.error is None and outcome.observation.remaining.image_tokens is None
    assert episode.image_tokens == 0


@pytest.mark.parametrize("perception", ["frames", "captions"])
def test_the_policy_is_told_what_is_left_and_what_a_moment_takes(perception):
    episode = shaped((640, 360), BudgetConfig(max_image_tokens=1000), perception)
    told = "1000 image tokens are left; each moment looked at takes about 120 of them."
    assert episode.start().text.endswith(told)
    zoom = "frame_zoom" if perception == "frames" else "caption_zoom"
    shown = look(episode, zoom, start_s=320.0, end_s=322.0)
    assert shown.text.endswith(told.replace("1000", str(1000 - 2 * 120)))
    assert "image tokens" not in episode.config.prompts.without_budget(shown.text)
    assert episode.apply(Answer("47")).stop is not None


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (
            BudgetConfig(max_image_tokens=127),
            "hold one picture, at 128 image tokens each (media.max_pixels=100352)",
        ),
        (
            BudgetConfig(global_frames=4, max_image_tokens=639),
            "cannot hold global_frames=4 and one picture, at 128 image tokens each",
        ),
    ],
    ids=["below one picture", "below the global frames"],
)
def test_a_budget_below_one_picture_is_refused_at_the_start_with_the_remedy(budget, said):
    with pytest.raises(ConfigError) as refused:
        EnvConfig(budget=budget, media=MEDIA["qwen2.5-vl"])
    assert said in str(refused.value) and "or more, or lower media.max_pixels" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_video_whose_frames_are_larger_than_the_settings_say_is_refused_before_it_is_shown():
    task, budget = fake_task(), BudgetConfig(max_image_tokens=16)
    with pytest.raises(ConfigError, match=r"at 119 image tokens each \(frames of 476 x 196 pixels\)"):
        Episode(task.item, task.gold, ShapedVideo(native_px=(900, 370)), EnvConfig(budget=budget))


@pytest.mark.parametrize("native_px", [(1, 4000), (4000, 1), (8000, 40), (3, 3)])
def test_pictures_of_extreme_shapes_are_counted_as_they_are_shown(native_px):
    for media in MEDIA.values():
        shown_px = media.frame_size_px(native_px)
        picture = np.zeros((shown_px[1], shown_px[0], 3), np.uint8)
        assert media.image_tokens(shown_px) == counted([picture], media.patch_px)


@pytest.mark.parametrize("size_px", [(32, 32), (100, 75), (1000, 30), (57, 57)])
def test_a_picture_of_a_users_own_tool_is_counted_as_the_processor_makes_it(size_px):
    media = MEDIA["qwen2.5-vl"]
    picture = np.zeros((size_px[1], size_px[0], 3), np.uint8)
    _, rows, columns = processor(28)(images=[picture], return_tensors="np")["image_grid_thw"][0].tolist()
    assert media.image_tokens(size_px) == rows * columns // 4
