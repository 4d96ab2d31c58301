"""Cache verification and garbage collection.

Knows the cache folders of this package and the check of each; knows nothing of videos. Generated worlds lie in the same
cache and are never touched. An entry that is open in some process is never deleted, nor is the clip index of an open
store. Every deleted entry is rebuilt on its next use.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vt_env.errors import DataError, first_line, foreign_input
from vt_env.jsonl import PART, decode_object, remove
from vt_env.media.cache import decoded_frames
from vt_env.media.cache.build_once import LOCK, lock_now
from vt_env.media.cache.frame_store import META_FILE, check_store
from vt_env.media.cache.sealed_files import read_sealed
from vt_env.media.search import clip_index, many_videos
from vt_env.media.text import line_index, read_screen, speech, summaries

REMOVING = ".removing"
"""Suffix of an entry that is being deleted; after a kill, the next collection deletes it."""

_REBUILT = "vt-env index --gc --verify deletes it, and it is rebuilt on the next use"


@dataclass(frozen=True)
class Cached:
    """One cache entry."""

    path: Path
    kind: str
    """Name of its folder: `stores`, `clips`, `transcripts`, `screen_text`, `lines`, `summaries`, `collections` or
    `frames`."""
    size_bytes: int
    used_s: float
    """Time of last use, in seconds since 1970."""


@dataclass(frozen=True)
class Fault:
    """A damaged, unfinished or outdated cache entry, or one that the system does not let be read."""

    path: Path
    defect: str
    size_bytes: int
    is_read: bool = True
    """Whether its content is known; what cannot be read may be sound, and is never deleted for it."""

    def __str__(self) -> str:
        """One line: the path, the defect and the remedy."""
        return f"{self.path}: {self.defect}; {_REBUILT if self.is_read else 'see to it that it can be read'}"


@dataclass(frozen=True)
class Limits:
    """Limits on the size and age of cache entries; `None` means unlimited."""

    max_bytes: int | None = None
    max_age_s: float | None = None
    """Seconds since the last use."""


@dataclass(frozen=True)
class Collected:
    """Result of a garbage collection."""

    removed: tuple[Path, ...]
    freed_bytes: int
    kept_in_use: tuple[Path, ...]
    """Entries that were due for deletion but are open in some process."""
    left_bytes: int


def list_cached(cache_dir: Path) -> list[Cached]:
    """List the entries of a cache, least recently used first."""
    found: list[Cached] = []
    for kind in _CHECKS:
        for path in _results(cache_dir / kind):
            # Other processes may delete decoded frames during the listing.
            with suppress(FileNotFoundError):
                found.append(_cached(path, kind))
    return sorted(found, key=lambda it: (it.used_s, it.path))


def find_faults(cache_dir: Path, media: frozenset[str] | None = None) -> Iterator[Fault]:
    """Read every cache entry and report those that are truncated, changed, unfinished or of another version.

    Args:
        cache_dir: The cache.
        media: Content hashes of the videos to check; `None` means all entries.

    Yields: faults as they are found. An unfinished entry is a fault only if no process is building it.
    """
    for cached in list_cached(cache_dir):
        if media is None or _media_of(cached) in media:
            try:
                with foreign_input(cached.path):
                    _CHECKS[cached.kind](cached.path)
            except (FileNotFoundError, ValueError, KeyError, DataError) as error:
                yield Fault(cached.path, _defect(error), cached.size_bytes)
            except OSError as error:
                yield Fault(cached.path, f"cannot be read ({error.strerror})", cached.size_bytes, is_read=False)
    for path in _leftovers(cache_dir) if media is None else ():
        if path.suffix != LOCK:
            yield Fault(path, "its builder ended before it was finished", _size(path))


def collect(cache_dir: Path, limits: Limits, now_s: float, faults: tuple[Fault, ...] = ()) -> Collected:
    """Delete leftovers of killed processes, faulty entries, entries over the age limit, then LRU entries to the size.

    Args:
        cache_dir: The cache.
        limits: Size and age limits of the remaining entries.
        now_s: Current time, in seconds since 1970.
        faults: Output of `find_faults`.
    """
    removed, in_use, freed = list[Path](), list[Path](), 0
    for path in _leftovers(cache_dir):
        size_bytes = _delete_leftover(path)
        if size_bytes is not None:
            removed.append(path)
            freed += size_bytes
    faulty = {fault.path for fault in faults if fault.is_read}
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
    read_screen.FOLDER: _check_sealed(read_screen.SCHEMA),
    "lines": _check_sealed(line_index.SCHEMA),
    summaries.FOLDER: _check_sealed(summaries.SCHEMA),
    "collections": _check_sealed(many_videos.SCHEMA),
    decoded_frames.FOLDER: _check_sealed(decoded_frames.SCHEMA),
}


def _results(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    aside = (PART, LOCK, REMOVING)
    return [it for it in folder.iterdir() if it.suffix not in aside and it.name != decoded_frames.TOTAL_FILE]


def _cached(path: Path, kind: str) -> Cached:
    mark = path / META_FILE if path.is_dir() and (path / META_FILE).exists() else path
    return Cached(path, kind, _size(path), mark.stat().st_mtime)


def _size(path: Path) -> int:
    """Return the bytes of an entry, as far as the system tells."""
    try:
        return sum(it.lstat().st_size for it in path.iterdir()) if path.is_dir() else path.stat().st_size
    except PermissionError:
        return 0


def _about(path: Path) -> dict[str, object]:
    """Return the unverified metadata of an entry; empty if it is damaged."""
    try:
        source = path / META_FILE if path.is_dir() else path
        with source.open("rb") as file:
            text = file.read() if path.is_dir() else file.readline()
        return decode_object(text)
    except (OSError, ValueError):
        return {}


def _media_of(cached: Cached) -> str:
    return str(_about(cached.path).get("media", ""))


def _defect(error: Exception) -> str:
    """Describe the defect alone; the message of a sealed file also has the path and a remedy."""
    cause = error.__cause__ if isinstance(error, DataError) and error.__cause__ else error
    if not isinstance(cause, OSError | KeyError | ValueError):
        return f"damaged ({type(cause).__name__}: {first_line(cause)[:120]})"
    if isinstance(cause, FileNotFoundError):
        return f"damaged (it has no {Path(cause.filename).name})"
    if isinstance(cause, KeyError):
        return f"damaged (it does not say its {cause.args[0]})"
    return str(cause) if "written by version" in str(cause) else f"damaged ({cause})"


def _leftovers(cache_dir: Path) -> list[Path]:
    """List entries without an active builder, half-deleted entries, and locks without an entry."""
    found: list[Path] = []
    for folder in (cache_dir / kind for kind in _CHECKS):
        for path in folder.iterdir() if folder.is_dir() else ():
            final = path.with_suffix("")
            if path.suffix == REMOVING or (path.suffix == LOCK and not final.exists()):
                found.append(path)
            elif path.suffix == PART and folder.name == decoded_frames.FOLDER:
                with decoded_frames.locked_total(folder):
                    found += [path] * path.exists()
            elif path.suffix == PART:
                with lock_now(final.with_name(final.name + LOCK)) as is_free:
                    found += [path] * is_free
    # Locks last: an unfinished entry must be deleted before its lock.
    return sorted(found, key=lambda path: (path.suffix == LOCK, path))


def _delete_leftover(path: Path) -> int | None:
    """Delete a leftover and return its size; `None` if it is being built, or has been finished meanwhile."""
    if path.suffix == REMOVING:
        return _removed(path)
    if path.parent.name == decoded_frames.FOLDER:
        with decoded_frames.locked_total(path.parent):
            return _removed(path) if path.exists() else None
    lock = path if path.suffix == LOCK else path.with_suffix("").with_name(path.with_suffix("").name + LOCK)
    with lock_now(lock) as is_free:
        # A builder that has started meanwhile holds the lock; one that has finished left no file of this name.
        return _removed(path) if is_free and path.exists() else None


def _removed(path: Path) -> int:
    size_bytes = _size(path)
    remove(path)
    return size_bytes


def _delete(cached: Cached) -> bool:
    """Delete an entry unless it, or the store it was built from, is open in some process."""
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
