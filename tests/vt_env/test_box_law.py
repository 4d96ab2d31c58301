"""A law: whatever a policy boxes in a picture that it was shown is what the closer look holds, and no picture has bars.

`support.place_videos` makes the videos. The other ways to a model have their files: `test_mcp_boxes.py`,
`tests/agents/test_boxes_of_backends.py`, `tests/experiments/test_boxes_of_records.py`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.place_videos import (
    BLUE,
    BOXES,
    SPECS,
    Pixels,
    Shown,
    assert_law,
    assert_same_place,
    drawn_pictures,
    has_shape_of_video,
    looks,
    opened,
    paint_place,
    shapes,
    tasks,
)

from vt_env.actions.parse import render_action
from vt_env.config import EnvConfig
from vt_env.envs.base import make_episode
from vt_env.envs.letterbox import letterbox
from vt_env.envs.numeric_env import LongVideoQANumericEnv
from vt_env.envs.numeric_features import NumericConfig
from vt_env.envs.storyboard import draw_storyboard
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.messages import Message
from vt_env.integrations.trl import environment_class
from vt_env.media.search.encoders import ColourNameEncoder
from vt_env.session import SessionSource
from vt_env.types import Box, FrameBatch, VideoRef

__all__ = ["shapes"]


def pictures_of(messages: Sequence[Message]) -> list[Pixels]:
    blocks = [block for it in messages if not isinstance(it["content"], str) for block in it["content"]]
    return [np.asarray(block["image"]) for block in blocks if block["type"] == "image"]


def look(folder: Path, name: str, box: Sequence[float]) -> Shown:
    """An episode shows a frame and the box of it."""
    episode = make_episode(tasks(folder, name)[0], opened(folder), EnvConfig())
    episode.start()
    frame, crop = (episode.apply(action).observation.frames for action in looks(box))
    return frame.data[0], crop.data[0]


def look_in_text(folder: Path, name: str, box: Sequence[float]) -> Shown:
    env = LongVideoQATextEnv(tasks(folder, name), library=opened(folder), profile="world")
    env.reset(seed=0)
    for action in looks(box):
        observation = env.step(render_action(action))[0]
        assert env.observation_space.contains(observation)
    messages = pictures_of(env.messages())
    assert (messages[-1] == observation["frames"][0]).all()
    return messages[0], messages[-1]


def look_in_trl(folder: Path, name: str, box: Sequence[float]) -> Shown:
    environment = environment_class(tasks(folder, name), library=opened(folder), profile="world")()
    environment.reset(task_id=name, seed=0, prompt=[])
    frame = environment.frame_zoom(start_s="1", end_s="2")
    crop = environment.spatial_zoom(time_s="1", box=list(box))
    first, *_ = pictures_of([{"role": "tool", "content": frame}])
    return first, pictures_of([{"role": "tool", "content": crop}])[0]


def look_in_a_session(folder: Path, name: str, box: Sequence[float]) -> Shown:
    session = SessionSource(tasks(folder, name), library=opened(folder)).open()
    frame, crop = (session.call(it.name, it.arguments).observation.pictures[0] for it in looks(box))
    return frame, crop


WAYS: dict[str, Callable[[Path, str, Sequence[float]], Shown]] = {
    "episode": look,
    "text environment": look_in_text,
    "trl": look_in_trl,
    "session": look_in_a_session,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SPECS)
def test_what_is_boxed_in_a_shown_picture_is_what_the_closer_look_holds(shapes: Path, name: str, way: str) -> None:
    for box in BOXES:
        assert_law(WAYS[way](shapes, name, box), name, box)


@pytest.mark.parametrize("name", SPECS)
def test_what_is_boxed_on_the_square_of_the_typed_environment_is_what_its_closer_look_holds(shapes, name) -> None:
    env = LongVideoQAEnv(tasks(shapes, name), library=opened(shapes))
    env.reset(seed=0)
    zoom, spatial = (
        next(n for n, it in enumerate(env.tools) if it.name == tool) for tool in ("frame_zoom", "spatial_zoom")
    )
    share = 1.0 / 3.0
    shown = env.step((zoom, {"start_fraction": share, "end_fraction": 2 * share}))[0]["frames"][0]
    assert shown.shape == (112, 112, 3)
    rows, columns = (np.flatnonzero((shown[:, :, 2] > BLUE / 2).any(axis=axis)) for axis in (1, 0))
    left, top, right, bottom = columns[0] / 112, rows[0] / 112, (columns[-1] + 1) / 112, (rows[-1] + 1) / 112
    for box in BOXES:
        drawn = [left + box[0] * (right - left), top + box[1] * (bottom - top)]
        drawn += [left + box[2] * (right - left), top + box[3] * (bottom - top)]
        observation, _, _, _, info = env.step((spatial, {"time_fraction": share, "box": np.array(drawn)}))
        assert info["error"] is None and env.observation_space.contains(observation)
        crop = env.episode.video.crop(1.0, env.episode.turns[-1].box)
        # One pixel of the square is up to an eighth of the shorter side of a very wide picture.
        assert_same_place(crop.data[0], box, tolerance=0.06 if name == "very_wide" else 0.025)
        assert (letterbox(crop.data[0], 112) == observation["frames"][0]).all()


def test_a_box_on_the_bars_alone_is_an_error_of_the_policy_and_one_over_the_edge_is_cut_off(shapes) -> None:
    env = LongVideoQAEnv(tasks(shapes, "wide"), library=opened(shapes))
    env.reset(seed=0)
    spatial = next(n for n, it in enumerate(env.tools) if it.name == "spatial_zoom")
    info = env.step((spatial, {"time_fraction": 0.3, "box": np.array([0.1, 0.0, 0.9, 0.1])}))[-1]
    assert info["error"] == "tool_error"
    info = env.step((spatial, {"time_fraction": 0.3, "box": np.array([0.0, 0.0, 1.0, 0.5])}))[-1]
    assert info["error"] is None
    box = env.episode.turns[-1].box
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.0, 0.0, 1.0, 0.5), abs=0.02)


class Seen(ColourNameEncoder):
    """Keeps the frames that it encodes."""

    key = "seen"

    def __init__(self, frames: list[FrameBatch]) -> None:
        self.frames = frames

    def encode_frames(self, frames: FrameBatch) -> Any:
        self.frames.append(frames)
        return super().encode_frames(frames)


def test_features_are_computed_from_frames_without_bars(shapes) -> None:
    frames: list[FrameBatch] = []
    env = LongVideoQANumericEnv(
        tasks(shapes, "wide"), library=opened(shapes), numeric=NumericConfig(frame_encoder=Seen(frames))
    )
    env.reset(seed=0)
    for name in ("search_clips", "look_at_0"):
        env.step(env.action_names.index(name))
    assert frames and all(has_shape_of_video(it, "wide") for batch in frames for it in batch.data)
    assert_same_place(frames[0].data[0], (0, 0, 1, 1))


@pytest.mark.parametrize("name", SPECS)
def test_a_storyboard_keeps_shapes_and_boxes_and_paints_no_bars(shapes: Path, name: str) -> None:
    episode = make_episode(tasks(shapes, name)[0], opened(shapes), EnvConfig())
    episode.start()
    for action in looks(BOXES[1]):
        episode.apply(action)
    board = np.asarray(draw_storyboard(episode))
    assert board.max(axis=2).min() > 24, "black, which is not even the ink"
    frame, crop = drawn_pictures(board, left_px=400)
    for picture, box in ((frame, (0, 0, 1, 1)), (crop, BOXES[1])):
        assert_same_place(picture, box, tolerance=0.06)
    assert (frame.shape[0] < frame.shape[1]) == (name not in ("tall", "rotated"))


def test_pictures_of_a_folder_follow_the_same_rule(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        Image.fromarray(paint_place(0, (321, 181))).save(tmp_path / "pictures" / f"{number}.png")
    video = opened(tmp_path).open(VideoRef("v", str(tmp_path / "pictures")))
    frames, crop = video.frames_at([1.0]), video.crop(1.0, Box(*BOXES[1]))
    assert frames.data.shape == (1, 84, 140, 3)
    assert_same_place(frames.data[0], (0, 0, 1, 1))
    assert_same_place(crop.data[0], BOXES[1])
