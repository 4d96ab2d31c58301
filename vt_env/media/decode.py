"""From a video file to the exact frames on screen at given times.

Knows files and pictures; knows nothing of stores, clips or episodes.

The clock of a video starts at its first frame and ends when its last frame leaves the screen. The frame on screen at a
time is the one with the latest presentation time not after it ("played at" in torchcodec). Presentation times come from
the packets, never from a frame rate; a frame counts as found only when the decoder returns that very presentation time,
unmarked by errors, after a start at a keyframe.

Why PyAV: on fourteen videos whose frames paint their own index (`tests/videos.py`), 60 frames of each in random order,
this module returned every one. decord2 3.4.0 returned wrong or torn pictures without an error for 26 of 60 in H.264
with open groups, 6 in HEVC, 19 in MPEG-4 with B-frames and 60 in a transport stream. What neither can see is damage
that a format hides, such as flipped bytes that still decode or a block lost inside a Matroska file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av.error
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from vt_env.errors import DataError
from vt_env.media.container import REENCODE, Timeline, open_media, read_timeline, video_stream
from vt_env.types import Box, FrameBatch

Pixels = NDArray[np.uint8]

_JUMP_FRAMES = 64
"""A keyframe is jumped to only where that leaves out this many frames; a shorter way is quicker to decode."""


@dataclass(frozen=True, eq=False)
class VideoFile:
    """A video whose presentation times are known. Holds no open file: it can be pickled and shared by threads."""

    path: Path
    size_px: tuple[int, int]
    """Width and height as shown: rotated as the file asks, with square pixels."""
    timeline: Timeline

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return self.timeline.duration_s

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second on average; never used to find a frame."""
        return len(self.timeline.pts) / self.duration_s

    def frames_at(self, times_s: Sequence[float], size_px: int | None = None) -> FrameBatch:
        """Decode the frames on screen at the given times, each distinct frame once.

        Returns: data uint8[N, H, W, 3] RGB in the order of `times_s`; H and W are the video's own size, or both
        `size_px`, the longer side filling it and black around the rest. pts_s float64[N] are the frames' own times.

        Raises:
            DataError: A time is outside `[0, duration_s)` or its frame cannot be decoded.
        """
        self.check_times(times_s)
        idxs = self.timeline.frame_idxs(times_s).tolist()
        pictures = dict(self.pictures(sorted(set(idxs)), size_px))
        width, height = (size_px, size_px) if size_px else self.size_px
        data = np.empty((len(idxs), height, width, 3), dtype=np.uint8)
        for row, idx in enumerate(idxs):
            data[row] = pictures[idx]
        return FrameBatch(data, self.timeline.times_s[idxs])

    def crop_at(self, time_s: float, box: Box, size_px: int) -> FrameBatch:
        """Cut `box` out of the frame on screen at `time_s` at native resolution, then resize it.

        The box is in fractions of the frame itself, without any padding, and widened to whole pixels.

        Returns: one frame, data uint8[1, size_px, size_px, 3] RGB, the longer side of the crop filling `size_px`.

        Raises:
            DataError: The time is outside `[0, duration_s)` or its frame cannot be decoded.
        """
        whole = self.frames_at([time_s])
        width, height = self.size_px
        left, top = int(box.left * width), int(box.top * height)
        right, bottom = int(np.ceil(box.right * width)), int(np.ceil(box.bottom * height))
        crop = Image.fromarray(whole.data[0, top:bottom, left:right])
        resized = crop.resize(fit_square(crop.size, size_px), Image.Resampling.LANCZOS)
        return FrameBatch(pad_square(np.asarray(resized), size_px)[None], whole.pts_s)

    def pictures(self, idxs: Sequence[int], size_px: int | None = None) -> Iterator[tuple[int, Pixels]]:
        """Decode the frames at increasing positions of the timeline, one at a time and in one pass.

        Yields: each position with its picture, sized as in `frames_at`.

        Raises:
            DataError: A frame cannot be decoded.
        """
        player = _Player(self.path, self.timeline)
        for idx in idxs:
            yield idx, _picture(player.frame(idx), self.size_px, size_px)

    def check_times(self, times_s: Sequence[float]) -> None:
        """Refuse times that are not in the video.

        Raises:
            DataError: A time is outside `[0, duration_s)`.
        """
        duration_s = self.duration_s
        for time_s in times_s:
            if not 0 <= time_s < duration_s:
                raise DataError(f"{self.path}: no frame at {time_s} s; ask for 0 to below {duration_s} s")


