"""Frame store: the frames of a video at a fixed rate, decoded once and packed as JPEGs into one file.

Knows decoding and the cache; knows nothing of clips, subtitles or episodes. A store is a folder named by a hash of the
video content and the parameters. `frames.bin` holds the concatenated JPEGs. `index.bin` (int64) holds
the offset and the CRC-32 of each JPEG, its frame index, and the timeline of the whole video (with its packets' ticks
where they differ). `meta.json` seals both.

A store appears atomically and never changes, so any number of processes can read it. Opening verifies the index and
reading verifies each frame, since a JPEG with a flipped bit mostly decodes to a different picture; `check_store`
verifies all of it. The arrays are raw because numpy's formats parse their headers with `ast`, which was seen to fail
under several threads in Python 3.11.7 (SystemError, "AST constructor recursion depth mismatch").
"""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from vt_env.config import MediaConfig
from vt_env.errors import DataError
from vt_env.hashing import file_state
from vt_env.jsonl import decode_object
from vt_env.media.cache.build_once import Progress, build_once, cache_key, cache_root, content_hash
from vt_env.media.cache.sealed_files import Hold, check_name, check_schema, checksum, file_checksum, seal, unseal
from vt_env.media.decode.container import Timeline, check_file, latest_idxs
from vt_env.media.decode.other_backends import installed_backend
from vt_env.media.decode.pyav_player import Pixels
from vt_env.media.decode.video_file import VideoFile, open_video
from vt_env.types import FrameBatch

SCHEMA = 5
"""Version of the format and its content; part of every key, so an older store is rebuilt and not misread."""

META_FILE = "meta.json"
_SETTINGS = ("max_pixels", "min_pixels", "patch_px", "frame_rate_hz")
"""Media settings that decide the content of a store, and so its name."""

_SMALL_PIXELS = 224 * 224
"""With `max_pixels` up to this, JPEGs have quality 95 and full chroma resolution (4:4:4), which small objects need.
Larger JPEGs have quality 92 and 4:2:0 chroma, as nearly all videos do. At 448 x 252 pixels that took 43 % of the
disk space and 40 % of the read time (`docs/lab_log.md`)."""


@dataclass(frozen=True, eq=False)
class FrameStore:
    """Stored frames of one video."""

    key: str
    """Name of the store: a hash of the video content, the parameters and the format version."""
    media: str
    """Content hash of the video."""
    video: VideoFile
    """The video file, for frames at native resolution."""
    times_s: NDArray[np.float64] = field(repr=False)
    """float64[N], presentation times of the stored frames, strictly increasing."""
    offsets: NDArray[np.int64] = field(repr=False)
    """int64[N + 1], start of each JPEG in `packed`, and the end of the last."""
    crcs: NDArray[np.int64] = field(repr=False)
    """int64[N], CRC-32 of each JPEG."""
    packed: Path = field(repr=False)
    """File of the concatenated JPEGs; opened for each read, so that many open videos need few descriptors."""
    config: MediaConfig
    """Settings that the store was opened with."""
    hold: Hold = field(repr=False)
    """Protects the folder from garbage collection."""

    def frames_at(self, times_s: Sequence[float]) -> FrameBatch:
        """Read the latest stored frame not after each time, each distinct frame once.

        At multiples of the stored period it is the exact frame on screen. Between them it lags by less than one period,
        and never leads.

        Returns: data uint8[N, H, W, 3] RGB of `frame_size_px` in the order of `times_s`, pts_s float64[N].

        Raises:
            DataError: A time is outside `[0, duration_s)`, or a stored frame is damaged.
        """
        self.video.check_times(times_s)
        rows = latest_idxs(self.times_s, times_s)
        width, height = self.frame_size_px
        data = np.empty((len(rows), height, width, 3), dtype=np.uint8)
        first: dict[int, int] = {}
        try:
            with self.packed.open("rb") as file:
                for place, row in enumerate(rows.tolist()):
                    data[place] = self._picture(file, row) if row not in first else data[first[row]]
                    first.setdefault(row, place)
        except FileNotFoundError as error:
            raise DataError(f"store {self.key}: deleted while it was open; run the command again") from error
        return FrameBatch(data, self.times_s[rows])

    @property
    def frame_size_px(self) -> tuple[int, int]:
        """Width and height of the stored frames."""
        return self.config.frame_size_px(self.video.size_px)

    def _picture(self, file: BinaryIO, row: int) -> Pixels:
        file.seek(int(self.offsets[row]))
        jpeg = file.read(int(self.offsets[row + 1] - self.offsets[row]))
        if zlib.crc32(jpeg) != self.crcs[row]:
            raise DataError(f"store {self.key}: a frame is damaged; delete its folder, it is rebuilt")
        return np.asarray(JpegImageFile(BytesIO(jpeg)))


