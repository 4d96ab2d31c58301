"""Other decoders than PyAV, each imported when it is asked for, and which of them is right for which format.

Knows players and measurements; knows nothing of stores. All backends share the timeline that PyAV reads from the
packets and only turn a position into a picture, so a backend that counts frames differently gives itself away. `RIGHT`
holds what `experiments/bench/decoding.py` measured (40 frames of each of 28 files in random order, PyAV 18.1.0,
torchcodec 0.17.0 on PyAV's FFmpeg 8.1, decord2 3.4.0; `experiments/bench/results/decoding.json`). PyAV was right
everywhere; torchcodec everywhere but in MPEG transport streams; decord returned wrong pictures without an error in
H.264 with open groups, HEVC, MPEG-4 with B-frames and transport streams. A backend is refused for a format of which it
failed on a single frame, and `auto` picks the fastest among those that are right: one frame a second of an hour at
360p took torchcodec 0.99 of PyAV's time (`experiments/bench/results/media.json`); decord took longer in the table of
backends.
"""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vt_env.errors import ConfigError, DataError, suggest
from vt_env.media.decode.container import REENCODE, Timeline
from vt_env.media.decode.pyav_player import MakePlayer, Pixels, PyAVPlayer, fit_square, pad_square

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
"""Backend to the formats, `container,codec` in FFmpeg's names, of which every measured file came back right."""


class TorchcodecPlayer:
    """Decodes with torchcodec by position and checks the time that comes back."""

    def __init__(self, path: Path, timeline: Timeline, shown_px: tuple[int, int]) -> None:
        module = _import(*_MODULES["torchcodec"])
        self._path, self._timeline, self._shown_px = path, timeline, shown_px
        try:
            self._decoder: Any = module.VideoDecoder(
                str(path.absolute()), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact"
            )
        except (RuntimeError, ValueError) as error:
            raise _undecodable(path, "torchcodec", error) from error
        _check_count(path, "torchcodec", len(self._decoder), timeline)

    def picture(self, idx: int, square_px: int | None) -> Pixels:
        """Decode the frame at position `idx`, as `Player.picture`.

        Raises:
            DataError: It does not decode, or another frame comes back.
        """
        expected_s = float(int(self._timeline.pts[idx]) * self._timeline.tick_s)
        try:
            # By position: by time, torchcodec trusts nominal durations, which are wrong for uneven rates.
            frame = self._decoder.get_frame_at(idx)
        except (RuntimeError, ValueError, IndexError) as error:
            raise _undecodable(self._path, "torchcodec", error) from error
        _check_time(self._path, "torchcodec", float(frame.pts_seconds), expected_s)
        return _sized(frame.data.numpy(), self._shown_px, square_px)


class DecordPlayer:
    """Decodes with decord by position and checks the time that comes back."""

    def __init__(self, path: Path, timeline: Timeline, shown_px: tuple[int, int]) -> None:
        module = _import(*_MODULES["decord"])
        self._path, self._timeline, self._shown_px = path, timeline, shown_px
        try:
            self._reader: Any = module.VideoReader(str(path.absolute()), num_threads=1)
        except (RuntimeError, module.DECORDError) as error:
            raise _undecodable(path, "decord", error) from error
        if len(self._reader) != len(timeline.pts):
            raise DataError(
                f"{path}: decord counts {len(self._reader)} frames of {len(timeline.pts)}; use backend pyav"
            )

    def picture(self, idx: int, square_px: int | None) -> Pixels:
        """Decode the frame at position `idx`, as `Player.picture`.

        Raises:
            DataError: It does not decode, or another frame comes back.
        """
        try:
            picture = self._reader[idx].asnumpy()
            start_s = float(self._reader.get_frame_timestamp(idx)[0])
        except (RuntimeError, IndexError) as error:
            raise _undecodable(self._path, "decord", error) from error
        first_s = float(self._reader.get_frame_timestamp(0)[0])
        _check_time(self._path, "decord", start_s - first_s, float(self._timeline.times_s[idx]))
        if picture.shape[2] != 3:
            # Seen with pixels that are not square.
            raise DataError(f"{self._path}: decord returns {picture.shape[2]} channels; use backend pyav")
        return _sized(picture, self._shown_px, square_px)


