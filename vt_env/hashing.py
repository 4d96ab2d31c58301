"""Fingerprints of content: equal ones mean equal content, on every machine and in every process."""

import hashlib
import json
from pathlib import Path

from vt_env.types import FrameBatch

FINGERPRINT_DIGITS = 16
"""Hexadecimal digits kept of a SHA-256: 64 bits, so among a million different things two share one with a chance below
1e-7."""


def frames_hash(frames: FrameBatch | None) -> str:
    """Fingerprint of pixels, shape and times of frames; empty for none."""
    if frames is None or not len(frames):
        return ""
    digest = hashlib.sha256(f"{frames.data.shape}".encode())
    digest.update(frames.pts_s.astype("<f8").tobytes())
    digest.update(frames.data.tobytes())
    return digest.hexdigest()[:FINGERPRINT_DIGITS]


def fingerprint(value: object) -> str:
    """Fingerprint of plain JSON values; the order of keys does not matter.

    Raises:
        TypeError: The value is not made of JSON values.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_DIGITS]


def file_state(path: Path) -> tuple[int, ...]:
    """Return device, inode, size, and times of change of a file in ns: any write or replacement changes one of them.

    For a folder, those of the folder and its files, in the order of their names.
    """
    members = [path, *sorted(path.iterdir())] if path.is_dir() else [path]
    stats = [it.stat() for it in members]
    return tuple(
        number for it in stats for number in (it.st_dev, it.st_ino, it.st_size, it.st_mtime_ns, it.st_ctime_ns)
    )
