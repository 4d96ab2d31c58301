"""PyAV player: decodes the frame at an index of the timeline; correct for every measured format.

Knows FFmpeg and pictures; knows nothing of seconds or stores. A frame is accepted only if decoding started at a
keyframe, the presentation time matches exactly and no error flag is set. No player can detect damage that a format
hides, such as flipped bytes that still decode or a block missing from a Matroska file.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vt_env.errors import DataError
from vt_env.media.decode.container import REENCODE, WITHHOLDING, Timeline, open_media, video_stream
from vt_env.media.decode.container_structure import Crop, read_crop

Pixels = NDArray[np.uint8]

_JUMP_FRAMES = 64
"""Minimum number of frames that a seek must skip; decoding a shorter distance is faster."""
_FALSE_KEYFRAMES = 512
"""Maximum number of false keyframes in turn; encoders place keyframes up to 300 frames apart."""


class Player(Protocol):
    """Decodes frames of one video in increasing order."""

    def picture(self, idx: int, size_px: tuple[int, int] | None) -> Pixels:
        """Decode the frame at index `idx` of the timeline; successive indexes must increase.

        Returns: uint8[H, W, 3] RGB at display size; with `size_px`, scaled to that width and height.

        Raises:
            DataError: The frame cannot be decoded.
        """
        ...

    def restart(self, timeline: Timeline, shown_px: tuple[int, int]) -> None:
        """Take the caller's timeline and display size, so that the next index may be any; keep the file open."""
        ...

    def close(self) -> None:
        """Close the file."""
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
        self._has_false_keyframes = False
        """Whether decoding from a keyframe has begun with another frame."""
        self._crop = Crop()
        """Crop by the container; known once the file is open."""
        self._stack = ExitStack()
        """Owns the open file."""
        self._reformatter = VideoReformatter()
        """Shared by all frames: setting up the scaler takes several times as long as scaling a frame."""

    def picture(self, idx: int, size_px: tuple[int, int] | None) -> Pixels:
        """Decode the frame at index `idx` into RGB, as `Player.picture`."""
        frame = self.frame(idx)
        cut = frame if self._crop == Crop() else _cut(frame, self._crop)
        return _picture(cut, orientation_of(frame), self._reformatter, size_px or self._shown_px)

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
        first_pts = self._timeline.keyframes[max(0, keyframe_idx), 0]
        jump_idx = int(np.searchsorted(self._timeline.pts, first_pts))
        near = self._idx is not None and jump_idx - self._idx < _JUMP_FRAMES
        frame = self._advance(pts) if near else None
        for start_idx in self._starts(keyframe_idx):
            if frame is not None:
                break
            self._frames = self._play(start_idx)
            frame = self._advance(pts)
        if frame is None:
            time_s = self._timeline.times_s[idx]
            raise DataError(f"{self._path}: damaged, its frame at {time_s:.3f} s does not decode; {REENCODE}")
        self._idx = idx
        return frame

    def _starts(self, keyframe_idx: int) -> Iterator[int | None]:
        """Yield keyframes ever further back, then `None`: some formats and open GOPs overshoot a seek.

        Each one in turn while keyframes prove false, which takes one decoded frame each.
        """
        back = 0
        while back <= keyframe_idx and back <= (_FALSE_KEYFRAMES if self._has_false_keyframes else 8):
            yield keyframe_idx - back
            back += 1 if self._has_false_keyframes else max(1, back)
        yield None

    def _advance(self, pts: int) -> VideoFrame | None:
        """Decode up to the frame at `pts`; return `None` if it is missing or a frame before it is damaged."""
        for frame in self._frames:
            if frame.is_corrupt or (frame.pts or 0) > pts:
                return None
            if frame.pts == pts:
                return frame
        return None

    def _play(self, start_idx: int | None) -> Iterator[VideoFrame]:
        """Yield frames from a keyframe of the timeline, or from the start of the file, until the decoder fails.

        Yields nothing where the file has no keyframe there: the container's flag is not the decoder's, or the packet
        got another time by the seek, as in MPEG program streams.
        """
        if start_idx is None or self._media is None:
            self._media = self._open()
        _, stream = self._media
        is_sound = start_idx is None or stream.codec_context.codec.canonical_name in WITHHOLDING
        begins_early = start_idx is None and self._timeline.begins_early
        try:
            for first_pts, packet in self._packets(start_idx, *self._media):
                for frame in _decoded(packet, ignore_errors=begins_early):
                    frame.pts = self._timeline.frame_pts(frame.pts)
                    # Frames presented before the keyframe may reference pictures that were never decoded.
                    if frame.pts is None or frame.pts < first_pts:
                        continue
                    if not is_sound and not frame.key_frame:
                        self._has_false_keyframes = True
                        return
                    is_sound, begins_early = True, False
                    yield frame
        except av.error.FFmpegError:
            return

    def _packets(
        self, start_idx: int | None, container: InputContainer, stream: VideoStream
    ) -> Iterator[tuple[int, "Packet[VideoStream]"]]:
        """Yield the keyframe's presentation tick and a packet, from the keyframe on."""
        if start_idx is not None:
            container.seek(int(self._timeline.keyframes[start_idx, 1]), stream=stream)
        is_early = start_idx is None and self._timeline.begins_early
        first_pts = int(self._timeline.pts[0]) if is_early else None
        for packet in container.demux(stream):
            if self._timeline.packet_ticks is not None:
                packet.pts = packet.dts
            if first_pts is None and packet.is_keyframe:
                first_pts = self._timeline.frame_pts(packet.pts)
                if start_idx is not None and not self._is_keyframe(first_pts, start_idx):
                    return
            if first_pts is not None:
                yield first_pts, packet

    def _is_keyframe(self, pts: int | None, last_idx: int) -> bool:
        """Return whether one of the timeline's keyframes up to `last_idx` is presented at `pts`."""
        if pts is None:
            return False
        known = self._timeline.keyframes[: last_idx + 1, 0]
        at = int(np.searchsorted(known, pts))
        return at < len(known) and int(known[at]) == pts

    def _open(self) -> tuple[InputContainer, VideoStream]:
        """Open the file; dropping the last reference closes it."""
        with ExitStack() as stack:
            container = stack.enter_context(open_media(self._path))
            stream = video_stream(container, self._path)
            self._crop = read_crop(self._path, container.format.name, (stream.width, stream.height))
            # One thread: freeing a decoder joins its threads, which never returns in a forked process, and frame
            # threading was seen to lose the corrupt flag of damaged frames.
            stream.codec_context.thread_count = 1
            self._stack = stack.pop_all()
        return container, stream