def build_store(
    path: str | Path, config: MediaConfig, cache_dir: Path | None = None, progress: Progress | None = None
) -> FrameStore:
    """Open the frame store of a video, building it on first use.

    Args:
        path: The video file.
        config: Size and rate of the frames, and the decoder.
        cache_dir: Cache folder; `None` means `cache_root()`.
        progress: Progress callback for the build; not called for an existing store.

    Raises:
        DataError: The video cannot be read, or the store is damaged.
        ConfigError: The decoder is not installed, or not known to decode the format correctly.
    """
    path = Path(path)
    check_file(path)
    before = file_state(path)
    media = content_hash(path)
    key = cache_key(schema=SCHEMA, media=media, **_settings(path, config))
    folder = (cache_dir or cache_root()) / "stores" / key
    while True:

        def build(aside: Path) -> None:
            _write(aside, path, media, config, progress)
            if file_state(path) != before or content_hash(path) != media:
                raise DataError(f"{path}: it was replaced while its frames were read; run the command again")

        build_once(folder, build)
        try:
            return _read(folder, path, config, before)
        except (FileNotFoundError, ValueError, KeyError, IndexError, TypeError) as error:
            # A garbage collection may have deleted the folder after `build_once` returned.
            if folder.exists():
                remedy = "delete this folder, it is rebuilt on the next use"
                raise DataError(f"{folder}: damaged ({error}); {remedy}") from error


def _settings(path: Path, config: MediaConfig) -> dict[str, Any]:
    """Return what decides the content of a store, besides the video, as plain JSON values."""
    backend = "pyav" if path.is_dir() else installed_backend(config.backend)
    if config.backend == "auto" and backend != "pyav":
        # Either of the two, by the format; without torchcodec it is PyAV for all formats, and shares its stores.
        backend = "auto"
    return {"backend": backend, **{name: getattr(config, name) for name in _SETTINGS}}


def check_store(folder: Path) -> None:
    """Read a whole store and verify its checksums.

    Raises:
        ValueError: The store is damaged, or of another version of the format.
        OSError: A file is missing or cannot be read.
    """
    meta = _read_meta(folder)
    for name, expected in meta["files"].items():
        if file_checksum(folder / name) != expected:
            raise ValueError(f"{name} does not match its checksum")


def _read_meta(folder: Path) -> dict[str, Any]:
    text = (folder / META_FILE).read_bytes()
    # Before `unseal`: version 1 had no seal.
    check_schema(decode_object(text), SCHEMA)
    meta = unseal(text)
    check_name(folder, {name: meta[name] for name in ("schema", "media", "backend", *_SETTINGS)})
    return meta


def _write(folder: Path, path: Path, media: str, config: MediaConfig, progress: Progress | None) -> None:
    """Decode the video once, front to back, with one picture in memory at a time."""
    video = open_video(path, config.backend)
    timeline = video.timeline
    moments_s = np.arange(int(np.ceil(video.duration_s * config.frame_rate_hz))) / config.frame_rate_hz
    idxs = np.unique(timeline.frame_idxs(moments_s))
    offsets, crcs = np.zeros(len(idxs) + 1, dtype=np.int64), np.zeros(len(idxs), dtype=np.int64)
    digest = hashlib.sha256()
    frame_size_px = config.frame_size_px(video.size_px)
    folder.mkdir()
    with (folder / "frames.bin").open("wb") as file:
        for row, (_, picture) in enumerate(video.pictures(idxs.tolist(), frame_size_px)):
            jpeg = _jpeg(picture, config.max_pixels)
            file.write(jpeg)
            digest.update(jpeg)
            offsets[row + 1], crcs[row] = offsets[row] + len(jpeg), zlib.crc32(jpeg)
            if progress is not None:
                progress((row + 1) / len(idxs))
    arrays = [offsets, crcs, idxs, timeline.pts, timeline.keyframes.ravel()]
    if timeline.packet_ticks is not None:
        arrays.append(timeline.packet_ticks)
    index = np.concatenate(arrays).tobytes()
    (folder / "index.bin").write_bytes(index)
    meta = {
        "schema": SCHEMA,
        "media": media,
        **_settings(path, config),
        "size_px": video.size_px,
        "frame_size_px": frame_size_px,
        "decoded_by": video.backend,
        "tick_s": str(timeline.tick_s),
        "end": timeline.end,
        "lengths": [len(array) for array in arrays],
        "files": {"frames.bin": digest.hexdigest(), "index.bin": checksum(index)},
    }
    (folder / META_FILE).write_text(json.dumps(seal(meta), indent=1))


def _jpeg(picture: Pixels, max_pixels: int) -> bytes:
    buffer = BytesIO()
    quality, subsampling = (95, "4:4:4") if max_pixels <= _SMALL_PIXELS else (92, "4:2:0")
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def _read(folder: Path, path: Path, config: MediaConfig, state: tuple[int, ...]) -> FrameStore:
    hold = Hold(folder / META_FILE)
    meta = _read_meta(folder)
    data = (folder / "index.bin").read_bytes()
    if checksum(data) != meta["files"]["index.bin"]:
        raise ValueError("index.bin does not match its checksum")
    index = np.frombuffer(data, dtype=np.int64)
    offsets, crcs, idxs, pts, keyframes, *rest = np.split(index, np.cumsum(meta["lengths"])[:-1])
    packed = folder / "frames.bin"
    if packed.stat().st_size != offsets[-1]:
        raise ValueError(f"frames.bin has {packed.stat().st_size} bytes, its index says {offsets[-1]}")
    timeline = Timeline(Fraction(meta["tick_s"]), pts, meta["end"], keyframes.reshape(-1, 2), rest[0] if rest else None)
    width, height = meta["size_px"]
    video = VideoFile(path, (width, height), timeline, meta["decoded_by"], state)
    return FrameStore(folder.name, meta["media"], video, timeline.times_s[idxs], offsets, crcs, packed, config, hold)
