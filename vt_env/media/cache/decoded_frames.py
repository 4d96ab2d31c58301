"""Lossless LRU disk cache of frames decoded on demand, at exact times or native resolution, within a byte limit.

Knows decoding and sealed files; knows nothing of stores or episodes. The rollouts of a group request the same frames,
and decoding one frame may mean decoding the ten seconds before it. The limit holds for all processes that share the
folder: the total is written under a lock before the frame is, so a killed process can only leave a total that is too
large, and every eviction recounts it. Frames that cannot be stored (full or read-only disk) are decoded on each
request.
"""

import errno
import fcntl
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from vt_env.errors import DataError
from vt_env.jsonl import replace_file
from vt_env.media.cache.build_once import cache_key
from vt_env.media.cache.sealed_files import read_sealed, sealed_bytes, touch
from vt_env.media.decode.pyav_player import Pixels
from vt_env.media.decode.video_file import VideoFile
from vt_env.types import FrameBatch

SCHEMA = 2
"""Version of the file format; part of the names."""

FOLDER = "frames"
TOTAL_FILE = "total_bytes"
"""File beside the frames that holds the sum of their sizes in decimal; locked for every change of the folder."""

_EVICT_TO = 0.9
"""Fraction of the limit to which an eviction empties the folder, so that not every new frame evicts another."""
_CANNOT_WRITE = (errno.ENOENT, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class DecodedFrames:
    """Read-through cache of decoded frames."""

    folder: Path
    limit_bytes: int
    """Limit on the total size of the files; 0 disables the cache."""

    def frames_at(self, video: VideoFile, media: str, times_s: Sequence[float]) -> FrameBatch:
        """Return `video.frames_at(times_s)`, byte for byte, from the cache where possible.

        Args:
            video: The video.
            media: Content hash of the video, part of the file names.
            times_s: Seconds from the first frame.

        Raises:
            DataError: A time is outside `[0, duration_s)` or its frame cannot be decoded.
        """
        video.check_times(times_s)
        idxs = video.timeline.frame_idxs(times_s).tolist()
        wanted = sorted(set(idxs))
        named = {"schema": SCHEMA, "media": media, "decoded_by": video.backend}
        entries = {idx: {**named, "idx": idx} for idx in wanted}
        paths = {idx: self.folder / f"{cache_key(**about)}.png" for idx, about in entries.items()}
        known = {idx: picture for idx, path in paths.items() if (picture := _read(path)) is not None}
        for idx, picture in video.pictures([idx for idx in wanted if idx not in known]):
            known[idx] = picture
            video.check_unchanged()
            self._store(paths[idx], entries[idx], picture)
        width, height = video.size_px
        data = np.empty((len(idxs), height, width, 3), dtype=np.uint8)
        for row, idx in enumerate(idxs):
            data[row] = known[idx]
        return FrameBatch(data, video.timeline.times_s[idxs])

    def _store(self, path: Path, about: Mapping[str, Any], picture: Pixels) -> None:
        if not self.limit_bytes:
            return
        buffer = BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
        blob = sealed_bytes(about, buffer.getvalue())
        if len(blob) > self.limit_bytes * _EVICT_TO:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked_total(self.folder) as total:
                self._write(path, blob, total)
        except OSError as error:
            if error.errno not in _CANNOT_WRITE:
                raise

    def _write(self, path: Path, blob: bytes, total: IO[str]) -> None:
        if path.exists():
            return
        text = total.read()
        stored = int(text) if text.isdecimal() else self.limit_bytes
        if stored + len(blob) > self.limit_bytes:
            stored = evict(self.folder, int(self.limit_bytes * _EVICT_TO) - len(blob))
        write_total(total, stored + len(blob))
        with replace_file(path) as part:
            part.write_bytes(blob)


@contextmanager
def locked_total(folder: Path) -> Generator[IO[str]]:
    """Open the total of a folder of decoded frames under an exclusive lock.

    Raises:
        OSError: The total cannot be written.
    """
    with (folder / TOTAL_FILE).open("a+") as total:
        fcntl.flock(total, fcntl.LOCK_EX)
        total.seek(0)
        yield total


def write_total(total: IO[str], stored_bytes: int) -> None:
    """Overwrite the total; its lock must be held."""
    total.seek(0)
    total.truncate()
    total.write(str(stored_bytes))
    total.flush()


def evict(folder: Path, left_bytes: int) -> int:
    """Delete the least recently used frames until at most `left_bytes` remain; the lock of the total must be held.

    Returns: the bytes of the remaining frames.
    """
    stats = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in folder.glob("*.png"))
    stored = sum(size for _, size, _ in stats)
    for _, size, path in stats:
        if stored <= left_bytes:
            break
        path.unlink(missing_ok=True)
        stored -= size
    return stored


def _read(path: Path) -> Pixels | None:
    """Read a stored frame; return `None` if it is missing or cannot be read, or damaged and then deleted."""
    if not path.exists():
        return None
    try:
        payload = read_sealed(path, SCHEMA).payload
    except DataError:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None
    except OSError:
        # Not readable now, such as with too many open files: it is decoded again, and kept.
        return None
    touch(path)
    return np.asarray(Image.open(BytesIO(payload), formats=("PNG",)))
