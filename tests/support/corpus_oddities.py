"""How files of the corpus are odd: writers besides `support.videos.write_video`, and changes of their bytes."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from support.videos import VideoSpec, paint_index

Bytes = Callable[[bytes], bytes]
"""Changes the bytes of a written file."""


def cut_to(share: float) -> Bytes:
    """Keep the first `share` of the bytes."""
    return lambda data: data[: int(len(data) * share)]


def cut_by(count: int) -> Bytes:
    """Take bytes off the end."""
    return lambda data: data[:-count]


def followed_by(tail: bytes) -> Bytes:
    """Append bytes."""
    return lambda data: data + tail


def preceded_by(head: bytes) -> Bytes:
    """Put bytes in front."""
    return lambda data: head + data


def twice(data: bytes) -> bytes:
    """Join the file to itself, as `cat` does."""
    return data + data


def renamed(old: bytes, new: bytes) -> Bytes:
    """Replace a name of equal length wherever it stands."""
    return lambda data: data.replace(old, new)


def number_after(name: bytes, offset: int, value: int, size: int = 4) -> Bytes:
    """Replace the big-endian number `offset` bytes behind the first `name`."""

    def change(data: bytes) -> bytes:
        at = data.index(name) + len(name) + offset
        return data[:at] + value.to_bytes(size, "big") + data[at + size :]

    return change


def keyframes_alone(data: bytes) -> bytes:
    """Flag every frame in the index of an AVI as key."""
    changed = bytearray(data)
    at = changed.index(b"idx1")
    for entry in range(at + 8, len(changed) - 15, 16):
        changed[entry + 4] |= 0x10
    return bytes(changed)


def zeroed(start: float, end: float) -> Bytes:
    """Replace a part of the file by zeros."""

    def change(data: bytes) -> bytes:
        first, last = int(len(data) * start), int(len(data) * end)
        return data[:first] + bytes(last - first) + data[last:]

    return change


def write_sound(path: Path, codec: str = "aac", seconds: float = 2.0) -> None:
    """Write a file of sound alone."""
    with av.open(str(path), "w") as container:
        rate = 48_000 if codec == "libopus" else 16_000
        stream = container.add_stream(codec, rate=rate, layout="mono")
        wave = (np.sin(np.arange(int(seconds * rate)) / 20) * 8000).astype(np.int16)
        for start in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="s16", layout="mono")
            frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_sound_after_picture(path: Path, spec: VideoSpec, seconds: float) -> None:
    """Write a video whose sound goes on for `seconds`."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(spec.codec, rate=spec.fps)
        video.width, video.height = spec.size_px
        video.pix_fmt = spec.pix_fmt
        audio = container.add_stream("aac", rate=16_000, layout="mono")
        for index in range(spec.frames):
            frame = av.VideoFrame.from_ndarray(paint_index(index, spec.size_px), format="rgb24")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, int(seconds * 16_000), 1024):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.int16), format="s16", layout="mono")
            sound.rate, sound.pts, sound.time_base = 16_000, start, Fraction(1, 16_000)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))


def write_turned(path: Path, spec: VideoSpec, matrix: tuple[int, int, int, int]) -> None:
    """Write a video whose display matrix maps a stored (x, y) to (a x + c y, b x + d y), y pointing down."""
    one = 1 << 16
    a, b, c, d = (number * one for number in matrix)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(spec.codec, rate=spec.fps)
        stream.width, stream.height = spec.size_px
        stream.pix_fmt = spec.pix_fmt
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for index in range(spec.frames):
            frame = av.VideoFrame.from_ndarray(paint_index(index, spec.size_px), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_two_pictures(path: Path, spec: VideoSpec) -> None:
    """Write a file with two video streams, the smaller one first."""
    small = (spec.size_px[0] // 2, spec.size_px[1] // 2)
    with av.open(str(path), "w") as container:
        streams = []
        for width, height in (small, spec.size_px):
            stream = container.add_stream(spec.codec, rate=spec.fps)
            stream.width, stream.height, stream.pix_fmt = width, height, spec.pix_fmt
            streams.append(stream)
        for index in range(spec.frames):
            for stream, shift in zip(streams, (100, 0), strict=True):
                pixels = paint_index(index + shift, (stream.width, stream.height))
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))


def write_with_picture(path: Path, spec: VideoSpec) -> None:
    """Write a sound file with a cover as its only picture."""
    source = path.with_name(f"source_{path.name}.m4a")
    write_sound(source)
    cover = av.VideoFrame.from_ndarray(paint_index(1, spec.size_px), format="rgb24").reformat(format="yuvj420p")
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *spec.size_px, "yuvj420p", Fraction(1, 1)
    (packet, *_) = [*encoder.encode(cover), *encoder.encode(None)]
    with av.open(str(source)) as read, av.open(str(path), "w") as written:
        sound = written.add_stream_from_template(read.streams.audio[0])
        picture = written.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = *spec.size_px, "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
        packet.stream = picture
        packet.pts = packet.dts = 0
        written.mux(packet)
        for it in read.demux(audio=0):
            if it.size:
                it.stream = sound
                written.mux(it)
    source.unlink()