def _decoded(packet: "Packet[VideoStream]", *, ignore_errors: bool) -> list[VideoFrame]:
    try:
        return packet.decode()
    except av.error.FFmpegError:
        if not ignore_errors:
            raise
        return []


def _cut(frame: VideoFrame, crop: Crop) -> VideoFrame:
    """Return the shown part of a frame, as RGB."""
    pixels = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    height, width = pixels.shape[:2]
    shown = pixels[crop.top : height - crop.bottom, crop.left : width - crop.right]
    return VideoFrame.from_ndarray(np.ascontiguousarray(shown), format="rgb24")


def _picture(
    frame: VideoFrame, orientation: "Orientation", reformatter: VideoReformatter, size_px: tuple[int, int]
) -> Pixels:
    """Convert a decoded frame to upright RGB of a width and height."""
    width, height = reversed(size_px) if orientation.is_transposed else size_px
    scaled = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA")
    pixels = scaled.to_ndarray().astype(np.uint8, copy=False)
    return np.ascontiguousarray(orientation.upright(pixels))


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is shown: transposed, then flipped; phones store rotated pictures, some mirrored."""

    is_transposed: bool = False
    flips_rows: bool = False
    """Whether the top is at the bottom, after the transposition."""
    flips_columns: bool = False

    @property
    def is_mirrored(self) -> bool:
        """Whether no rotation alone shows the picture."""
        return self.is_transposed ^ self.flips_rows ^ self.flips_columns

    def upright(self, pixels: Pixels) -> Pixels:
        """Return a stored picture uint8[H, W, 3] as a view in its shown orientation."""
        turned = pixels.swapaxes(0, 1) if self.is_transposed else pixels
        return turned[:: -1 if self.flips_rows else 1, :: -1 if self.flips_columns else 1]


def orientation_of(frame: VideoFrame) -> Orientation:
    """Read the display matrix of a frame, rounded to one of the eight orientations.

    The matrix (ISO/IEC 14496-12, 6.2.2) maps a stored (x, y) to a shown (a x + c y, b x + d y), y pointing down.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, d < 0, a < 0)
    return Orientation(True, b < 0, c < 0)
