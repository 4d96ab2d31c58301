"""Videos of many shapes whose pixels say where in the frame they are, for the law of boxes.

Red grows from left to right and green from top to bottom, and blue is the same everywhere, so that a picture tells
which part of the frame it holds, and a black bar would be seen.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.videos import VideoSpec, write_video

from vt_env.actions.parse import render_action
from vt_env.config import MediaConfig
from vt_env.gold import Gold
from vt_env.media.library import VideoLibrary
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import Box, Item, ToolCall, VideoRef

BLUE, LOW, SPAN = 200, 30, 200
TIMELINE = (0xE6, 0xE2, 0xD6)
"""Colour of the bar of a storyboard that stands for the whole video."""
Pixels = NDArray[np.uint8]
Shown = tuple[Pixels, Pixels]
"""A whole frame and a closer look at part of it."""


def paint_place(index: int, size_px: tuple[int, int]) -> Pixels:
    """Paint a frame, uint8[H, W, 3]."""
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


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a video of each shape."""
    folder = tmp_path_factory.mktemp("shapes")
    for name, spec in SPECS.items():
        made = VideoSpec(**{**vars(spec), "frames": 30, "paint": paint_place, "options": {"crf": "10"}})
        write_video(folder / f"{name}.mp4", made)
    return folder


@cache
def opened(folder: Path) -> VideoLibrary:
    """Return the one library over the folder."""
    return VideoLibrary(MediaConfig(), folder / "cache", "colours")


def tasks(folder: Path, name: str) -> TaskSet:
    """Return one question about the video of a shape."""
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
    """Check that a picture holds the part of the frame that was boxed, and no bar."""
    found = place_of(crop)
    assert (found.left, found.top, found.right, found.bottom) == pytest.approx(tuple(boxed), abs=tolerance)


def has_shape_of_video(picture: Pixels, name: str, box: Sequence[float] = (0, 0, 1, 1)) -> bool:
    """Tell whether the aspect ratio is the video's, or that of a part of it, but for whole patches."""
    width, height = SHOWN_PX.get(name, SPECS[name].size_px)
    wanted = (width * (box[2] - box[0])) / (height * (box[3] - box[1]))
    columns, rows = picture.shape[1] / 28, picture.shape[0] / 28
    return (columns - 1) / (rows + 1) <= wanted <= (columns + 1) / max(0.5, rows - 1)


def looks(box: Sequence[float]) -> tuple[ToolCall, ToolCall]:
    """Return the calls that show a whole frame, and the box of it."""
    return (
        ToolCall("frame_zoom", {"start_s": 1.0, "end_s": 2.0}),
        ToolCall("spatial_zoom", {"time_s": 1.0, "box": list(box)}),
    )


def assert_law(shown: Shown, name: str, box: Sequence[float], tolerance: float = 0.025) -> None:
    """Check that the frame is whole, that the closer look holds the box, and that both keep the video's shape."""
    frame, crop = shown
    assert_same_place(frame, (0, 0, 1, 1), tolerance)
    assert has_shape_of_video(frame, name) and has_shape_of_video(crop, name, box)
    assert_same_place(crop, box, tolerance)


def assert_law_of_all(pictures: Sequence[Pixels], name: str) -> None:
    """Check one whole frame and the closer looks at each of `BOXES` that follow it."""
    frame, *crops = pictures
    for crop, box in zip(crops, BOXES, strict=True):
        assert_law((frame, crop), name, box)


def replies_of_all() -> list[str]:
    """Return replies that look at a whole frame, then at each of `BOXES`."""
    frame, _ = looks(BOXES[0])
    return [render_action(it) for it in (frame, *(looks(box)[1] for box in BOXES))]


def drawn_pictures(sheet: Pixels, left_px: int = 0) -> list[Pixels]:
    """Cut the frames out of a storyboard or a contact sheet, one a row of pictures, from the column `left_px` on."""
    is_frame = abs(sheet[:, left_px:, 2].astype(int) - BLUE) < 25
    is_frame &= sheet[:, left_px:, :2].max(axis=2) < LOW + SPAN + 12
    is_frame &= (sheet[:, left_px:] != TIMELINE).any(axis=2)
    rows = np.flatnonzero(is_frame.sum(axis=1) > 8)
    parts = [it for it in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(it) > 4]
    found: list[Pixels] = []
    for part in parts:
        inside = is_frame[part[0] : part[-1] + 1]
        columns = np.flatnonzero(inside.mean(axis=0) > 0.5)
        # Letters have a few pixels of such a colour too.
        if len(columns) and inside[:, columns[0] : columns[-1] + 1].mean() > 0.9:
            found.append(sheet[part[0] : part[-1] + 1, left_px + columns[0] : left_px + columns[-1] + 1])
    return found
