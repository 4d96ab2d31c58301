"""Fingerprints of content: equal ones mean equal content, on every machine and in every process."""

import hashlib
import json

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
