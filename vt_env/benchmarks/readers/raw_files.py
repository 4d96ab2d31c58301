"""Raw annotation files: read JSON, JSON Lines, CSV and, with pyarrow, Parquet into rows."""

import csv
import hashlib
import importlib
import importlib.util
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from vt_env.errors import ConfigError, DataError

SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")
MAX_DEPTH = 3
"""Maximum depth of folders that are searched for annotations."""
MAX_SIBLINGS = 64
"""Maximum number of files of these kinds in a folder of annotations; larger folders hold subtitles or results."""
_COMMAS = "quote the cells that hold commas"
_OPEN_QUOTE = "a quote is opened and not closed; close it"


@dataclass(frozen=True, slots=True)
class RawFile:
    """A parsed file whose benchmark is not yet known."""

    path: Path
    sha256: str
    rows: Sequence[Mapping[str, Any]]
    """Rows of a table; a JSON object is a single row."""
    faults: Mapping[int, str] = field(default_factory=lambda: {})
    """Why a row cannot be read, by its number from 1; its cells are `None`."""

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
    if path.exists() and not path.is_file():
        # A pipe or device would never end.
        raise DataError(f"{path}: not a file; check the path")
    try:
        data = path.read_bytes()
    except OSError as reason:
        raise DataError(f"{path}: cannot be read ({reason.strerror}); check the path") from reason
    sha256 = hashlib.sha256(data).hexdigest()
    if path.suffix.lower() == ".csv":
        rows, faults = _csv_rows(path, data)
        return RawFile(path, sha256, rows, faults)
    return RawFile(path, sha256, _rows(path, data))


def find_files(folder: Path) -> Iterator[Path]:
    """Yield possible annotation files of a folder, down to `MAX_DEPTH` levels, in alphabetical order."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        if len(Path(parent).relative_to(folder).parts) >= MAX_DEPTH:
            folders.clear()
        found = sorted(name for name in names if _may_hold_rows(name) and (Path(parent) / name).is_file())
        if len(found) <= MAX_SIBLINGS:
            yield from (Path(parent) / name for name in found)


def _may_hold_rows(name: str) -> bool:
    # Files such as `._val.csv` are what a Mac writes beside a copied file.
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


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
        text = _decoded(path, data)
        # Not `splitlines`, which also splits at characters that JSON allows inside strings.
        is_lines = path.suffix.lower() == ".jsonl"
        parsed = [json.loads(line) for line in text.split("\n") if line.strip()] if is_lines else json.loads(text)
    except (ValueError, RecursionError) as reason:
        # Besides broken JSON, numbers of thousands of digits.
        raise DataError(f"{path}: damaged ({str(reason)[:80]}); download it again or repair that place") from reason
    rows = cast("list[Any]", parsed) if isinstance(parsed, list) else [parsed]
    return [cast("dict[str, Any]", row) if isinstance(row, dict) else {} for row in rows]


def _csv_rows(path: Path, data: bytes) -> tuple[list[Mapping[str, Any]], dict[int, str]]:
    """Read a table; a row with more or fewer cells than columns has shifted ones, so none of its cells is used."""
    lines = list(io.StringIO(_decoded(path, data), newline=""))
    header: list[str] = []
    rows: list[Mapping[str, Any]] = []
    faults: dict[int, str] = {}
    at = 0
    while at < len(lines):
        cells, fault, at = _csv_row(lines, at, len(header))
        if not header and fault:
            raise DataError(f"{path}: damaged ({fault}); download it again or repair that place")
        if not header:
            header = cells
            twice = next((name for name, count in Counter(cells).items() if name and count > 1), None)
            if twice is not None:
                raise DataError(f"{path}: column {twice!r} occurs twice; keep one")
        elif cells or fault:
            rows.append(dict.fromkeys(header) if fault else dict(zip(header, cells, strict=True)))
            if fault:
                faults[len(rows)] = fault
    return rows, faults


def _csv_row(lines: Sequence[str], at: int, columns: int) -> tuple[list[str], str, int]:
    """Read the row that begins at a line; the header, where no column is known.

    A quote that is opened and not closed takes the following rows into its cell, up to the next quote. Such a row ends
    with its first line.

    Returns: its cells, what is wrong with it or an empty text, and the line behind it.
    """
    try:
        reader = csv.reader(lines[number] for number in range(at, len(lines)))
        cells = next(reader)
        end = at + reader.line_num
        is_whole = not columns or len(cells) in (0, columns)
        if end > at + 1:
            # Strictly, a quote is closed before a comma or a line end.
            next(csv.reader(lines[at:end], strict=True))
            if not is_whole and len(next(csv.reader(lines[at + 1 : at + 2]))) == columns:
                return [], _OPEN_QUOTE, at + 1
    except csv.Error as reason:
        return [], f"{_OPEN_QUOTE} ({str(reason)[:80]})", at + 1
    return cells, "" if is_whole else f"{len(cells)} cells for {columns} columns; {_COMMAS}", end


def _decoded(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise DataError(f"{path}: not UTF-8 (at byte {reason.start}); download it again") from reason


def _parquet_rows(path: Path) -> Sequence[Mapping[str, Any]]:
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as reason:
        raise ConfigError(f"{path}: reading Parquet needs pyarrow: add the extra parquet, or give JSON") from reason
    try:
        return parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as reason:
        raise DataError(f"{path}: not Parquet ({str(reason)[:80]}); download it again") from reason
