"""The pictures that trajectories name: read again from the videos, hashed, and written as files for other trainers."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vt_env.episode.perception import as_shown
from vt_env.episode.trajectory import FrameRef, Trajectory
from vt_env.errors import DataError
from vt_env.media.cache.build_once import content_hash
from vt_env.protocols import Video

OpenVideo = Callable[[str], Video]
"""Opens a video by its handle."""


@dataclass(frozen=True, slots=True)
class PictureRecord:
    """A picture that a data set refers to."""

    frame: FrameRef
    sha256: str
    """Of its pixels, uint8[H, W, 3] RGB in C order."""


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """A video that a data set refers to."""

    handle: str
    content: str
    """`vt_env.media.cache.build_once.content_hash` of the file; empty for a video that is no file."""
    duration_s: float


def picture_hash(picture: NDArray[np.uint8]) -> str:
    """Hash the pixels of a picture or of several, uint8[..., H, W, 3]."""
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()


def read_pictures(video: Video, frames: Sequence[FrameRef]) -> list[NDArray[np.uint8]]:
    """Read pictures of one video, uint8[H, W, 3] RGB each, in order.

    Raises:
        DataError: The video cannot be read, or its frames are stored at another size than was shown.
    """
    whole = [frame for frame in frames if frame.box is None]
    stored = iter(video.frames_at([frame.time_s for frame in whole]).data) if whole else iter(())
    pictures = [next(stored) if frame.box is None else video.crop(frame.time_s, frame.box).data[0] for frame in frames]
    for frame, picture in zip(frames, pictures, strict=True):
        then_px = frame.stored_px or frame.size_px
        if picture.shape[1::-1] != then_px:
            now, then = (" x ".join(map(str, it)) for it in (picture.shape[1::-1], then_px))
            raise DataError(
                f"video {frame.video_handle}: pictures of {now} px where {then} px were shown; give the --media "
                "settings of the run"
            )
    return [as_shown(picture, frame) for frame, picture in zip(frames, pictures, strict=True)]


def describe_pictures(
    trajectories: Iterable[Trajectory], open_video: OpenVideo
) -> tuple[list[PictureRecord], list[VideoRecord]]:
    """Hash every picture and video that trajectories refer to, each once.

    Raises:
        DataError: A video cannot be read.
    """
    by_video: dict[str, dict[FrameRef, None]] = {}
    for trajectory in trajectories:
        by_video.setdefault(trajectory.video_handle, {}).update(dict.fromkeys(trajectory.frames))
    pictures: list[PictureRecord] = []
    videos: list[VideoRecord] = []
    for handle, frames in by_video.items():
        video = open_video(handle)
        path = Path(video.ref.path)
        videos.append(VideoRecord(handle, content_hash(path) if path.exists() else "", video.duration_s))
        found = read_pictures(video, list(frames))
        pictures += [PictureRecord(frame, picture_hash(it)) for frame, it in zip(frames, found, strict=True)]
    return pictures, videos


def write_pictures(folder: Path, records: Iterable[PictureRecord], open_video: OpenVideo) -> dict[FrameRef, str]:
    """Write pictures as PNG files named by their hashes.

    Args:
        folder: Where they go.
        records: What is written.
        open_video: Opens the videos.

    Returns: File name of each picture.

    Raises:
        DataError: A picture is not what it was when the data set was made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[FrameRef, str] = {}
    for record, picture in _read(records, open_video):
        if picture_hash(picture) != record.sha256:
            raise DataError(
                f"video {record.frame.video_handle}: the frame at {record.frame.time_s:g} s has changed since the data "
                "set was made; restore the video or make the data set again"
            )
        names[record.frame] = f"{record.sha256[:32]}.png"
        if not (folder / names[record.frame]).exists():
            Image.fromarray(picture).save(folder / names[record.frame])
    return names


def _read(records: Iterable[PictureRecord], open_video: OpenVideo) -> Iterator[tuple[PictureRecord, NDArray[np.uint8]]]:
    by_video: dict[str, list[PictureRecord]] = {}
    for record in records:
        by_video.setdefault(record.frame.video_handle, []).append(record)
    for handle, own in by_video.items():
        yield from zip(own, read_pictures(open_video(handle), [it.frame for it in own]), strict=True)
