"""Raw annotation files: read JSON, JSON Lines, CSV and, with pyarrow, Parquet into rows."""

import csv
import hashlib
import importlib
import importlib.util
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vt_env.errors import ConfigError, DataError

SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")
MAX_DEPTH = 3
"""Maximum depth of folders that are searched for annotations."""
MAX_SIBLINGS = 64
"""Maximum number of files of these kinds in a folder of annotations; larger folders hold subtitles or results."""


@dataclass(frozen=True, slots=True)
class RawFile:
    """A parsed file whose benchmark is not yet known."""

    path: Path
    sha256: str
    rows: Sequence[Mapping[str, Any]]
    """Rows of a table; a JSON object is a single row."""

    @property
    def keys(self) -> frozenset[str]:
        """Keys of the first row."""
        return frozenset(self.rows[0]) if self.rows else frozenset()


def read_file(path: Path) -> RawFile:
    """Parse a file by its suffix.

    Raises:
        DataError: The file cannot be read or parsed.
        ConfigError: The file is Parquet and pyarrow is not installed.
    """
    try:
        data = path.read_bytes()
    except OSError as reason:
        raise DataError(f"{path}: cannot be read ({reason.strerror}); check the path") from reason
    return RawFile(path, hashlib.sha256(data).hexdigest(), _rows(path, data))


def find_files(folder: Path) -> Iterator[Path]:
    """Yield possible annotation files of a folder, down to `MAX_DEPTH` levels, in alphabetical order."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        if len(Path(parent).relative_to(folder).parts) >= MAX_DEPTH:
            folders.clear()
        found = sorted(name for name in names if Path(name).suffix.lower() in SUFFIXES)
        if len(found) <= MAX_SIBLINGS:
            yield from (Path(parent) / name for name in found)


def is_parquet(path: Path) -> bool:
    """Return whether a file has the suffix of Parquet."""
    return path.suffix.lower() == ".parquet"


def has_pyarrow() -> bool:
    """Return whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def _rows(path: Path, data: bytes) -> Sequence[Mapping[str, Any]]:
    if is_parquet(path):
        return _parquet_rows(path)
    try:
        text = data.decode("utf-8-sig")
        if path.suffix.lower() == ".csv":
            return list(csv.DictReader(io.StringIO(text)))
        # Not `splitlines`, which also splits at characters that JSON allows inside strings.
        is_lines = path.suffix.lower() == ".jsonl"
        parsed = [json.loads(line) for line in text.split("\n") if line.strip()] if is_lines else json.loads(text)
    except UnicodeDecodeError as reason:
        raise DataError(f"{path}: not UTF-8 (at byte {reason.start}); download it again") from reason
    except (json.JSONDecodeError, csv.Error, RecursionError) as reason:
        raise DataError(f"{path}: damaged ({str(reason)[:80]}); download it again or repair that place") from reason
    rows = cast("list[Any]", parsed) if isinstance(parsed, list) else [parsed]
    return [cast("dict[str, Any]", row) if isinstance(row, dict) else {} for row in rows]


def _parquet_rows(path: Path) -> Sequence[Mapping[str, Any]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as reason:
        raise ConfigError(f"{path}: reading Parquet needs pyarrow: add the extra parquet, or give JSON") from reason
    try:
        return parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as reason:
        raise DataError(f"{path}: not Parquet ({str(reason)[:80]}); download it again") from reason
