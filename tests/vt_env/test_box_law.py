"""A law: whatever a policy boxes in a picture that it was shown is what the closer look holds, and no picture has bars.

The videos' red grows from left to right and their green from top to bottom, and blue is the same everywhere, so that
pixels say where in the frame they are, and a black bar would be seen.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.videos import VideoSpec, write_video

from vt_env.config import EnvConfig, MediaConfig
from vt_env.envs.base import make_episode
from vt_env.envs.letterbox import letterbox
from vt_env.envs.numeric_env import LongVideoQANumericEnv
from vt_env.envs.numeric_features import NumericConfig
from vt_env.envs.storyboard import draw_storyboard
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.messages import Message
from vt_env.gold import Gold
from vt_env.integrations.trl import environment_class
from vt_env.media.library import VideoLibrary
from vt_env.media.search.encoders import ColourNameEncoder
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import Box, FrameBatch, Item, ToolCall, VideoRef

BLUE, LOW, SPAN = 200, 30, 200
Pixels = NDArray[np.uint8]


def paint_place(index: int, size_px: tuple[int, int]) -> Pixels:
    width, height = size_px
    picture = np.full((height, width, 3), BLUE, dtype=np.uint8)
    picture[:, :, 0] = (LOW + SPAN * (np.arange(width) + 0.5) / width)[None, :]
    picture[:, :, 1] = (LOW + SPAN * (np.arange(height) + 0.5) / height)[:, None]
    return picture


SPECS = {
    "wide": VideoSpec(size_px=(320, 180)),
    "tall": VideoSpec(size_px=(180, 320)),
    "four_to_three": VideoSpec(size_px=(320, 240)),
    "anamorphic": VideoSpec(size_px=(160, 180), pixel_aspect=Fraction(2)),
    "rotated": VideoSpec(size_px=(180, 320), turned_deg=90),
    "odd": VideoSpec(size_px=(321, 181), pix_fmt="yuv444p"),
    "very_wide": VideoSpec(size_px=(640, 64)),
}
SHOWN_PX = {"anamorphic": (320, 180)}
BOXES = [(0.0, 0.0, 0.5, 0.5), (0.55, 0.2, 0.85, 0.9), (0.1, 0.7, 0.95, 1.0), (0.0, 0.0, 1.0, 1.0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    for name, spec in SPECS.items():
        made = VideoSpec(**{**vars(spec), "frames": 30, "paint": paint_place, "options": {"crf": "10"}})
        write_video(folder / f"{name}.mp4", made)
    return folder


@cache
def opened(folder: Path) -> VideoLibrary:
    return VideoLibrary(MediaConfig(), folder / "cache", "colours")


def tasks(folder: Path, name: str) -> TaskSet:
    video = VideoRef(name, str(folder / f"{name}.mp4"))
    item = Item(name, "what is blue, purple, red or green there?", ("1", "2"), video)
    return TaskSet((Task(item, Gold(0)),))


def place_of(picture: Pixels) -> Box:
    """Read from the pixels which part of the video's frame they are."""
    assert abs(picture[:, :, 2].astype(int) - BLUE).max() < 50, "a bar"
    red, green = (picture.mean(axis=0)[:, 0] - LOW) / SPAN, (picture.mean(axis=1)[:, 1] - LOW) / SPAN
    edges = []
    for values in (red, green):
        half_step = (values[-1] - values[0]) / max(1, len(values) - 1) / 2
        edges.append((values[0] - half_step, values[-1] + half_step))
    (left, right), (top, bottom) = ((max(0.0, low), min(1.0, high)) for low, high in edges)
    return Box(left, top, right, bottom)


def assert_same_place(crop: Pixels, boxed: Sequence[float], tolerance: float = 0.025) -> None:
    found = place_of(crop)
    assert (found.left, found.top, found.right, found.bottom) == pytest.approx(tuple(boxed), abs=tolerance)


def has_shape_of_video(picture: Pixels, name: str, box: Sequence[float] = (0, 0, 1, 1)) -> bool:
    """Tell whether the aspect ratio is the video's, or that of a part of it, but for whole patches."""
    width, height = SHOWN_PX.get(name, SPECS[name].size_px)
    wanted = (width * (box[2] - box[0])) / (height * (box[3] - box[1]))
    columns, rows = picture.shape[1] / 28, picture.shape[0] / 28
    return (columns - 1) / (rows + 1) <= wanted <= (columns + 1) / max(0.5, rows - 1)


def pictures_of(messages: Sequence[Message]) -> list[Pixels]:
    blocks = [block for it in messages if not isinstance(it["content"], str) for block in it["content"]]
    return [np.asarray(block["image"]) for block in blocks if block["type"] == "image"]


def call(name: str, **arguments: Any) -> str:
    from vt_env.actions.parse import render_action

    return render_action(ToolCall(name, arguments))