PLAYERS: Mapping[str, MakePlayer] = {
    "pyav": PyAVPlayer,
    "torchcodec": TorchcodecPlayer,
    "decord": DecordPlayer,
}
"""Backends by name."""

_AUTO = ("torchcodec", "pyav")
"""The order in which `auto` tries them: by measured speed. decord took longer than PyAV, which is always right."""


def choose_player(backend: str, format_name: str, path: Path) -> MakePlayer:
    """Find the player of a backend for a file.

    Args:
        backend: A name in `PLAYERS`, or `auto`.
        format_name: As `vt_env.media.decode.container.format_of` names it.
        path: The file, for messages.

    Raises:
        ConfigError: The backend is unknown, not installed, or was measured to be wrong for this format.
    """
    if backend == "auto":
        return PLAYERS[next(name for name in _AUTO if is_right(name, format_name) and is_installed(name))]
    if backend not in PLAYERS:
        raise ConfigError(f"backend={backend!r}: allowed are auto, {', '.join(PLAYERS)}{suggest(backend, PLAYERS)}")
    if not is_right(backend, format_name):
        raise ConfigError(f"{path}: backend {backend} is not known to be right for {format_name}; use pyav or auto")
    return PLAYERS[backend]


def is_right(backend: str, format_name: str) -> bool:
    """Tell whether every measured frame of this format came back right; PyAV is held to the tests instead."""
    return backend == "pyav" or format_name in RIGHT.get(backend, ())


def is_installed(backend: str) -> bool:
    """Tell whether a backend loads on this machine."""
    try:
        _import(*_MODULES[backend])
    except ConfigError:
        return False
    return True


_MODULES = {
    "pyav": ("av", "av"),
    "torchcodec": ("torchcodec.decoders", "torchcodec"),
    "decord": ("decord", "decord2"),
}
"""What a backend imports, and the package that holds it."""


def _import(module: str, package: str) -> Any:
    try:
        loaded = importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"{package} does not load ({reason}): pip install {package}, or use backend pyav") from error
    # torchcodec imports without FFmpeg and fails only when it is used.
    if package == "torchcodec" and importlib.import_module(package).ffmpeg_major_version is None:
        raise ConfigError("torchcodec finds no FFmpeg libraries (4 to 8) on this machine: install them, or use pyav")
    return loaded


def _undecodable(path: Path, backend: str, error: Exception) -> DataError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return DataError(f"{path}: {backend} cannot decode it ({reason}); use backend pyav, or {REENCODE}")


def _check_count(path: Path, backend: str, got: int, timeline: Timeline) -> None:
    if got != len(timeline.pts):
        raise DataError(f"{path}: {backend} counts {got} frames of {len(timeline.pts)}; use backend pyav")


def _check_time(path: Path, backend: str, got_s: float, expected_s: float) -> None:
    # Backends report float32 or rounded seconds; neighbouring frames are at least ten times further apart.
    if abs(got_s - expected_s) > 1e-3:
        raise DataError(f"{path}: {backend} returned the frame at {got_s} s for {expected_s} s; use backend pyav")


def _sized(picture: Pixels, shown_px: tuple[int, int], square_px: int | None) -> Pixels:
    """Scale a decoded picture to the size shown, or into a square, by averaging over areas."""
    size_px = fit_square(shown_px, square_px) if square_px else shown_px
    if picture.shape[1::-1] != size_px:
        picture = np.asarray(Image.fromarray(picture).resize(size_px, Image.Resampling.BOX))
    return pad_square(picture, square_px) if square_px else picture
