"""Where costly results lie on disk, and how they get there whole: keyed by content, built aside, renamed into place."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from vt_env.errors import ConfigError

Progress = Callable[[float], None]
"""Told the share of the work done, up to 1."""

_BLOCK_BYTES = 1 << 20


def cache_root() -> Path:
    """The folder of everything that can be rebuilt: `$VT_ENV_CACHE`, or `~/.cache/vt_env`."""
    named = os.environ.get("VT_ENV_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "vt_env"


def content_hash(path: Path) -> str:
    """Hash of a file's size and of a MiB each of its head, middle and tail; files up to 3 MiB are hashed whole.

    That is quick for files of any size and tells apart all that an encoder or a copy can produce, since containers keep
    the sizes of their frames at the head or the tail. A changed byte elsewhere in a large file goes unnoticed.
    """
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


def cache_key(**parts: object) -> str:
    """A file name for what `parts`, all plain JSON values, determine."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def build_once(final: Path, build: Callable[[Path], None]) -> Path:
    """Return `final`, built first if it is not there, by one process at a time and never visible half-built.

    `build` is handed a path beside `final` and writes a file or a folder there. What a killed builder left is removed
    by the next one; its lock went with it.

    Raises:
        ConfigError: The cache folder cannot be written.
    """
    if final.exists():
        return final
    with _lock(final):
        if final.exists():
            return final
        aside = final.with_name(final.name + ".building")
        _remove(aside)
        try:
            build(aside)
            aside.rename(final)
        finally:
            _remove(aside)
    return final


@contextmanager
def _lock(final: Path) -> Generator[None]:
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        file = final.with_name(final.name + ".lock").open("w")
    except OSError as error:
        raise ConfigError(f"{final.parent}: cannot be written ({error.strerror}); set VT_ENV_CACHE") from error
    with file:
        # The system drops the lock when its holder ends, however it ends.
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
