"""Players: what turns positions of a timeline into pictures. Here PyAV's, which is right for every format measured.

Knows FFmpeg and pictures; knows nothing of clocks in seconds or of stores. A frame counts as found only when the
decoder returns its very presentation time, unmarked by errors, after a start at a keyframe. What no player can see is
damage that a format hides, such as flipped bytes that still decode or a block lost inside a Matroska file.
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
"""A keyframe is jumped to only where that leaves out this many frames; a shorter way is quicker to decode."""


class Player(Protocol):
    """Plays one video forwards."""

    def picture(self, idx: int, square_px: int | None) -> Pixels:
        """Decode the frame at position `idx` of the timeline; positions asked for increase.

        Returns: uint8[H, W, 3] RGB in the size shown, or of side `square_px`, scaled to fit and black around the rest.

        Raises:
            DataError: The frame cannot be decoded.
        """
        ...


MakePlayer = Callable[[Path, Timeline, tuple[int, int]], Player]
"""Makes a player from a path, its timeline and the size shown in pixels; can be pickled."""


class PyAVPlayer:
    """Plays a file forwards from its keyframes and stops at the frames asked for, in increasing order.

    Opens the file once, when the first frame is asked for.
    """

    def __init__(self, path: Path, timeline: Timeline, shown_px: tuple[int, int]) -> None:
        self._path, self._timeline, self._shown_px = path, timeline, shown_px
        self._frames: Iterator[VideoFrame] = iter(())
        self._idx: int | None = None
        """Position of the last frame handed out."""
        self._media: tuple[InputContainer, VideoStream] | None = None
        self._stack = ExitStack()
        """Holds the file open."""
        self._reformatter = VideoReformatter()
        """One for all frames: setting up the scaler takes several times as long as scaling a frame."""

    def picture(self, idx: int, square_px: int | None) -> Pixels:
        """Decode the frame at position `idx` into RGB, as `Player.picture`."""
        return _picture(self.frame(idx), self._reformatter, self._shown_px, square_px)

    def begin(self, timeline: Timeline, shown_px: tuple[int, int]) -> None:
        """Begin anew: frames of any position may be asked for next, by the times that the caller has read."""
        self._timeline, self._shown_px = timeline, shown_px
        self._frames, self._idx = iter(()), None

    def close(self) -> None:
        """Close the file now; a player and its frames refer to each other, so it would wait for the collector."""
        self._frames, self._media = iter(()), None
        self._stack.close()

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
        """Decode from the keyframe at `start`, or from the file's beginning; ends where the decoder fails."""
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
                    # Frames shown before the keyframe may refer to pictures that were never decoded.
                    if frame.pts is not None and frame.pts >= first_pts:
                        yield frame
        except av.error.FFmpegError:
            return

    def _open(self) -> tuple[InputContainer, VideoStream]:
        """Open the file; it is closed with the last reference to it."""
        with ExitStack() as stack:
            container = stack.enter_context(open_media(self._path))
            stream = video_stream(container, self._path)
            # No threads: a decoder waits for its own when it is freed, for ever in a process made by fork; and with
            # frame threads the mark of a damaged frame was lost at times.
            stream.codec_context.thread_count = 1
            self._stack = stack.pop_all()
        return container, stream


def fit_square(size_px: tuple[int, int], square_px: int) -> tuple[int, int]:
    """Width and height of a picture of `size_px` scaled so that its longer side is `square_px`."""
    scale = square_px / max(size_px)
    return max(1, round(size_px[0] * scale)), max(1, round(size_px[1] * scale))


def pad_square(picture: Pixels, square_px: int) -> Pixels:
    """Centre a picture uint8[H, W, 3] on a black square uint8[square_px, square_px, 3]."""
    square = np.zeros((square_px, square_px, 3), dtype=np.uint8)
    square[inside_square(picture.shape[1::-1], square_px)] = picture
    return square


def inside_square(size_px: tuple[int, ...], square_px: int) -> tuple[slice, slice]:
    """Rows and columns that a picture of `size_px`, width and height, takes when it is centred on a square."""
    left, top = ((square_px - side_px) // 2 for side_px in size_px)
    return slice(top, top + size_px[1]), slice(left, left + size_px[0])


def _picture(
    frame: VideoFrame, reformatter: VideoReformatter, shown_px: tuple[int, int], square_px: int | None
) -> Pixels:
    """Turn a decoded frame into RGB as shown, scaled and padded to a square if asked."""
    width, height = fit_square(shown_px, square_px) if square_px else shown_px
    quarters = quarter_turns(frame)
    if quarters % 2:
        width, height = height, width
    scaled = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA")
    pixels = scaled.to_ndarray()
    upright = np.rot90(pixels, quarters).astype(np.uint8, copy=False)
    return pad_square(upright, square_px) if square_px else np.ascontiguousarray(upright)


def quarter_turns(frame: VideoFrame) -> int:
    """Turns of 90 degrees, counter-clockwise, that put a frame upright; phones store most pictures lying down."""
    return round(frame.rotation / 90) % 4
