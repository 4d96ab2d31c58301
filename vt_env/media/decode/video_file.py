"""Video files: decode the exact frames on screen at given times.

Knows files and pictures; knows nothing of stores, clips or episodes.

Time 0 is the first frame's presentation time; the duration ends with the display of the last frame. The frame on screen
at a time has the latest presentation time not after it ("played at" in torchcodec). Presentation times come from the
packets, never from a frame rate.

PyAV is the default backend: the only one that decoded every frame of every measured format correctly
(`experiments/bench/decoding.py`, table in `vt_env.media.decode.other_backends`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from av import VideoFrame
from PIL import Image

from vt_env.config import MediaConfig
from vt_env.errors import DataError
from vt_env.hashing import file_state
from vt_env.media.decode.container import (
    Timeline,
    check_file,
    check_size,
    format_of,
    open_media,
    read_timeline,
    video_stream,
)
from vt_env.media.decode.container_structure import Crop, read_crop
from vt_env.media.decode.decoded_timeline import checked_timeline
from vt_env.media.decode.other_backends import PLAYERS, choose_backend
from vt_env.media.decode.picture_folder import PictureFolderPlayer, read_folder
from vt_env.media.decode.player_pool import lend_player
from vt_env.media.decode.pyav_player import Pixels, PyAVPlayer, orientation_of
from vt_env.media.frame_size import MAX_ASPECT_RATIO
from vt_env.types import Box, FrameBatch


@dataclass(frozen=True, eq=False)
class VideoFile:
    """A video with known presentation times. Holds no open file, so it is picklable and thread-safe."""

    path: Path
    size_px: tuple[int, int]
    """Display width and height: after the file's rotation, with square pixels."""
    timeline: Timeline
    backend: str = "pyav"
    """Decoder, a name in `vt_env.media.decode.other_backends.PLAYERS`; not used for a folder of pictures."""
    state: tuple[int, ...] = field(default=(), repr=False)
    """State of the file when it was opened (`vt_env.hashing.file_state`); its frames are read in this state alone."""

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return self.timeline.duration_s

    @property
    def frame_rate_hz(self) -> float:
        """Average frames per second; never used to locate a frame."""
        return len(self.timeline.pts) / self.duration_s

    def frames_at(self, times_s: Sequence[float], size_px: tuple[int, int] | None = None) -> FrameBatch:
        """Decode the frames on screen at the given times, each distinct frame once.

        Returns: data uint8[N, H, W, 3] RGB in the order of `times_s`, at display size; with `size_px`, scaled to that
        width and height. pts_s float64[N], the presentation times of the frames.

        Raises:
            DataError: A time is outside `[0, duration_s)` or its frame cannot be decoded.
        """
        self.check_times(times_s)
        idxs = self.timeline.frame_idxs(times_s).tolist()
        pictures = dict(self.pictures(sorted(set(idxs)), size_px))
        width, height = size_px or self.size_px
        data = np.empty((len(idxs), height, width, 3), dtype=np.uint8)
        for row, idx in enumerate(idxs):
            data[row] = pictures[idx]
        return FrameBatch(data, self.timeline.times_s[idxs])

    def crop_at(self, time_s: float, box: Box, media: MediaConfig) -> FrameBatch:
        """Crop `box` from the frame on screen at `time_s` at native resolution, then scale the crop.

        The box is in fractions of the frame, and is widened to whole pixels.

        Returns: one frame, data uint8[1, H, W, 3] RGB, of the size that `media` gives a picture of the crop's size.

        Raises:
            DataError: The time is outside `[0, duration_s)` or its frame cannot be decoded.
        """
        return crop_frame(self.frames_at([time_s]), box, media)

    def pictures(self, idxs: Sequence[int], size_px: tuple[int, int] | None = None) -> Iterator[tuple[int, Pixels]]:
        """Decode the frames at increasing timeline indexes, one at a time, in one pass.

        Yields: each index with its picture, sized as in `frames_at`.

        Raises:
            DataError: A frame cannot be decoded.
        """
        if not idxs:
            return
        self.check_unchanged()
        if self.path.is_dir():
            folder = PictureFolderPlayer(self.path, self.timeline, self.size_px)
            for idx in idxs:
                yield idx, folder.picture(idx, size_px)
            return
        with lend_player(PLAYERS[self.backend], self.path, self.timeline, self.size_px) as player:
            for idx in idxs:
                yield idx, player.picture(idx, size_px)

    def check_unchanged(self) -> None:
        """Check that the file is the one that was opened.

        Raises:
            DataError: It was changed or replaced.
        """
        if self.state and not self.path.is_dir() and self.path.exists() and file_state(self.path) != self.state:
            raise DataError(f"{self.path}: it was changed or replaced since it was opened; start again")

    def check_times(self, times_s: Sequence[float]) -> None:
        """Check that times lie within the video.

        Raises:
            DataError: A time is outside `[0, duration_s)`.
        """
        duration_s = self.duration_s
        for time_s in times_s:
            if not 0 <= time_s < duration_s:
                raise DataError(f"{self.path}: no frame at {time_s} s; valid times are 0 to below {duration_s} s")


