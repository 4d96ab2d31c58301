"""Decoder backends other than PyAV, imported on use, and the formats that each decodes correctly.

Knows players and measurements; knows nothing of stores. All backends share the timeline that PyAV reads from the
packets and only map a frame index to a picture, so a backend that counts frames differently is detected.

`RIGHT` records measurements of `experiments/bench/decoding.py` (40 frames of each of 28 files in random order, PyAV
18.1.0, torchcodec 0.17.0 on PyAV's FFmpeg 8.1, decord2 3.4.0; `experiments/bench/results/decoding.json`). PyAV was
correct in all formats, torchcodec in all but MPEG transport streams. decord returned wrong pictures without an error in
H.264 with open groups, HEVC, MPEG-4 with B-frames and transport streams. One wrong frame excludes a backend from a
format. `auto` picks the fastest correct one: at one frame a second of an hour at 360p, torchcodec took 0.99 of PyAV's
time (`experiments/bench/results/media.json`); decord was slower. `MediaConfig.backend` chooses.
"""

import importlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vt_env.config import BACKENDS
from vt_env.errors import ConfigError, DataError, first_line, suggest
from vt_env.media.decode.container import REENCODE, Timeline
from vt_env.media.decode.pyav_player import MakePlayer, Pixels, PyAVPlayer

RIGHT: Mapping[str, Sequence[str]] = {
    "torchcodec": (
        "avi,mpeg4",
        "matroska,av1",
        "matroska,h264",
        "matroska,hevc",
        "matroska,vp9",
        "mov,av1",
        "mov,h264",
        "mov,hevc",
        "mov,mjpeg",
        "mov,mpeg4",
        "mov,vp9",
    ),
    "decord": ("avi,mpeg4", "matroska,av1", "matroska,vp9", "mov,av1", "mov,mjpeg", "mov,vp9"),
}
"""Formats, as `container,codec` by FFmpeg's names, in which each backend decoded every measured frame correctly."""


class TorchcodecPlayer:
    """Player that decodes with torchcodec by frame index and checks the returned presentation time."""

    def __init__(self, path: Path, timeline: Timeline, shown_px: tuple[int, int], device: str = "cpu") -> None:
        module = _import(*_MODULES["torchcodec"])
        self._path, self._timeline, self._shown_px = path, timeline, shown_px
        try:
            self._decoder: Any = module.VideoDecoder(
                str(path.absolute()), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact", device=device
            )
        except (RuntimeError, ValueError) as error:
            raise _undecodable(path, "torchcodec", error) from error
        _check_count(path, "torchcodec", len(self._decoder), timeline)

    def picture(self, idx: int, size_px: tuple[int, int] | None) -> Pixels:
        """Decode the frame at index `idx`, as `Player.picture`.

        Raises:
            DataError: The frame does not decode, or torchcodec returns another frame.
        """
        expected_s = float(int(self._timeline.pts[idx]) * self._timeline.tick_s)
        try:
            # Not by time: torchcodec trusts nominal durations, which are wrong for variable frame rates.
            frame = self._decoder.get_frame_at(idx)
        except (RuntimeError, ValueError, IndexError) as error:
            raise _undecodable(self._path, "torchcodec", error) from error
        _check_time(self._path, "torchcodec", float(frame.pts_seconds), expected_s)
        return _sized(frame.data.cpu().numpy(), size_px or self._shown_px)

    def restart(self, timeline: Timeline, shown_px: tuple[int, int]) -> None:
        """Take the caller's timeline and display size, as `Player.restart`."""
        self._timeline, self._shown_px = timeline, shown_px

    def close(self) -> None:
        """Drop the decoder, which closes the file."""
        self._decoder = None


class DecordPlayer:
    """Player that decodes with decord by frame index and checks the returned presentation time."""

    def __init__(self, path: Path, timeline: Timeline, shown_px: tuple[int, int]) -> None:
        module = _import(*_MODULES["decord"])
        self._path, self._timeline, self._shown_px = path, timeline, shown_px
        try:
            self._reader: Any = module.VideoReader(str(path.absolute()), num_threads=1)
        except (RuntimeError, module.DECORDError) as error:
            raise _undecodable(path, "decord", error) from error
        _check_count(path, "decord", len(self._reader), timeline)

    def picture(self, idx: int, size_px: tuple[int, int] | None) -> Pixels:
        """Decode the frame at index `idx`, as `Player.picture`.

        Raises:
            DataError: The frame does not decode, or decord returns another frame.
        """
        try:
            picture = self._reader[idx].asnumpy()
            start_s = float(self._reader.get_frame_timestamp(idx)[0])
        except (RuntimeError, IndexError) as error:
            raise _undecodable(self._path, "decord", error) from error
        first_s = float(self._reader.get_frame_timestamp(0)[0])
        _check_time(self._path, "decord", start_s - first_s, float(self._timeline.times_s[idx]))
        if picture.shape[2] != 3:
            # Seen in files with non-square pixels.
            raise DataError(f"{self._path}: decord returns {picture.shape[2]} channels; use backend pyav")
        return _sized(picture, size_px or self._shown_px)

    def restart(self, timeline: Timeline, shown_px: tuple[int, int]) -> None:
        """Take the caller's timeline and display size, as `Player.restart`."""
        self._timeline, self._shown_px = timeline, shown_px

    def close(self) -> None:
        """Drop the decoder, which closes the file."""
        self._reader = None


