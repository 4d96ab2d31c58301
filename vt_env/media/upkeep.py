"""What lies in the cache, whether it is whole, and what may go: verification and garbage collection.

Knows the folders that this package fills and their checks; knows nothing of videos. Generated worlds lie in the cache
too and are left alone. What is open in some process is never collected, nor is the clip index that belongs to an open
store; nothing is ever taken that the next use would not rebuild.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vt_env.errors import DataError
from vt_env.media.cache import decoded_frames
from vt_env.media.cache.build_once import BUILDING, LOCK, lock_now, remove
from vt_env.media.cache.frame_store import META_FILE, check_store
from vt_env.media.cache.sealed_files import read_sealed
from vt_env.media.search import clip_index, many_videos
from vt_env.media.text import line_index, speech, summaries

REMOVING = ".removing"
"""Suffix of what a collector is about to delete; a killed one leaves it for the next."""

_REBUILT = "vt-env index --gc --verify deletes it, and it is rebuilt on the next use"


@dataclass(frozen=True)
class Cached:
    """One result in the cache."""

    path: Path
    kind: str
    """The folder it lies in: `stores`, `clips`, `transcripts`, `lines`, `summaries`, `collections` or `frames`."""
    size_bytes: int
    used_s: float
    """When it was last used, in seconds since 1970."""


@dataclass(frozen=True)
class Fault:
    """Something in the cache that is not whole."""

    path: Path
    defect: str
    size_bytes: int

    def __str__(self) -> str:
        """One line: the path, the defect and the remedy."""
        return f"{self.path}: {self.defect}; {_REBUILT}"


@dataclass(frozen=True)
class Limits:
    """How much may stay; `None` sets no limit."""

    max_bytes: int | None = None
    max_age_s: float | None = None
    """Seconds since the last use."""


@dataclass(frozen=True)
class Collected:
    """What a collection did."""

    removed: tuple[Path, ...]
    freed_bytes: int
    kept_in_use: tuple[Path, ...]
    """What should have gone and is open in some process."""
    left_bytes: int


def list_cached(cache_dir: Path) -> list[Cached]:
    """List the results in a cache, the one used longest ago first."""
    found: list[Cached] = []
    for kind in _CHECKS:
        for path in _results(cache_dir / kind):
            # Decoded frames come and go while this reads.
            with suppress(FileNotFoundError):
                found.append(_cached(path, kind))
    return sorted(found, key=lambda it: (it.used_s, it.path))


def find_faults(cache_dir: Path, media: frozenset[str] | None = None) -> Iterator[Fault]:
    """Read everything in a cache and report what is truncated, changed, unfinished or of another version.

    Args:
        cache_dir: The cache.
        media: Content hashes of the videos whose results are looked at; `None` means all.

    Yields: faults as they are found. Unfinished results count only where no builder is at work on them.
    """
    for cached in list_cached(cache_dir):
        if media is None or _media_of(cached) in media:
            try:
                _CHECKS[cached.kind](cached.path)
            except (OSError, ValueError, KeyError, DataError) as error:
                yield Fault(cached.path, _defect(error), cached.size_bytes)
    for path in _leftovers(cache_dir) if media is None else ():
        if path.suffix != LOCK:
            yield Fault(path, "its builder ended before it was finished", _size(path))


def collect(cache_dir: Path, limits: Limits, now_s: float, faults: tuple[Fault, ...] = ()) -> Collected:
    """Delete what killed processes left, what is faulty, what was not used for long, then the oldest beyond a size.

    Args:
        cache_dir: The cache.
        limits: What may stay.
        now_s: The time now, in seconds since 1970.
        faults: What `find_faults` found.
    """
    removed, in_use, freed = list[Path](), list[Path](), 0
    for path in _leftovers(cache_dir):
        size_bytes = _delete_leftover(path)
        if size_bytes is not None:
            removed.append(path)
            freed += size_bytes
    faulty = {fault.path for fault in faults}
    cached = list_cached(cache_dir)
    left = sum(it.size_bytes for it in cached)
    for it in cached:
        is_old = limits.max_age_s is not None and now_s - it.used_s > limits.max_age_s
        is_beyond = limits.max_bytes is not None and left > limits.max_bytes
        if not (is_old or is_beyond or it.path in faulty):
            continue
        if _delete(it):
            removed.append(it.path)
            freed, left = freed + it.size_bytes, left - it.size_bytes
        else:
            in_use.append(it.path)
    return Collected(tuple(removed), freed, tuple(in_use), left)


def _check_sealed(schema: int) -> Callable[[Path], object]:
    return lambda path: read_sealed(path, schema)


_CHECKS: Mapping[str, Callable[[Path], object]] = {
    "stores": check_store,
    "clips": _check_sealed(clip_index.SCHEMA),
    "transcripts": _check_sealed(speech.SCHEMA),
    "lines": _check_sealed(line_index.SCHEMA),
    summaries.FOLDER: _check_sealed(summaries.SCHEMA),
    "collections": _check_sealed(many_videos.SCHEMA),
    decoded_frames.FOLDER: _check_sealed(decoded_frames.SCHEMA),
}


def _results(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    aside = (BUILDING, LOCK, REMOVING)
    return [it for it in folder.iterdir() if it.suffix not in aside and it.name != decoded_frames.TOTAL_FILE]


def _cached(path: Path, kind: str) -> Cached:
    mark = path / META_FILE if path.is_dir() and (path / META_FILE).exists() else path
    return Cached(path, kind, _size(path), mark.stat().st_mtime)


def _size(path: Path) -> int:
    return sum(it.stat().st_size for it in path.iterdir()) if path.is_dir() else path.stat().st_size


def _about(path: Path) -> dict[str, object]:
    """What a result says about itself, unchecked; nothing where it is damaged."""
    try:
        source = path / META_FILE if path.is_dir() else path
        with source.open("rb") as file:
            text = file.read() if path.is_dir() else file.readline()
        about = json.loads(text)
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _media_of(cached: Cached) -> str:
    return str(_about(cached.path).get("media", ""))


def _defect(error: Exception) -> str:
    """The bare defect: an error of a sealed file names the file and a remedy of its own."""
    cause = error.__cause__ if isinstance(error, DataError) and error.__cause__ else error
    if isinstance(cause, FileNotFoundError):
        return f"damaged (it has no {Path(cause.filename).name})"
    if isinstance(cause, KeyError):
        return f"damaged (it does not say its {cause.args[0]})"
    return str(cause) if "written by version" in str(cause) else f"damaged ({cause})"


def _leftovers(cache_dir: Path) -> list[Path]:
    """Unfinished results that nobody works on, results half deleted, and locks of what is not there."""
    found: list[Path] = []
    for folder in (cache_dir / kind for kind in _CHECKS):
        for path in folder.iterdir() if folder.is_dir() else ():
            final = path.with_suffix("")
            if path.suffix == REMOVING or (path.suffix == LOCK and not final.exists()):
                found.append(path)
            elif path.suffix == BUILDING and folder.name == decoded_frames.FOLDER:
                with decoded_frames.locked_total(folder):
                    found += [path] * path.exists()
            elif path.suffix == BUILDING:
                with lock_now(final.with_name(final.name + LOCK)) as is_free:
                    found += [path] * is_free
    # Locks last, so that the unfinished result is gone before its lock is.
    return sorted(found, key=lambda path: (path.suffix == LOCK, path))


def _delete_leftover(path: Path) -> int | None:
    """Delete it and return its size; `None` where somebody works on it, or has finished in between."""
    if path.suffix == REMOVING:
        return _removed(path)
    if path.parent.name == decoded_frames.FOLDER:
        with decoded_frames.locked_total(path.parent):
            return _removed(path) if path.exists() else None
    lock = path if path.suffix == LOCK else path.with_suffix("").with_name(path.with_suffix("").name + LOCK)
    with lock_now(lock) as is_free:
        # A builder that began in between holds the lock; one that has finished left nothing under this name.
        return _removed(path) if is_free and path.exists() else None


def _removed(path: Path) -> int:
    size_bytes = _size(path)
    remove(path)
    return size_bytes


def _delete(cached: Cached) -> bool:
    """Delete a result unless it, or the store it was made from, is open somewhere."""
    if cached.kind == decoded_frames.FOLDER:
        return _delete_decoded(cached)
    if cached.path.is_dir():
        held = cached.path / META_FILE
    else:
        held = cached.path.parents[1] / "stores" / str(_about(cached.path).get("store", "")) / META_FILE
    with lock_now(held) as is_free:
        if is_free:
            aside = cached.path.with_name(cached.path.name + REMOVING)
            cached.path.rename(aside)
            remove(aside)
        return is_free


def _delete_decoded(cached: Cached) -> bool:
    with decoded_frames.locked_total(cached.path.parent) as total:
        text = total.read()
        cached.path.unlink(missing_ok=True)
        if text.isdecimal():
            decoded_frames.write_total(total, max(0, int(text) - cached.size_bytes))
    return True