def open_video(path: str | Path, backend: str = "pyav") -> VideoFile:
    """Open a video: read its presentation times and check that its first and last frames decode.

    Args:
        path: A video file, or a folder of pictures (see `vt_env.media.decode.picture_folder`).
        backend: As `MediaConfig.backend`; see `vt_env.media.decode.other_backends`.

    Raises:
        DataError: The file is missing, empty, not a video, truncated, damaged at its ends, above `MAX_PIXELS` or
            `MAX_DURATION_S`, or thinner than `MAX_ASPECT_RATIO`; the message names the remedy.
        ConfigError: The backend is unknown, not installed, or not known to decode the format correctly.
    """
    path = Path(path)
    check_file(path)
    state = file_state(path)
    if path.is_dir():
        size_px, timeline = read_folder(path)
        _check_aspect_ratio(path, size_px)
        return VideoFile(path, size_px, timeline, state=state)
    with open_media(path) as container:
        stream = video_stream(container, path)
        check_size(stream, path)
        pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
        crop = read_crop(path, container.format.name, (stream.width, stream.height))
        format_name = format_of(container, stream)
        timeline = read_timeline(container, stream, path)
    timeline = checked_timeline(path, timeline)
    player = PyAVPlayer(path, timeline, (1, 1))
    try:
        first = player.frame(0)
        player.frame(len(timeline.pts) - 1)
    finally:
        player.close()
    size_px, orientation = _display_size_px(first, pixel_aspect, crop), orientation_of(first)
    _check_aspect_ratio(path, size_px)
    # Other backends were measured on files without these.
    oddities = {
        "mirrored": orientation.is_mirrored,
        "decoding order": timeline.packet_ticks is not None,
        "cropped": crop != Crop(),
        "early frames": timeline.begins_early,
    }
    format_name = ",".join([format_name, *(name for name, is_so in oddities.items() if is_so)])
    return VideoFile(path, size_px, timeline, choose_backend(backend, format_name, path), state)


def read_size_px(path: str | Path) -> tuple[int, int]:
    """Read the display width and height of a video from its first frame; of a folder of pictures, from the pictures.

    Much faster than `open_video`, which reads the times of all frames.

    Raises:
        DataError: The file is missing, not a video, damaged at its beginning, above `MAX_PIXELS`, or thinner than
            `MAX_ASPECT_RATIO`.
    """
    path = Path(path)
    check_file(path)
    if path.is_dir():
        size_px = read_folder(path)[0]
        _check_aspect_ratio(path, size_px)
        return size_px
    with open_media(path) as container:
        stream = video_stream(container, path)
        check_size(stream, path)
        for frame in container.decode(stream):
            crop = read_crop(path, container.format.name, (stream.width, stream.height))
            size_px = _display_size_px(frame, stream.sample_aspect_ratio or Fraction(1), crop)
            _check_aspect_ratio(path, size_px)
            return size_px
    raise DataError(f"{path}: no frame can be decoded; replace the file")


def _display_size_px(frame: VideoFrame, pixel_aspect: Fraction, crop: Crop) -> tuple[int, int]:
    """Return the shown size with square pixels; the side that has too few of them grows, so no detail is lost."""
    width, height = crop.size_px((frame.width, frame.height))
    if pixel_aspect >= 1:
        width = round(width * pixel_aspect)
    else:
        height = round(height / pixel_aspect)
    return (height, width) if orientation_of(frame).is_transposed else (width, height)


def crop_frame(whole: FrameBatch, box: Box, media: MediaConfig) -> FrameBatch:
    """Crop `box` from one native frame and scale the crop, as `VideoFile.crop_at`."""
    crop = cut_box(whole.data[0], box)
    resized = crop.resize(media.frame_size_px(crop.size), Image.Resampling.LANCZOS)
    return FrameBatch(np.asarray(resized)[None], whole.pts_s)


def cut_box(picture: Pixels, box: Box) -> Image.Image:
    """Cut `box`, widened to whole pixels, from a picture uint8[H, W, 3]."""
    left, top, right, bottom = _edges_px(picture.shape[1::-1], box)
    return Image.fromarray(picture[top:bottom, left:right])


def cut_size_px(size_px: tuple[int, int], box: Box) -> tuple[int, int]:
    """Return the width and height of what `cut_box` cuts from a picture of this width and height."""
    left, top, right, bottom = _edges_px(size_px, box)
    return right - left, bottom - top


def _edges_px(size_px: tuple[int, ...], box: Box) -> tuple[int, int, int, int]:
    width, height = size_px
    left, top = int(box.left * width), int(box.top * height)
    return left, top, math.ceil(box.right * width), math.ceil(box.bottom * height)


def _check_aspect_ratio(path: Path, size_px: tuple[int, int]) -> None:
    if max(size_px) > MAX_ASPECT_RATIO * min(size_px):
        raise DataError(
            f"{path}: its frames are {size_px[0]}x{size_px[1]}, one side more than {MAX_ASPECT_RATIO} times the other; "
            "crop it: ffmpeg -i OLD -vf crop=W:H NEW.mp4"
        )
