"""Generated videos that compress like camera pictures: drifting texture at four scales and a little grain.

Long ones are a short one copied end to end without encoding it again: decoders and stores have the same work with each
copy, since neither knows of the others.
"""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def write_pictures(
    path: Path, duration_s: float, size_px: tuple[int, int] = (640, 360), rate_hz: int = 25, gop: int = 250
) -> None:
    """Write H.264 with a keyframe every `gop` frames; each 10 s are another scene. Grain is the same in every frame."""
    rng = np.random.default_rng(0)
    width, height = size_px
    grain = rng.integers(-3, 4, (height, width, 1))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate_hz)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        stream.time_base = Fraction(1, rate_hz)
        stream.options = {"preset": "ultrafast", "crf": "23", "sc_threshold": "0", "keyint_min": str(gop)}
        scene = _scene(rng, size_px)
        for number in range(round(duration_s * rate_hz)):
            if number % (10 * rate_hz) == 0 and number:
                scene = _scene(rng, size_px)
            left, top = number % (10 * rate_hz) // 4, number % (10 * rate_hz) // 8
            picture = np.clip(scene[top : top + height, left : left + width] + grain, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def repeat(source: Path, target: Path, copies: int) -> None:
    """Write `copies` of a video end to end, by its packets."""
    with av.open(str(target), "w") as written:
        stream, shift = None, 0
        for _ in range(copies):
            end = shift
            with av.open(str(source)) as read:
                stream = stream or written.add_stream_from_template(read.streams.video[0])
                for packet in read.demux(video=0):
                    if packet.pts is None or packet.dts is None:
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                    end = max(end, packet.pts + (packet.duration or 0))
                    written.mux(packet)
            shift = end


def _scene(rng: np.random.Generator, size_px: tuple[int, int]) -> NDArray[np.int16]:
    """Draw texture at four scales, coarse ones stronger, as int16[H + 64, W + 64, 3]."""
    width, height = size_px[0] + 64, size_px[1] + 64
    total = np.full((height, width, 3), 128.0)
    for cells, strength in ((4, 90), (12, 50), (40, 25), (120, 10)):
        noise = (rng.random((max(2, cells * height // width), cells, 3)) * 255).astype(np.uint8)
        grown = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        total += (np.asarray(grown, dtype=np.float64) - 128) * strength / 128
    return np.clip(total, 0, 255).astype(np.int16)
