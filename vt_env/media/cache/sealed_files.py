"""Cached files that carry their own checksum, and holds that tell a collector which of them are being read.

Knows bytes and locks; knows nothing of what the files mean. A sealed record is a JSON object with the checksum of the
rest of it; a sealed file is a line with such a record, which names the checksum of the bytes after it.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import finalize

from vt_env.errors import DataError

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Sealed:
    """What a sealed file says about itself, and its bytes."""

    about: Mapping[str, Any]
    payload: bytes


def checksum(data: bytes) -> str:
    """SHA-256 of `data`, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_checksum(path: Path) -> str:
    """SHA-256 of a whole file, in hexadecimal, a MiB in memory at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def seal(about: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a record of plain JSON values the checksum of the rest."""
    return {**about, "checksum": checksum(json.dumps(about, sort_keys=True).encode())}


def unseal(text: str | bytes) -> dict[str, Any]:
    """Read a sealed record, checked and without its checksum.

    Raises:
        ValueError: It is no JSON object, or it is not as it was written.
    """
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError("its description is no JSON object")
    sealed_as = record.pop("checksum", None)
    if seal(record)["checksum"] != sealed_as:
        raise ValueError("its description does not match its checksum")
    return record


def sealed_bytes(about: Mapping[str, Any], payload: bytes) -> bytes:
    """The bytes of a sealed file; `about` holds plain JSON values, its `schema` among them."""
    return json.dumps(seal({**about, "payload": checksum(payload)})).encode() + b"\n" + payload


def write_sealed(path: Path, about: Mapping[str, Any], payload: bytes) -> None:
    """Write a sealed file."""
    path.write_bytes(sealed_bytes(about, payload))


def read_sealed(path: Path, schema: int) -> Sealed:
    """Read a sealed file back.

    Raises:
        DataError: The file cannot be read, is not as it was written, or has another schema.
    """
    try:
        head, _, payload = path.read_bytes().partition(b"\n")
        about = unseal(head)
        if about.pop("payload") != checksum(payload):
            raise ValueError("its content does not match its checksum")
        check_schema(about, schema)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: damaged ({error}); delete the file, it is rebuilt on the next use") from error
    return Sealed(about, payload)


def check_schema(about: Mapping[str, Any], schema: int) -> None:
    """Refuse a record of another version of the format.

    Raises:
        ValueError: Its `schema` is not `schema`.
    """
    if about.get("schema") != schema:
        raise ValueError(f"written by version {about.get('schema')} of the format, this is version {schema}")


class Hold:
    """Keeps a cached file from being collected while this object lives, in this process and in forks of it.

    Holding also counts as a use. Can be pickled; the copy holds anew.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: The file is not there, or it was collected at this moment.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        # Left to the collector, the file would be closed with a warning.
        finalize(self, self._file.close)
        # Some network file systems have no locks; a file there is read without protection.
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_SH)
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise FileNotFoundError(path)
        touch(path)

    def __reduce__(self) -> tuple[Callable[[Path], "Hold"], tuple[Path]]:
        return Hold, (self._path,)


def touch(path: Path) -> None:
    """Note that a cached file is used now; where the cache is read-only, nothing is noted."""
    with suppress(OSError):
        os.utime(path)
