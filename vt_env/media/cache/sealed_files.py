"""Cache files with a built-in checksum, and holds that protect files in use from garbage collection.

Knows bytes and locks; knows nothing of file contents. A sealed record is a JSON object with a `checksum` of its other
fields. A sealed file is one line with a sealed record, whose `payload` is the checksum of the bytes after the line. Its
name is the `cache_key` of the other fields, so that no file passes for another.
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
from vt_env.jsonl import decode_object
from vt_env.media.cache.build_once import cache_key

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Sealed:
    """Metadata and payload of a sealed file."""

    about: Mapping[str, Any]
    payload: bytes


def checksum(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, reading one MiB at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def seal(about: Mapping[str, Any]) -> dict[str, Any]:
    """Add a checksum to a record of plain JSON values."""
    return {**about, "checksum": checksum(json.dumps(about, sort_keys=True).encode())}


def unseal(text: str | bytes) -> dict[str, Any]:
    """Parse a sealed record, verify its checksum and return the record without it.

    Raises:
        ValueError: The text is not a JSON object, or the checksum does not match.
    """
    record = decode_object(text)
    sealed_as = record.pop("checksum", None)
    if seal(record)["checksum"] != sealed_as:
        raise ValueError("its description does not match its checksum")
    return record


def sealed_bytes(about: Mapping[str, Any], payload: bytes) -> bytes:
    """Encode a sealed file; `about` holds plain JSON values, `schema` among them."""
    return json.dumps(seal({**about, "payload": checksum(payload)})).encode() + b"\n" + payload


def write_sealed(path: Path, about: Mapping[str, Any], payload: bytes) -> None:
    """Write a sealed file."""
    path.write_bytes(sealed_bytes(about, payload))


def read_sealed(path: Path, schema: int) -> Sealed:
    """Read a sealed file and verify it.

    Raises:
        DataError: The file is missing, a checksum or its name does not match, or the schema is another one.
        OSError: The system does not let it be read, which says nothing of its content.
    """
    try:
        head, _, payload = path.read_bytes().partition(b"\n")
        about = unseal(head)
        if about.pop("payload") != checksum(payload):
            raise ValueError("its content does not match its checksum")
        check_schema(about, schema)
        check_name(path, about)
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise DataError(f"{path}: damaged ({error}); delete the file, it is rebuilt on the next use") from error
    return Sealed(about, payload)


def check_name(path: Path, about: Mapping[str, Any]) -> None:
    """Check that a file or folder has the name of what it says it is.

    Raises:
        ValueError: It was copied from another name.
    """
    if path.name.partition(".")[0] != cache_key(**about):
        raise ValueError("it is another entry under this name")


def check_schema(about: Mapping[str, Any], schema: int) -> None:
    """Check the format version of a record.

    Raises:
        ValueError: `about["schema"]` is not `schema`.
    """
    if about.get("schema") != schema:
        raise ValueError(f"written by version {about.get('schema')} of the format, this is version {schema}")


class Hold:
    """Protects a cache file from garbage collection for the lifetime of the object, in this process and its forks.

    Creating a hold counts as a use of the file. Picklable; a copy takes its own hold.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: The file does not exist, or has just been deleted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        # Left to Python's garbage collector, the file would be closed with a ResourceWarning.
        finalize(self, self._file.close)
        # Some network file systems have no locks; files there are not protected.
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_SH)
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise FileNotFoundError(path)
        touch(path)

    def __reduce__(self) -> tuple[Callable[[Path], "Hold"], tuple[Path]]:
        return Hold, (self._path,)


def touch(path: Path) -> None:
    """Update the time of last use of a cache file; does nothing in a read-only cache."""
    with suppress(OSError):
        os.utime(path)