PLAYERS: Mapping[str, MakePlayer] = {
    "pyav": PyAVPlayer,
    "torchcodec": TorchcodecPlayer,
    "torchcodec:cuda": partial(TorchcodecPlayer, device="cuda"),
    "decord": DecordPlayer,
}
"""Backends by name. `torchcodec:cuda` decodes on a GPU (NVDEC); it has not been run yet, so its pictures were not
compared: it counts as right where torchcodec was on a CPU, and each frame's time is checked."""


def choose_backend(backend: str, format_name: str, path: Path) -> str:
    """Choose the backend for a file, a name in `PLAYERS`.

    Args:
        backend: As `MediaConfig.backend`.
        format_name: The format, as `vt_env.media.decode.container.format_of` returns it.
        path: The file, for error messages.

    Raises:
        ConfigError: The backend is unknown, not installed, or not known to decode this format correctly.
    """
    installed = installed_backend(backend)
    if backend == "auto":
        return installed if is_right(installed, format_name) else "pyav"
    if not is_right(backend, format_name):
        raise ConfigError(f"{path}: backend {backend} is not known to be right for {format_name}; use pyav or auto")
    return backend


def installed_backend(backend: str) -> str:
    """Return the backend that decodes what it is right for on this machine: the fastest installed one for `auto`.

    `auto` is torchcodec where that is installed, else PyAV. decord is left out: it was slower than PyAV, which is
    always correct.

    Raises:
        ConfigError: The backend is unknown or does not load.
    """
    if backend == "auto":
        return "torchcodec" if is_installed("torchcodec") else "pyav"
    if backend not in PLAYERS:
        raise ConfigError(f"backend={backend!r}: allowed are {', '.join(BACKENDS)}{suggest(backend, BACKENDS)}")
    _import(*_MODULES[backend.partition(":")[0]])
    return backend


def is_right(backend: str, format_name: str) -> bool:
    """Return whether every measured frame of a format was correct; PyAV counts as correct, by the tests."""
    return backend == "pyav" or format_name in RIGHT.get(backend.partition(":")[0], ())


def is_installed(backend: str) -> bool:
    """Return whether a backend can be imported."""
    try:
        installed_backend(backend)
    except ConfigError:
        return False
    return True


_MODULES = {
    "pyav": ("av", "av"),
    "torchcodec": ("torchcodec.decoders", "torchcodec"),
    "decord": ("decord", "decord2"),
}
"""Module and PyPI package of each backend."""


def _import(module: str, package: str) -> Any:
    try:
        loaded = importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        reason = first_line(error)
        raise ConfigError(f"{package} does not load ({reason}): pip install {package}, or use backend pyav") from error
    # torchcodec imports without FFmpeg and fails only on use.
    if package == "torchcodec" and importlib.import_module(package).ffmpeg_major_version is None:
        raise ConfigError("torchcodec finds no FFmpeg libraries (4 to 8) on this machine: install them, or use pyav")
    return loaded


def _undecodable(path: Path, backend: str, error: Exception) -> DataError:
    reason = first_line(error)
    return DataError(f"{path}: {backend} cannot decode it ({reason}); use backend pyav, or {REENCODE}")


def _check_count(path: Path, backend: str, got: int, timeline: Timeline) -> None:
    if got != len(timeline.pts):
        raise DataError(f"{path}: {backend} counts {got} frames of {len(timeline.pts)}; use backend pyav")


def _check_time(path: Path, backend: str, got_s: float, expected_s: float) -> None:
    # Backends report float32 or rounded seconds; neighbouring frames are at least 10 ms apart.
    if abs(got_s - expected_s) > 1e-3:
        raise DataError(f"{path}: {backend} returned the frame at {got_s} s for {expected_s} s; use backend pyav")


def _sized(picture: Pixels, size_px: tuple[int, int]) -> Pixels:
    """Scale a decoded picture to a width and height, with a box filter."""
    if picture.shape[1::-1] == size_px:
        return picture
    return np.asarray(Image.fromarray(picture).resize(size_px, Image.Resampling.BOX))
