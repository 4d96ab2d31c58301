"""Files of JSON lines: reading, appending, replacing; and records as JSON.

Only a line feed ends a line, since JSON texts may hold every other separator. Blank lines say nothing, and neither does
a byte order mark before the first. A last line
without a line feed is *torn* where it is not JSON, as a killed writer leaves it; where it is JSON, it is a line.
"""

import codecs
import errno
import json
import math
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from vt_env.errors import DataError, VtEnvError, first_line

PART = ".part"
"""Suffix of what is not yet whole: `replace_file` writes to the name of the target with this behind it."""

T = TypeVar("T")


def decode_json(text: str | bytes) -> Any:
    """Decode one JSON value.

    Raises:
        ValueError: It is not JSON, or holds a number that is not finite.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        # Half a surrogate pair, which servers send where they cut a text, is JSON to the standard library alone.
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as reason:
        raise ValueError(f"not JSON ({reason})") from reason


def decode_object(text: str | bytes) -> dict[str, Any]:
    """Decode one JSON object.

    Raises:
        ValueError: As `decode_json`, or the value is no object.
    """
    value = decode_json(text)
    if not isinstance(value, dict):
        raise ValueError(f"got {str(value)[:40]}; need a JSON object")
    return cast("dict[str, Any]", value)


def decode_record(text: str | bytes, kind: type[T]) -> T:
    """Decode a dataclass from one JSON object, with the dataclasses in it. Fields with a default may be missing.

    Args:
        text: The JSON.
        kind: The dataclass.

    Raises:
        ValueError: As `decode_object`, or a field is unknown, missing or of another type.
    """
    row = decode_object(text)
    try:
        record = _convert(text, row, kind)
    except msgspec.ValidationError as reason:
        raise ValueError(str(reason)) from reason
    if not _is_written_as(record, row):
        unknown = _unknown_field(row, msgspec.to_builtins(record))
        if unknown is not None:
            raise ValueError(f"unknown field {unknown!r}")
    return record


def _convert(text: str | bytes, row: dict[str, Any], kind: type[T]) -> T:
    try:
        return _decoder(kind).decode(text)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeEncodeError):
        return msgspec.convert(row, kind)


@cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


def _is_written_as(record: object, row: dict[str, Any]) -> bool:
    """Tell quickly for most records whether `row` holds their fields and no other; `False` where that is not clear."""
    try:
        return bool(msgspec.json.decode(msgspec.json.encode(record)) == row)
    except (UnicodeEncodeError, OverflowError):
        return False


def encode_record(record: object) -> str:
    """Encode a dataclass, or other JSON values, as one line of ASCII without its line end.

    Raises:
        ValueError: A number is not finite.
        TypeError: A value is none that JSON has.
    """
    return json.dumps(msgspec.to_builtins(record), allow_nan=False)


def read_jsonl(
    path: Path, decode: Callable[[bytes], T] = decode_object, *, skip_torn: bool = False, remedy: str = ""
) -> Iterator[T]:
    """Read a file line by line.

    Args:
        path: The file.
        decode: Turns one line into a value; what it raises becomes a `DataError`.
        skip_torn: Leave out a torn last line.
        remedy: What to do about a damaged line; ends the error.

    Raises:
        DataError: A line is damaged; the message names file and line.
        OSError: The file cannot be read.
    """
    return (value for _, value in read_numbered(path, decode, skip_torn=skip_torn, remedy=remedy))


def read_numbered(
    path: Path, decode: Callable[[bytes], T] = decode_object, *, skip_torn: bool = False, remedy: str = ""
) -> Iterator[tuple[int, T]]:
    """Read a file as `read_jsonl` does, with the number of each line, from 1."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if not line.strip():
                continue
            try:
                value = decode(line)
            except (VtEnvError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as reason:
                if skip_torn and is_torn(line):
                    return
                said = first_line(reason) if isinstance(reason, VtEnvError | ValueError) else _with_kind(reason)
                raise DataError(f"{path}:{number}: {said}{'; ' if remedy else ''}{remedy}") from reason
            yield number, value


def is_torn(line: bytes) -> bool:
    """Tell whether the last line of a file is torn."""
    if line.endswith(b"\n"):
        return False
    try:
        decode_json(line)
    except ValueError:
        return True
    return False


def drop_torn_line(path: Path) -> None:
    """Cut a torn last line off a file, before lines are appended to it. A missing file stays missing."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        data = file.read()
        whole_bytes = data.rfind(b"\n") + 1
        if is_torn(data[whole_bytes:]):
            file.truncate(whole_bytes)


def append_line(path: Path, line: str) -> None:
    """Append a line; it survives the death of this process from here on.

    Args:
        path: The file; made if it is missing, in a folder that exists.
        line: The text without its line end. It begins a line of its own, whatever the file ends in.
    """
    with path.open("ab+") as file:
        is_apart = True
        if file.tell():
            file.seek(-1, os.SEEK_END)
            is_apart = file.read(1) == b"\n"
        file.write(f"{'' if is_apart else chr(10)}{line}\n".encode())


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file of lines, given without their ends, whole or not at all."""
    with replace_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


@contextmanager
def replace_file(path: Path) -> Generator[Path]:
    """Replace a file or a folder: readers see the old one or the whole new one.

    A block that fails leaves the old one. A folder is deleted before the new one takes its name, so a process that is
    killed in between leaves none. What a killed process left half-written is deleted by the next. Two processes that
    replace the same file at once need a lock.

    Args:
        path: What is replaced; missing folders above it are made.

    Yields:
        Where to write the new file or folder, on the same disk.

    Raises:
        OSError: The path holds a folder and the new one is a file, or the other way round; the old one is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}{PART}")
    remove(part)
    try:
        yield part
        _check_same_kind(path, part)
        if part.is_dir():
            remove(path)
        part.replace(path)
    finally:
        remove(part)


def _check_same_kind(path: Path, part: Path) -> None:
    if path.exists() and path.is_dir() != part.is_dir():
        code = errno.EISDIR if path.is_dir() else errno.ENOTDIR
        raise OSError(code, os.strerror(code), str(path))


def remove(path: Path) -> None:
    """Delete a file or a folder with all in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number}: need a finite number")
    return value


def _with_kind(error: Exception) -> str:
    return f"{type(error).__name__} {first_line(error)}"


def _unknown_field(row: Any, known: Any) -> str | None:
    """Find a key of `row`, at any depth, that the record read from it does not have."""
    if isinstance(row, dict):
        pairs = cast("dict[str, Any]", row)
        inner = (name if name not in known else _unknown_field(value, known[name]) for name, value in pairs.items())
    elif isinstance(row, list):
        inner = map(_unknown_field, cast("list[Any]", row), known)
    else:
        return None
    return next((name for name in inner if name is not None), None)