def look(folder: Path, name: str, box: Sequence[float]) -> tuple[Pixels, Pixels]:
    """An episode shows a frame and the box of it."""
    episode = make_episode(tasks(folder, name)[0], opened(folder), EnvConfig())
    episode.start()
    frames = [
        episode.apply(action).observation.frames
        for action in (
            ToolCall("frame_zoom", {"start_s": 1.0, "end_s": 2.0}),
            ToolCall("spatial_zoom", {"time_s": 1.0, "box": list(box)}),
        )
    ]
    return frames[0].data[0], frames[1].data[0]


def look_in_text(folder: Path, name: str, box: Sequence[float]) -> tuple[Pixels, Pixels]:
    env = LongVideoQATextEnv(tasks(folder, name), library=opened(folder))
    env.reset(seed=0)
    for text in (call("frame_zoom", start_s=1.0, end_s=2.0), call("spatial_zoom", time_s=1.0, box=list(box))):
        observation = env.step(text)[0]
        assert env.observation_space.contains(observation)
    messages = pictures_of(env.messages())
    assert (messages[-1] == observation["frames"][0]).all()
    return messages[0], messages[-1]


def look_in_trl(folder: Path, name: str, box: Sequence[float]) -> tuple[Pixels, Pixels]:
    environment = environment_class(tasks(folder, name), library=opened(folder))()
    environment.reset(task_id=name, seed=0, prompt=[])
    frame = environment.frame_zoom(start_s="1", end_s="2")
    crop = environment.spatial_zoom(time_s="1", box=list(box))
    first, *_ = pictures_of([{"role": "tool", "content": frame}])
    return first, pictures_of([{"role": "tool", "content": crop}])[0]


WAYS: dict[str, Callable[[Path, str, Sequence[float]], tuple[Pixels, Pixels]]] = {
    "episode": look,
    "text environment": look_in_text,
    "trl": look_in_trl,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SPECS)
def test_what_is_boxed_in_a_shown_picture_is_what_the_closer_look_holds(folder: Path, name: str, way: str) -> None:
    for box in BOXES:
        frame, crop = WAYS[way](folder, name, box)
        assert_same_place(frame, (0, 0, 1, 1))
        assert has_shape_of_video(frame, name) and has_shape_of_video(crop, name, box)
        assert_same_place(crop, box)


@pytest.mark.parametrize("name", SPECS)
def test_what_is_boxed_on_the_square_of_the_typed_environment_is_what_its_closer_look_holds(folder, name) -> None:
    env = LongVideoQAEnv(tasks(folder, name), library=opened(folder))
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


def test_a_box_on_the_bars_alone_is_an_error_of_the_policy_and_one_over_the_edge_is_cut_off(folder) -> None:
    env = LongVideoQAEnv(tasks(folder, "wide"), library=opened(folder))
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


def test_features_are_computed_from_frames_without_bars(folder) -> None:
    frames: list[FrameBatch] = []
    env = LongVideoQANumericEnv(
        tasks(folder, "wide"), library=opened(folder), numeric=NumericConfig(frame_encoder=Seen(frames))
    )
    env.reset(seed=0)
    for name in ("search_clips", "look_at_0"):
        env.step(env.action_names.index(name))
    assert frames and all(has_shape_of_video(it, "wide") for batch in frames for it in batch.data)
    assert_same_place(frames[0].data[0], (0, 0, 1, 1))


@pytest.mark.parametrize("name", ["wide", "tall"])
def test_a_storyboard_keeps_the_shape_and_paints_no_bars(folder, name) -> None:
    episode = make_episode(tasks(folder, name)[0], opened(folder), EnvConfig())
    episode.start()
    episode.apply(ToolCall("frame_zoom", {"start_s": 1.0, "end_s": 2.0}))
    board = np.asarray(draw_storyboard(episode))
    is_frame = (abs(board[:, :, 2].astype(int) - BLUE) < 20) & (board[:, :, :2].max(axis=2) < 240)
    is_frame[: board.shape[0] // 2] = False
    wide = (is_frame.sum(axis=1) > 40).sum(), (is_frame.sum(axis=0) > 40).sum()
    assert (wide[0] < wide[1]) == (name == "wide")


def test_pictures_of_a_folder_follow_the_same_rule(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        Image.fromarray(paint_place(0, (321, 181))).save(tmp_path / "pictures" / f"{number}.png")
    video = opened(tmp_path).open(VideoRef("v", str(tmp_path / "pictures")))
    frames, crop = video.frames_at([1.0]), video.crop(1.0, Box(*BOXES[1]))
    assert frames.data.shape == (1, 84, 140, 3)
    assert_same_place(frames.data[0], (0, 0, 1, 1))
    assert_same_place(crop.data[0], BOXES[1])
