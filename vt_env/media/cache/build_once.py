"""Where costly results lie on disk, and how they get there whole: keyed by content, built aside, renamed into place."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from vt_env.errors import ConfigError

Progress = Callable[[float], None]
"""Told the share of the work done, up to 1."""

BUILDING, LOCK = ".building", ".lock"
"""Suffixes of what lies beside a result: the unfinished one, and what its builder has locked."""

_BLOCK_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cache_root() -> Path:
    """The folder of everything that can be rebuilt: `$VT_ENV_CACHE`, or `~/.cache/vt_env`."""
    named = os.environ.get("VT_ENV_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "vt_env"


def content_hash(path: Path) -> str:
    """Hash of a file's size and of a MiB each of its head, middle and tail; files up to 3 MiB are hashed whole.

    That is quick for files of any size and tells apart all that an encoder or a copy can produce, since containers keep
    the sizes of their frames at the head or the tail. A changed byte elsewhere in a large file goes unnoticed. A folder
    (of pictures, say) hashes as the names and contents of the files in it.
    """
    if path.is_dir():
        stats = ((it, it.stat()) for it in sorted(path.iterdir()) if it.is_file())
        return _folder_hash(tuple((it, stat.st_size, stat.st_mtime_ns) for it, stat in stats))
    size = path.stat().st_size
    starts = (0, size // 2 - _BLOCK_BYTES // 2, size - _BLOCK_BYTES)
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= 3 * _BLOCK_BYTES:
            digest.update(file.read())
        else:
            for start in starts:
                file.seek(start)
                digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _folder_hash(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Hash files given with their sizes and times of change, so that an unchanged folder is read once a process."""
    digest = hashlib.sha256()
    for path, _, _ in files:
        digest.update(f"{path.name}\0{content_hash(path)}\0".encode())
    return digest.hexdigest()


def cache_key(**parts: object) -> str:
    """A file name for what `parts`, all plain JSON values, determine."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def build_once(final: Path, build: Callable[[Path], None]) -> Path:
    """Return `final`, built first if it is not there, by one process at a time and never visible half-built.

    `build` is handed a path beside `final` and writes a file or a folder there. What a killed builder left is removed
    by the next one; its lock went with it.

    Raises:
        ConfigError: The cache folder cannot be written, or its disk is full.
    """
    if final.exists():
        return final
    with _lock(final):
        if final.exists():
            return final
        aside = final.with_name(final.name + BUILDING)
        remove(aside)
        try:
            build(aside)
            aside.rename(final)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            advice = "free some space (vt-env index --gc), or set VT_ENV_CACHE to a larger disk"
            raise ConfigError(f"{final.parent}: cannot be written ({error.strerror}); {advice}") from error
        finally:
            remove(aside)
    return final


@contextmanager
def lock_now(path: Path) -> Generator[bool]:
    """Lock a file for this process alone if nobody holds it; tells whether that worked.

    A file that is not there counts as free, and so does one in a cache that this process may not write.
    """
    try:
        file = path.open("rb+")
    except OSError:
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def _lock(final: Path) -> Generator[None]:
    path = final.with_name(final.name + LOCK)
    while True:
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
        except OSError as error:
            advice = "set VT_ENV_CACHE to a folder that can be written"
            raise ConfigError(f"{final.parent}: cannot be written ({error.strerror}); {advice}") from error
        with file:
            # The system drops the lock when its holder ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX)
            # A collector may have deleted the file in between; then others lock another one.
            if os.fstat(file.fileno()).st_nlink:
                yield
                return


def remove(path: Path) -> None:
    """Delete a file or a folder with all in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
