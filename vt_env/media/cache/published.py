"""Files and folders on object stores, through fsspec (extra `remote`): `s3://`, `gs://`, `file://` and others.

Knows files and addresses; knows nothing of what they hold. What is published is a copy of each file and, written last,
a record with the size and SHA-256 of each. So what has no record is not there, what is read is verified, and a second
publication sends only what has changed. Objects are replaced whole, since object stores cannot append.
"""

import errno
import hashlib
import importlib
import json
import os
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from vt_env.errors import ConfigError, DataError, first_line
from vt_env.jsonl import PART, decode_object, remove

REMOTE_CACHE = "VT_ENV_REMOTE_CACHE"
"""Environment variable: address of a cache that machines without a common file system share."""
KINDS = ("stores", "clips", "transcripts", "screen_text")
"""Folders of the cache whose entries are shared: what takes long to build."""

_RECORD = ".published.json"
"""Suffix of the record, which lies beside what is published."""
_ITSELF = "."
"""Name of the only file in a record of a single file."""
_BLOCK_BYTES = 1 << 20
_FAILURES = {
    "botocore.exceptions": "BotoCoreError",
    "google.auth.exceptions": "GoogleAuthError",
    "gcsfs.retry": "HttpError",
}
"""Module of a driver to the base class of its errors."""


@dataclass(frozen=True)
class _File:
    size_bytes: int
    sha256: str


def publish(path: Path, address: str) -> int:
    """Copy a file or folder to an address; what is there with the same content is not sent again.

    A file that grows meanwhile, such as a journal, is copied as long as it was; unfinished files are left out.

    Args:
        path: The file or folder.
        address: Where it is afterwards, such as `s3://bucket/runs/sft`.

    Returns:
        Number of files sent.

    Raises:
        ConfigError: fsspec or its driver is not installed, or the address cannot be written.
    """
    with _opened(address) as (store, place):
        before = _read_record(store, place) or {}
        record, sent = dict[str, _File](), 0
        for name, file in _files_of(path):
            record[name], is_new = _send(store, file, _at(place, name), before.get(name))
            sent += is_new
        text = json.dumps({name: [it.size_bytes, it.sha256] for name, it in record.items()})
        store.pipe_file(place + _RECORD, text.encode())
        for name in before.keys() - record.keys():
            store.rm_file(_at(place, name))
    return sent


def fetch(address: str, path: Path) -> bool:
    """Copy what is published at an address to a path, and verify it.

    Args:
        address: The address that was given to `publish`.
        path: Where it is afterwards; a folder there may exist, and its other files stay.

    Returns:
        Whether there was something.

    Raises:
        ConfigError: fsspec or its driver is not installed, or the address cannot be read.
        DataError: A file does not match its record, or the record is damaged.
    """
    with _opened(address) as (store, place):
        record = _read_record(store, place)
        if record is None:
            return False
        for name, expected in record.items():
            file = path if name == _ITSELF else path / _inside(name, address)
            file.parent.mkdir(parents=True, exist_ok=True)
            aside = file.with_name(file.name + PART)
            store.get_file(_at(place, name), str(aside))
            if _digest(aside, expected.size_bytes) != expected:
                aside.unlink()
                raise DataError(f"{address}: {name} does not match its record; publish it again")
            aside.replace(file)
    return True


def fetch_entry(final: Path, part: Path) -> bool:
    """Fetch an entry of the cache from `$VT_ENV_REMOTE_CACHE`, if it is published there.

    Args:
        final: The entry.
        part: Where it is written.
    """
    address = _address_of(final)
    try:
        return address is not None and fetch(address, part)
    except DataError as reason:
        # Another machine may be writing it.
        warnings.warn(f"{reason}; it is built here", stacklevel=2)
        remove(part)
        return False


def publish_entry(final: Path) -> None:
    """Publish an entry of the cache at `$VT_ENV_REMOTE_CACHE`; warns where that cannot be written."""
    address = _address_of(final)
    if address is not None:
        try:
            publish(final, address)
        except ConfigError as reason:
            warnings.warn(f"{reason}; what is built here is not shared", stacklevel=2)


def _address_of(final: Path) -> str | None:
    remote = os.environ.get(REMOTE_CACHE)
    return f"{remote.rstrip('/')}/{final.parent.name}/{final.name}" if remote and final.parent.name in KINDS else None


@contextmanager
def _opened(address: str) -> Generator[tuple[Any, str]]:
    """Yield the file system of an address and the place in it; its errors become one line."""
    try:
        fsspec: Any = importlib.import_module("fsspec")
    except ModuleNotFoundError as reason:
        raise ConfigError(f"{address}: needs fsspec, which is not installed: add the extra remote") from reason
    try:
        store, place = (
            fsspec.core.url_to_fs(address, auto_mkdir=True) if _is_local(address) else fsspec.core.url_to_fs(address)
        )
    except (ImportError, ValueError) as reason:
        raise ConfigError(f"{address}: {first_line(reason)}; give an address such as s3://bucket/folder") from reason
    try:
        yield store, place.rstrip("/")
    except (OSError, *_driver_failures()) as reason:
        if getattr(reason, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ConfigError(f"{address}: {first_line(reason)}; check the address and its credentials") from reason


def _driver_failures() -> tuple[type[Exception], ...]:
    """List what the drivers that are loaded raise besides `OSError`, such as for missing credentials."""
    return tuple(getattr(sys.modules[module], name) for module, name in _FAILURES.items() if module in sys.modules)


def _is_local(address: str) -> bool:
    return "://" not in address or address.startswith(("file://", "local://"))


def _read_record(store: Any, place: str) -> dict[str, _File] | None:
    try:
        text = cast("bytes", store.cat_file(place + _RECORD))
    except FileNotFoundError:
        return None
    try:
        return {name: _File(int(size), str(sha256)) for name, (size, sha256) in decode_object(text).items()}
    except (ValueError, TypeError) as reason:
        raise DataError(f"{place}{_RECORD}: damaged ({reason}); delete it and publish again") from reason


def _files_of(path: Path) -> list[tuple[str, Path]]:
    if path.is_file():
        return [(_ITSELF, path)]
    files = (it for it in sorted(path.rglob("*")) if it.is_file() and it.suffix != PART)
    return [(it.relative_to(path).as_posix(), it) for it in files]


def _at(place: str, name: str) -> str:
    return place if name == _ITSELF else f"{place}/{name}"


def _inside(name: str, address: str) -> PurePosixPath:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts:
        raise DataError(f"{address}: its record names {name!r}, which leads out of the folder; publish it again")
    return inside


def _send(store: Any, file: Path, place: str, before: _File | None) -> tuple[_File, bool]:
    now = _digest(file, file.stat().st_size)
    if now == before:
        return now, False
    left = now.size_bytes
    with file.open("rb") as source, store.open(place, "wb") as target:
        while left and (block := source.read(min(left, _BLOCK_BYTES))):
            target.write(block)
            left -= len(block)
    return now, True


def _digest(file: Path, size_bytes: int) -> _File:
    """Hash the first bytes of a file; a shorter one has another size."""
    digest, left = hashlib.sha256(), size_bytes
    with file.open("rb") as source:
        while left and (block := source.read(min(left, _BLOCK_BYTES))):
            digest.update(block)
            left -= len(block)
    return _File(size_bytes - left, digest.hexdigest())
