"""Picture folders as videos: one picture a second, or at the times in `frames.json`.

Knows pictures and file names; knows nothing of containers or stores. Pictures are in natural order, so that
`frame_10.jpg` follows `frame_9.jpg`. The optional `frames.json` holds `{"frame_rate_hz": 2.0}`, or
`{"times_s": [0.0, 1.5, …], "end_s": 9.0}` with one strictly increasing time per picture.
"""

import json
import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from vt_env.errors import DataError, is_shortage
from vt_env.media.decode.container import MAX_DURATION_S, MAX_PIXELS, Timeline
from vt_env.media.decode.pyav_player import Pixels

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
TIMES_FILE = "frames.json"
_FORMATS = ("BMP", "JPEG", "PNG", "WEBP")
"""Formats that are tried, whatever the suffix: Pillow also knows some that run other programs, such as EPS."""

_TICK_S = Fraction(1, 90_000)
"""MPEG's 90 kHz clock, of which the period of every common frame rate is close to a whole number of ticks."""


class PictureFolderPlayer:
    """Player that reads the pictures of a folder by index."""

    def __init__(self, path: Path, timeline: Timeline, shown_px: tuple[int, int]) -> None:
        self._pictures, self._shown_px = list_pictures(path), shown_px

    def picture(self, idx: int, size_px: tuple[int, int] | None) -> Pixels:
        """Read the picture at index `idx`, as `Player.picture`.

        Raises:
            DataError: The picture cannot be read, or its size differs from the first one's.
        """
        path = self._pictures[idx]
        picture = _read(path)
        if picture.size != self._shown_px:
            raise DataError(f"{path}: it is {picture.size} and the first is {self._shown_px}; make all of one size")
        if size_px is None or size_px == picture.size:
            return np.asarray(picture)
        return np.asarray(picture.resize(size_px, Image.Resampling.BOX))


def list_pictures(folder: Path) -> list[Path]:
    """List the pictures of a folder in playing order."""
    found = (it for it in folder.iterdir() if it.suffix.lower() in PICTURE_SUFFIXES and it.is_file())
    return sorted(found, key=_natural_order)


def read_folder(folder: Path) -> tuple[tuple[int, int], Timeline]:
    """Read the size of the first picture, width and height, and the timeline of all.

    Raises:
        DataError: The folder has no picture, the first one cannot be read, or the times are invalid.
    """
    pictures = list_pictures(folder)
    if not pictures:
        raise DataError(f"{folder}: it is a folder without pictures ({', '.join(PICTURE_SUFFIXES)}); give a video file")
    times_s, end_s = _times(folder, len(pictures))
    # Times are rounded to ticks, so each may differ by half a tick from the file's.
    ticks = np.round(np.asarray([*times_s, end_s]) / float(_TICK_S)).astype(np.int64)
    if len(times_s) != len(pictures) or not (np.diff(ticks) > 0).all():
        raise DataError(
            f"{folder / TIMES_FILE}: need {len(pictures)} increasing times, one a picture, and a later end_s"
        )
    if ticks[-1] - ticks[0] > MAX_DURATION_S / float(_TICK_S):
        hours = round(MAX_DURATION_S / 3600)
        raise DataError(f"{folder / TIMES_FILE}: its times span more than {hours} hours, the maximum; correct them")
    keyframes = np.stack([ticks[:-1], ticks[:-1]], axis=1)
    return _read(pictures[0]).size, Timeline(_TICK_S, ticks[:-1], int(ticks[-1]), keyframes)


def _times(folder: Path, count: int) -> tuple[list[float], float]:
    if not (folder / TIMES_FILE).is_file():
        return [float(number) for number in range(count)], float(count)
    try:
        entry: dict[str, Any] = json.loads((folder / TIMES_FILE).read_text())
        if "frame_rate_hz" in entry:
            rate_hz = float(entry["frame_rate_hz"])
            if not 0 < rate_hz < math.inf:
                raise ValueError(f"frame_rate_hz is {rate_hz}")
            return [number / rate_hz for number in range(count)], count / rate_hz
        times_s, end_s = [float(time_s) for time_s in entry["times_s"]], float(entry["end_s"])
        if not all(map(math.isfinite, (*times_s, end_s))):
            raise ValueError("a time is not finite")
        return times_s, end_s
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        if is_shortage(error):
            raise
        need = '{"frame_rate_hz": 2.0} or {"times_s": […], "end_s": 9.0}'
        raise DataError(f"{folder / TIMES_FILE}: {type(error).__name__} {error}; need {need}") from error


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(f"{path}: it is {picture.width}x{picture.height}, at most {MAX_PIXELS} pixels are read")
            return ImageOps.exif_transpose(picture).convert("RGB")
    except (DataError, MemoryError):
        raise
    except Exception as error:
        if is_shortage(error):
            raise
        # Damaged pictures raise anything, from SyntaxError to struct.error.
        raise DataError(f"{path}: it cannot be read as a picture ({type(error).__name__}); copy it again") from error


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
