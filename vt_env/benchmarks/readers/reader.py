"""Interface of a benchmark reader: its inputs and its declaration."""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from vt_env.benchmarks.readers.raw_files import RawFile
from vt_env.benchmarks.readers.rows import Row

RawRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Location of a raw row, with the companion files of its file."""

    file: RawFile
    number: int
    """Row number in the file, from 1."""
    companions: Mapping[str, Mapping[str, Any]]
    """Content of the companion files by kind; several files of a kind are merged."""

    @property
    def stem(self) -> str:
        """File name without suffix."""
        return self.file.path.stem

    def __str__(self) -> str:
        """Return `file:row`, for messages."""
        return f"{self.file.path.name}:{self.number}"


@dataclass(frozen=True, slots=True)
class Official:
    """Size of a split as published by its authors."""

    questions: int
    """Multiple-choice questions."""
    videos: int | None = None
    """`None` if the count is not published."""
    open_questions: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table that papers report for a benchmark."""

    heading: str
    label: str = ""
    """Label whose part the column shows; empty for the overall score, `*` for another score of the whole set."""
    part: str = ""
    """Value of the label, or name of the other score."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Declaration of a benchmark: recognition and parsing of its files, official sizes and scores."""

    name: str
    matches: Callable[[RawFile, Set[str]], bool]
    """Recognises a file by its keys and the kinds of its companion files, never by its name."""
    signatures: tuple[frozenset[str], ...]
    """Required keys of each file format; for messages about files that nearly match."""
    fields: frozenset[str]
    """All known keys. An audit reports others, which may be renamed columns."""
    read: Callable[[RawRow, Place], Iterable[Row]]
    """Parses a raw row into questions; raises `ValueError` or `KeyError` for an invalid row."""
    official: Mapping[str, Official]
    """Published size of each split."""
    rule: str | None = None
    """Official rule of answer extraction in `vt_env.benchmarks.scoring.official_rules`; `None` if the official
    evaluation parses no text."""
    headline: str = "accuracy"
    """Official name of the overall score."""
    columns: tuple[Column, ...] = (Column("Overall"),)
    """Columns of the table in the paper."""
    terms: str = ""
    """Licence or terms of the annotations."""
    folders: tuple[str, ...] = field(default=())
    """Alternative folder names below the data root."""
    views: Mapping[str, str] = field(default_factory=lambda: {})
    """Official name of the overall score of each view, a condition other than the whole video, such as `clues`."""


def has_keys(*signatures: frozenset[str]) -> Callable[[RawFile, Set[str]], bool]:
    """Build a matcher of files whose first row has all keys of some signature."""
    return lambda file, _: any(file.keys >= keys for keys in signatures)


def keys(text: str) -> frozenset[str]:
    """Parse comma-separated keys."""
    return frozenset(key.strip() for key in text.split(","))


Companion = Callable[[RawFile], Mapping[str, Any] | None]
"""Parser of a companion file; returns `None` for other files."""


def table_of(file: RawFile) -> Mapping[str, Any]:
    """Return the content of a file with a single JSON object; empty for other files."""
    return file.rows[0] if len(file.rows) == 1 else {}
