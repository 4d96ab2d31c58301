"""PyAV player: decodes the frame at an index of the timeline; correct for every measured format.

Knows FFmpeg and pictures; knows nothing of seconds or stores. A frame is accepted only if decoding started at a
keyframe, the presentation time matches exactly and no error flag is set. No player can detect damage that a format
hides, such as flipped bytes that still decode or a block missing from a Matroska file.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vt_env.errors import DataError
from vt_env.media.decode.container import REENCODE, Timeline, open_media, video_stream

Pixels = NDArray[np.uint8]

_JUMP_FRAMES = 64
"""Minimum number of frames that a seek must skip; decoding a shorter distance is faster."""


class Player(Protocol):
    """Decodes frames of one video in increasing order."""

    def picture(self, idx: int, square_px: int | None) -> Pixels:
        """Decode the frame at index `idx` of the timeline; successive indexes must increase.

        Returns: uint8[H, W, 3] RGB at display size; with `square_px`, scaled to fit a black-padded square of that side.

        Raises:
            DataError: The frame cannot be decoded.
        """
        ...


MakePlayer = Callable[[Path, Timeline, tuple[int, int]], Player]
"""Player factory: takes the path, its timeline and the display size in pixels; picklable."""


class PyAVPlayer:
    """Player that seeks to keyframes and decodes forwards to the requested frames.

    Opens the file once, on the first request.
    """

    def __init__(self, path: Path, timeline: Timeline, shown_px: tuple[int, int]) -> None:
        self._path, self._timeline, self._shown_px = path, timeline, shown_px
        self._frames: Iterator[VideoFrame] = iter(())
        self._idx: int | None = None
        """Index of the last returned frame."""
        self._media: tuple[InputContainer, VideoStream] | None = None
        self._stack = ExitStack()
        """Owns the open file."""
        self._reformatter = VideoReformatter()
        """Shared by all frames: setting up the scaler takes several times as long as scaling a frame."""

    def picture(self, idx: int, square_px: int | None) -> Pixels:
        """Decode the frame at index `idx` into RGB, as `Player.picture`."""
        return _picture(self.frame(idx), self._reformatter, self._shown_px, square_px)

    def restart(self, timeline: Timeline, shown_px: tuple[int, int]) -> None:
        """Reset to the caller's timeline and display size, so that the next index may be any; keep the file open."""
        self._timeline, self._shown_px = timeline, shown_px
        self._frames, self._idx = iter(()), None

    def close(self) -> None:
        """Close the file now: player and frames form a reference cycle, which only garbage collection would free."""
        self._frames, self._media = iter(()), None
        self._stack.close()

    def frame(self, idx: int) -> VideoFrame:
        """Decode the frame at index `idx`, retrying from earlier keyframes and at last from the start of the file.

        Raises:
            DataError: The frame does not decode from any of them.
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
        """Yield seek ticks of keyframes ever further back, then `None`: some formats and open GOPs overshoot a seek."""
        for back in (0, 1, 2, 4, 8):
            if keyframe_idx - back >= 0:
                yield int(self._timeline.keyframes[keyframe_idx - back, 1])
        yield None

    def _advance(self, pts: int) -> VideoFrame | None:
        """Decode up to the frame at `pts`; return `None` if it is missing or a frame before it is damaged."""
        for frame in self._frames:
            if frame.is_corrupt or (frame.pts or 0) > pts:
                return None
            if frame.pts == pts:
                return frame
        return None

    def _play(self, start: int | None) -> Iterator[VideoFrame]:
        """Yield frames from the keyframe at `start`, or from the start of the file, until the decoder fails."""
        if start is None or self._media is None:
            self._media = self._open()
        container, stream = self._media
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
                    # Frames presented before the keyframe may reference pictures that were never decoded.
                    if frame.pts is not None and frame.pts >= first_pts:
                        yield frame
        except av.error.FFmpegError:
            return

    def _open(self) -> tuple[InputContainer, VideoStream]:
        """Open the file; dropping the last reference closes it."""
        with ExitStack() as stack:
            container = stack.enter_context(open_media(self._path))
            stream = video_stream(container, self._path)
            # One thread: freeing a decoder joins its threads, which never returns in a forked process, and frame
            # threading was seen to lose the corrupt flag of damaged frames.
            stream.codec_context.thread_count = 1
            self._stack = stack.pop_all()
        return container, stream


def fit_square(size_px: tuple[int, int], square_px: int) -> tuple[int, int]:
    """Return width and height of a picture of `size_px` scaled to a longer side of `square_px`."""
    scale = square_px / max(size_px)
    return max(1, round(size_px[0] * scale)), max(1, round(size_px[1] * scale))


def pad_square(picture: Pixels, square_px: int) -> Pixels:
    """Centre a picture uint8[H, W, 3] on a black square uint8[square_px, square_px, 3]."""
    square = np.zeros((square_px, square_px, 3), dtype=np.uint8)
    square[inside_square(picture.shape[1::-1], square_px)] = picture
    return square


def inside_square(size_px: tuple[int, ...], square_px: int) -> tuple[slice, slice]:
    """Return the row and column slices of a picture of `size_px` (width, height) centred on a square."""
    left, top = ((square_px - side_px) // 2 for side_px in size_px)
    return slice(top, top + size_px[1]), slice(left, left + size_px[0])


def _picture(
    frame: VideoFrame, reformatter: VideoReformatter, shown_px: tuple[int, int], square_px: int | None
) -> Pixels:
    """Convert a decoded frame to upright RGB at display size; with `square_px`, scale and pad it to a square."""
    width, height = fit_square(shown_px, square_px) if square_px else shown_px
    quarters = quarter_turns(frame)
    if quarters % 2:
        width, height = height, width
    scaled = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA")
    pixels = scaled.to_ndarray()
    upright = np.rot90(pixels, quarters).astype(np.uint8, copy=False)
    return pad_square(upright, square_px) if square_px else np.ascontiguousarray(upright)


def quarter_turns(frame: VideoFrame) -> int:
    """Return the counter-clockwise quarter turns that put a frame upright; phones store rotated pictures."""
    return round(frame.rotation / 90) % 4
