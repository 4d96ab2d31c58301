"""Counting videos: every frame paints its own index, so an off-by-one in decoding cannot hide.

The index is 16 bits in the upper two rows of a grid of 4 x 8 black and white cells; the lower two rows are the
complement, so a frame that is half of one index and half of another cannot be read at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import SubtitleSet
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
ROWS, COLUMNS = 4, 8
_TICKS_HZ = 30_000


def paint_index(index: int, size_px: tuple[int, int]) -> Pixels:
    """Paint `index` (below 65536) as uint8[H, W, 3] for `size_px` = (width, height)."""
    bits = np.array([index >> shift & 1 for shift in range(15, -1, -1)], dtype=np.uint8)
    cells = (np.concatenate([bits, 1 - bits]) * 255).reshape(ROWS, COLUMNS)
    width, height = size_px
    rows, columns = np.arange(height) * ROWS // height, np.arange(width) * COLUMNS // width
    return np.repeat(cells[rows][:, columns, None], 3, axis=2)


def read_index(picture: Pixels) -> int:
    """Read the index back from uint8[H, W, 3]."""
    height, width = picture.shape[:2]
    rows = ((np.arange(ROWS) + 0.5) * height / ROWS).astype(int)
    columns = ((np.arange(COLUMNS) + 0.5) * width / COLUMNS).astype(int)
    bits = (picture[rows][:, columns].mean(axis=2) > 127).reshape(2, 16)
    if not (bits[0] ^ bits[1]).all():
        raise ValueError("the picture carries no whole index: it is torn, blended or not a counting frame")
    return int(sum(int(bit) << shift for bit, shift in zip(bits[0], range(15, -1, -1), strict=True)))


@dataclass(frozen=True)
class VideoSpec:
    """What to write; the defaults make a small H.264 file."""

    frames: int = 40
    fps: Fraction = Fraction(10)
    size_px: tuple[int, int] = (64, 48)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    gop: int = 12
    b_frames: int = 0
    frame_times_s: tuple[float, ...] = ()
    """Presentation time of every frame for a variable frame rate; empty means a constant `fps`."""
    start_s: float = 0.0
    turned_deg: int = 0
    """Stored lying down, with the note that players turn it by this many degrees, counter-clockwise."""
    pixel_aspect: Fraction = Fraction(1)
    audio: bool = False
    subtitles: tuple[tuple[float, float, str], ...] = ()
    """Start, end and text of an embedded text stream: mov_text in MP4 and MOV, subrip in Matroska."""
    paint: Callable[[int, tuple[int, int]], Pixels] = field(default=paint_index)
    options: dict[str, str] = field(default_factory=dict)
    """Further options of the encoder or the muxer."""

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Presentation times counted from the first frame."""
        if self.frame_times_s:
            return np.asarray(self.frame_times_s, dtype=np.float64)
        return np.arange(self.frames) / float(self.fps)


def write_video(path: Path, spec: VideoSpec | None = None, muxer: dict[str, str] | None = None) -> VideoSpec:
    """Write a counting video and return its spec; the suffix of `path` chooses the container."""
    spec = spec or VideoSpec()
    with av.open(str(path), "w", options=muxer or {}) as container:
        video = _add_video(container, spec)
        audio = container.add_stream("aac", rate=16_000, layout="mono") if spec.audio else None
        text = _add_text(container, path, spec) if spec.subtitles else None
        for index, time_s in enumerate(spec.times_s):
            picture = np.rot90(spec.paint(index, spec.size_px), -spec.turned_deg // 90)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.time_base = Fraction(1, _TICKS_HZ)
            frame.pts = round((time_s + spec.start_s) * _TICKS_HZ)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            _write_tone(container, audio, spec)
        if text is not None:
            _write_text(container, text, spec)
    return spec


def _add_video(container: av.container.OutputContainer, spec: VideoSpec) -> av.VideoStream:
    # AVI, MPEG-1 and MPEG-2 know no time base but their frame rate.
    by_rate = container.format.name == "avi" or spec.codec in ("mpeg1video", "mpeg2video")
    stream = container.add_stream(spec.codec, rate=spec.fps if by_rate or not spec.frame_times_s else None)
    stream.width, stream.height = spec.size_px if spec.turned_deg % 180 == 0 else spec.size_px[::-1]
    stream.pix_fmt = "yuvj420p" if spec.codec == "mjpeg" else spec.pix_fmt
    stream.time_base = stream.codec_context.time_base = 1 / spec.fps if by_rate else Fraction(1, _TICKS_HZ)
    stream.codec_context.sample_aspect_ratio = spec.pixel_aspect
    if spec.turned_deg:
        stream.set_display_rotation(spec.turned_deg)
    stream.codec_context.gop_size = spec.gop
    stream.codec_context.max_b_frames = spec.b_frames
    fixed = {"preset": "ultrafast", "sc_threshold": "0", "keyint_min": str(spec.gop), "bf": str(spec.b_frames)}
    stream.options = (fixed if spec.codec == "libx264" else {}) | spec.options
    return stream


def _add_text(container: av.container.OutputContainer, path: Path, spec: VideoSpec) -> SubtitleStream:
    stream = container.add_stream("subrip" if path.suffix == ".mkv" else "mov_text")
    stream.time_base = Fraction(1, 1000)
    stream.codec_context.subtitle_header = b"[Script Info]\nScriptType: v4.00+\n"
    return stream


def _write_tone(container: av.container.OutputContainer, stream: av.AudioStream, spec: VideoSpec) -> None:
    samples = int((spec.times_s[-1] + 0.1) * stream.rate)
    wave = (np.sin(np.arange(samples) * 2 * np.pi * 440 / stream.rate) * 8000).astype(np.int16)
    for start in range(0, samples, 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="s16", layout="mono")
        frame.rate, frame.pts = stream.rate, start + round(spec.start_s * stream.rate)
        frame.time_base = Fraction(1, stream.rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _write_text(container: av.container.OutputContainer, stream: SubtitleStream, spec: VideoSpec) -> None:
    for start_s, end_s, text in spec.subtitles:
        event = SubtitleSet.create(
            b"0,0,Default,,0,0,0,," + text.encode(), start=0, end=round((end_s - start_s) * 1000), pts=0
        )
        packet = stream.codec_context.encode_subtitle(event)
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = round((start_s + spec.start_s) * 1000)
        packet.duration = round((end_s - start_s) * 1000)
        container.mux(packet)


def indices(pictures: Sequence[Pixels] | Pixels) -> list[int]:
    """Read the index of every picture."""
    return [read_index(picture) for picture in pictures]
