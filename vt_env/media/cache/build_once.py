"""Content-keyed disk cache whose entries are built once, under a lock, and appear atomically."""

import errno
import fcntl
import hashlib
import json
import os
import stat
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

from vt_env.errors import ConfigError
from vt_env.hashing import file_state
from vt_env.jsonl import replace_file
from vt_env.media.cache.published import REMOTE_CACHE, fetch_entry, publish_entry

Progress = Callable[[float], None]
"""Callback that receives the completed fraction, up to 1."""

LOCK = ".lock"
"""Suffix of the lock file of an entry's builder; it lies beside the entry."""

_BLOCK_BYTES = 1 << 20
_WHOLE_BYTES = 256 << 20
"""Maximum size of a file that `content_hash` reads whole: a tenth of a second to half a second."""
_BLOCKS = 64
"""Number of blocks that are read of larger files, evenly spread from head to tail."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cache_root() -> Path:
    """Return the cache folder: `$VT_ENV_CACHE`, or `~/.cache/vt_env`.

    Raises:
        ConfigError: Neither is known, or it is an address.
    """
    named = os.environ.get("VT_ENV_CACHE")
    if named and "://" in named:
        raise ConfigError(
            f"VT_ENV_CACHE={named}: the cache lies on a disk; set {REMOTE_CACHE} to it, and VT_ENV_CACHE to a folder"
        )
    try:
        return Path(named) if named else Path.home() / ".cache" / "vt_env"
    except RuntimeError as error:
        raise ConfigError("no home folder is known; set VT_ENV_CACHE to a folder for the cache") from error


def content_hash(path: Path) -> str:
    """Hash a file's size and content: whole up to 256 MiB, 64 evenly spread MiB of larger ones.

    For a folder, hash the names and contents of its files. A process reads an unchanged file once. In larger files a
    change between the blocks goes unnoticed; `whole_hash` sees it.
    """
    return _folder_hash(path, file_state(path)) if path.is_dir() else _file_hash(path, file_state(path))


def whole_hash(path: Path) -> str:
    """Hash all bytes of a file. A process reads an unchanged file once."""
    return _file_digest(path, file_state(path))


@lru_cache(maxsize=1024)
def _file_hash(path: Path, state: tuple[int, ...]) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
        else:
            for number in range(_BLOCKS):
                file.seek((size - _BLOCK_BYTES) * number // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


@lru_cache(maxsize=1024)
def _file_digest(path: Path, state: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=256)
def _folder_hash(path: Path, state: tuple[int, ...]) -> str:
    digest = hashlib.sha256()
    for file in sorted(it for it in path.iterdir() if it.is_file()):
        digest.update(os.fsencode(file.name) + f"\0{content_hash(file)}\0".encode())
    return digest.hexdigest()


def cache_key(**parts: object) -> str:
    """Hash `parts`, plain JSON values, into a file name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def build_once(final: Path, build: Callable[[Path], None]) -> Path:
    """Return `final`, building it first if it does not exist; one process builds, and no process sees a partial entry.

    `build` receives a path beside `final` and writes a file or a folder there. The next builder removes the leftovers
    of a killed one, whose lock the system has released. With `$VT_ENV_REMOTE_CACHE`, an entry that is published there
    is fetched, and one that is built here is published, see `vt_env.media.cache.published`.

    Raises:
        ConfigError: The cache folder cannot be written, its disk is full, or the remote cache cannot be read.
    """
    if final.exists():
        return final
    with _lock(final):
        if final.exists():
            return final
        try:
            with replace_file(final) as part:
                is_fetched = fetch_entry(final, part)
                if not is_fetched:
                    build(part)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            advice = "free some space (vt-env index --gc), or set VT_ENV_CACHE to a larger disk"
            raise ConfigError(f"{final.parent}: cannot be written ({error.strerror}); {advice}") from error
        if not is_fetched:
            publish_entry(final)
    return final


@cache
def _check_owner(folder: Path) -> None:
    """Warn once of a cache that every user may write: what lies there is trusted."""
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        warnings.warn(f"{folder}: any user of this machine may write it, and what lies there is trusted", stacklevel=2)


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
            _check_owner(final.parents[1])
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
