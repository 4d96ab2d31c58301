"""Judges of the corpus: a file decoded from its start to its end, without a seek, into small pictures with their times.

The `ffmpeg` program is the judge where it is installed, since it shares neither code nor version with the engine; else
PyAV is, and only its seeks are put to the test.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vt_env.media.decode.pyav_player import orientation_of

SIDE_PX = 32
"""Side of the square pictures that are compared."""
FRAMES = 20_000
"""Frames that are judged, from the start: a quarter of an hour of usual video, 60 MB."""

_TICK = re.compile(r"config in time_base: (\d+)/(\d+)")
_PTS = re.compile(r"\bn: *\d+ pts: *(-?\d+|NOPTS) .*?sar:(\d+)/(\d+) s:(\d+)x(\d+)")


@dataclass(frozen=True)
class Judged:
    """Frames of a file in display order."""

    times_s: NDArray[np.float64]
    """float64[N], presentation times on the clock of the container, increasing."""
    pictures: NDArray[np.uint8]
    """uint8[N, SIDE_PX, SIDE_PX, 3] RGB."""
    size_px: tuple[int, int]
    """Width and height as shown, with square pixels."""
    said: str = ""
    """Why there is no frame."""


@cache
def program() -> str | None:
    """Return the path of the `ffmpeg` program, or `None`."""
    return shutil.which("ffmpeg")


@cache
def name_of_judge() -> str:
    """Return the judge with its version."""
    if (found := program()) is None:
        return f"PyAV {av.__version__}, decoding from the start"
    told = subprocess.run([found, "-version"], capture_output=True, text=True, check=True).stdout
    return "the program " + " ".join(told.split()[:3])


def judge(path: Path, stream_idx: int | None) -> Judged:
    """Decode a file from its start.

    Args:
        path: The file.
        stream_idx: Index of the video stream; `None` means the judge's own choice.
    """
    found = program()
    return _by_pyav(path) if found is None else _by_program(found, path, stream_idx)


def _by_program(found: str, path: Path, stream_idx: int | None) -> Judged:
    chosen = "0:v:0" if stream_idx is None else f"0:{stream_idx}"
    command = [
        found,
        "-hide_banner",
        "-nostdin",
        "-threads",
        "1",
        "-copyts",
        "-i",
        f"file:{path.absolute()}",
        "-map",
        chosen,
    ]
    command += ["-frames:v", str(FRAMES), "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo"]
    command += ["-vf", f"showinfo=checksum=0,scale={SIDE_PX}:{SIDE_PX}:flags=area", "pipe:1"]
    done = subprocess.run(command, capture_output=True, check=False)
    told = done.stderr.decode(errors="replace")
    ticks, shown = _TICK.search(told), _PTS.findall(told)
    pictures = np.frombuffer(done.stdout, dtype=np.uint8).reshape(-1, SIDE_PX, SIDE_PX, 3)
    count = min(len(pictures), len(shown))
    if ticks is None or not count or any(row[0] == "NOPTS" for row in shown):
        return Judged(np.zeros(0), pictures[:0], (0, 0), (told.strip().splitlines() or [""])[-1])
    tick_s = Fraction(int(ticks[1]), int(ticks[2]))
    times_s = np.array([float(int(row[0]) * tick_s) for row in shown[:count]])
    _, above, below, width, height = map(int, (0, *shown[0][1:]))
    aspect = Fraction(above, below) if above and below else Fraction(1)
    return _in_order(times_s, pictures[:count], _square_pixels(width, height, aspect))


def _by_pyav(path: Path) -> Judged:
    times_s: list[float] = []
    pictures: list[NDArray[np.uint8]] = []
    size_px = (0, 0)
    try:
        with av.open(str(path.absolute()), metadata_errors="replace") as container:
            stream = container.streams.best("video")
            for frame in container.decode(stream) if stream is not None else ():
                if frame.time is None or len(times_s) == FRAMES:
                    break
                orientation = orientation_of(frame)
                small = frame.reformat(SIDE_PX, SIDE_PX, "rgb24", interpolation="AREA").to_ndarray()
                pictures.append(np.ascontiguousarray(orientation.upright(small)))
                times_s.append(frame.time)
                aspect = stream.sample_aspect_ratio or Fraction(1)
                shown = _square_pixels(frame.width, frame.height, aspect)
                size_px = shown[::-1] if orientation.is_transposed else shown
    except av.error.FFmpegError as error:
        if not times_s:
            return Judged(np.zeros(0), np.zeros((0, SIDE_PX, SIDE_PX, 3), np.uint8), size_px, str(error.strerror))
    return _in_order(np.array(times_s), np.array(pictures).reshape(-1, SIDE_PX, SIDE_PX, 3), size_px)


def _square_pixels(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Return the size in square pixels that loses no row and no column."""
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))


def _in_order(times_s: NDArray[np.float64], pictures: NDArray[np.uint8], size_px: tuple[int, int]) -> Judged:
    # Of frames that share a time, a player shows the last.
    times_s, last = np.unique(times_s[::-1], return_index=True)
    return Judged(times_s, pictures[::-1][last], size_px)