def open_video(path: str | Path) -> VideoFile:
    """Read a video's presentation times and check that its first and last frames decode.

    Raises:
        DataError: The file is missing, empty, no video, cut off or damaged at its ends; the message names the remedy.
    """
    path = Path(path)
    with open_media(path) as container:
        stream = video_stream(container, path)
        pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
        timeline = read_timeline(container, stream, path)
    player = _Player(path, timeline)
    first = player.frame(0)
    player.frame(len(timeline.pts) - 1)
    width, height = round(first.width * pixel_aspect), first.height
    return VideoFile(path, (height, width) if _quarter_turns(first) % 2 else (width, height), timeline)


class _Player:
    """Plays a file forwards from its keyframes and stops at the frames asked for, in increasing order."""

    def __init__(self, path: Path, timeline: Timeline) -> None:
        self._path, self._timeline = path, timeline
        self._frames: Iterator[VideoFrame] = iter(())
        self._idx: int | None = None
        """Position of the last frame handed out."""

    def frame(self, idx: int) -> VideoFrame:
        """Decode the frame at position `idx`; where a start fails, earlier ones are tried, up to the file's beginning.

        Raises:
            DataError: The frame does not decode from any start.
        """
        pts = int(self._timeline.pts[idx])
        keyframe_idx = int(np.searchsorted(self._timeline.keyframes[:, 0], pts, side="right")) - 1
        jump_idx = int(np.searchsorted(self._timeline.pts, self._timeline.keyframes[keyframe_idx, 0]))
        near = self._idx is not None and jump_idx - self._idx < _JUMP_FRAMES
        frame = self._advance(pts) if near else None
        for start in self._starts(keyframe_idx):
            if frame is not None:
                break
            self._frames = self._play(start)
            frame = self._advance(pts)
        if frame is None:
            time_s = self._timeline.times_s[idx]
            raise DataError(f"{self._path}: damaged, its frame at {time_s:.3f} s does not decode; {REENCODE}")
        self._idx = idx
        return frame

    def _starts(self, keyframe_idx: int) -> Iterator[int | None]:
        """Ticks to seek to: keyframes ever further back, since some formats and open groups miss; at last, none."""
        for back in (0, 1, 2, 4, 8):
            if keyframe_idx - back >= 0:
                yield int(self._timeline.keyframes[keyframe_idx - back, 1])
        yield None

    def _advance(self, pts: int) -> VideoFrame | None:
        """Play on to the frame shown at `pts`; `None` if it is not there or anything on the way is damaged."""
        for frame in self._frames:
            if frame.is_corrupt or (frame.pts or 0) > pts:
                return None
            if frame.pts == pts:
                return frame
        return None

    def _play(self, start: int | None) -> Iterator[VideoFrame]:
        """Decode from the keyframe at `start`; ends where the decoder fails."""
        with open_media(self._path) as container:
            stream = video_stream(container, self._path)
            # No frame threads: with them the mark of a damaged frame was lost at times.
            stream.thread_type = "SLICE"
            first_pts: int | None = None
            try:
                if start is not None:
                    container.seek(start, stream=stream)
                for packet in container.demux(stream):
                    if first_pts is None and packet.is_keyframe:
                        first_pts = packet.pts
                    if first_pts is None:
                        continue
                    for frame in packet.decode():
                        # Frames shown before the keyframe may refer to pictures that were never decoded.
                        if frame.pts is not None and frame.pts >= first_pts:
                            yield frame
            except av.error.FFmpegError:
                return


def fit_square(size_px: tuple[int, int], square_px: int) -> tuple[int, int]:
    """Width and height of a picture of `size_px` scaled so that its longer side is `square_px`."""
    scale = square_px / max(size_px)
    return max(1, round(size_px[0] * scale)), max(1, round(size_px[1] * scale))


def pad_square(picture: Pixels, square_px: int) -> Pixels:
    """Centre a picture uint8[H, W, 3] on a black square uint8[square_px, square_px, 3]."""
    height, width = picture.shape[:2]
    top, left = (square_px - height) // 2, (square_px - width) // 2
    square = np.zeros((square_px, square_px, 3), dtype=np.uint8)
    square[top : top + height, left : left + width] = picture
    return square


def _picture(frame: VideoFrame, shown_px: tuple[int, int], square_px: int | None) -> Pixels:
    """Turn a decoded frame into RGB as shown, scaled and padded to a square if asked."""
    width, height = fit_square(shown_px, square_px) if square_px else shown_px
    quarters = _quarter_turns(frame)
    if quarters % 2:
        width, height = height, width
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
    upright = np.rot90(pixels, quarters).astype(np.uint8, copy=False)
    return pad_square(upright, square_px) if square_px else np.ascontiguousarray(upright)


def _quarter_turns(frame: VideoFrame) -> int:
    """Turns of 90 degrees, counter-clockwise, that put a frame upright; phones store most pictures lying down."""
    return round(frame.rotation / 90) % 4
