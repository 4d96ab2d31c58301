"""Content-keyed disk cache whose entries are built once, under a lock, and appear atomically."""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from vt_env.errors import ConfigError
from vt_env.jsonl import replace_file

Progress = Callable[[float], None]
"""Callback that receives the completed fraction, up to 1."""

LOCK = ".lock"
"""Suffix of the lock file of an entry's builder; it lies beside the entry."""

_BLOCK_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cache_root() -> Path:
    """Return the cache folder: `$VT_ENV_CACHE`, or `~/.cache/vt_env`."""
    named = os.environ.get("VT_ENV_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "vt_env"


def content_hash(path: Path) -> str:
    """Hash a file's size and one MiB each of its head, middle and tail; files up to 3 MiB are hashed whole.

    The cost is the same for files of any size. The hash distinguishes all outputs of encoders and copies, since
    containers keep their frame sizes at the head or the tail. A changed byte elsewhere in a large file goes unnoticed.
    For a folder, hash the names and contents of its files.
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
    """Hash files, given as (path, size, mtime in ns), so that a process reads an unchanged folder once."""
    digest = hashlib.sha256()
    for path, _, _ in files:
        digest.update(f"{path.name}\0{content_hash(path)}\0".encode())
    return digest.hexdigest()


def cache_key(**parts: object) -> str:
    """Hash `parts`, plain JSON values, into a file name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def build_once(final: Path, build: Callable[[Path], None]) -> Path:
    """Return `final`, building it first if it does not exist; one process builds, and no process sees a partial entry.

    `build` receives a path beside `final` and writes a file or a folder there. The next builder removes the leftovers
    of a killed one, whose lock the system has released.

    Raises:
        ConfigError: The cache folder cannot be written, or its disk is full.
    """
    if final.exists():
        return final
    with _lock(final):
        if final.exists():
            return final
        try:
            with replace_file(final) as part:
                build(part)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            advice = "free some space (vt-env index --gc), or set VT_ENV_CACHE to a larger disk"
            raise ConfigError(f"{final.parent}: cannot be written ({error.strerror}); {advice}") from error
    return final


@contextmanager
def lock_now(path: Path) -> Generator[bool]:
    """Try to lock a file exclusively, without waiting; yields whether the lock was acquired.

    A missing file counts as free, as does a file in a cache that this process may not write.
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
            # The system releases the lock when its holder ends, even by a kill.
            fcntl.flock(file, fcntl.LOCK_EX)
            # A garbage collection may have deleted the file meanwhile; other builders then lock a new file.
            if os.fstat(file.fileno()).st_nlink:
                yield
                return
