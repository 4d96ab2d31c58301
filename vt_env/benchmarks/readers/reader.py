"""What a reader of one benchmark is given and what it declares about itself."""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from vt_env.benchmarks.readers.raw_files import RawFile
from vt_env.benchmarks.readers.rows import Row

RawRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a raw row stands, and what lies beside its file."""

    file: RawFile
    number: int
    """Number of the row in its file, from 1."""
    beside: Mapping[str, Mapping[str, Any]]
    """Kind of companion file to its content; several files of a kind are merged."""

    @property
    def stem(self) -> str:
        """Name of the file without its suffix."""
        return self.file.path.stem

    def __str__(self) -> str:
        """`file:row`, for messages."""
        return f"{self.file.path.name}:{self.number}"


@dataclass(frozen=True, slots=True)
class Official:
    """What a split holds by its authors' count."""

    questions: int
    """Multiple-choice questions."""
    videos: int | None = None
    """`None` where the count is not published for this split."""
    open_questions: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table in which papers report a benchmark."""

    heading: str
    label: str = ""
    """Division that the column is a part of; empty for the overall number, `*` for one that is no division."""
    part: str = ""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark: how its files are recognised and read, and what its number means."""

    name: str
    matches: Callable[[RawFile, Set[str]], bool]
    """Tells a file of this benchmark from its keys and the kinds of companions that lie beside it, never its name."""
    signatures: tuple[frozenset[str], ...]
    """Keys that each form of its files has; for messages about files that nearly match."""
    fields: frozenset[str]
    """All keys that its files are known to have. An audit names others, since they may be renamed ones."""
    read: Callable[[RawRow, Place], Iterable[Row]]
    """Turns one raw row into questions; raises `ValueError` where it cannot."""
    official: Mapping[str, Official]
    """Split to its size."""
    rule: str | None = None
    """Name of the official extraction rule in `vt_env.benchmarks.scoring.official_rules`; `None` where answers are
    letters or indices by construction and no text is parsed."""
    headline: str = "accuracy"
    """Official name of the overall number."""
    columns: tuple[Column, ...] = (Column("Overall"),)
    """As its authors and papers print it."""
    terms: str = ""
    """Licence or terms of the annotations."""
    folders: tuple[str, ...] = field(default=())
    """Folders of the data root where it may lie, besides one of its own name."""
    views: Mapping[str, str] = field(default_factory=lambda: {})
    """Name of a condition other than the whole video, such as `clues`, to the official name of its overall number."""


def has_keys(*signatures: frozenset[str]) -> Callable[[RawFile, Set[str]], bool]:
    """Match files whose first row has all keys of any signature."""
    return lambda file, _: any(file.keys >= keys for keys in signatures)


def keys(text: str) -> frozenset[str]:
    """Write a set of keys as one text, the keys between commas."""
    return frozenset(key.strip() for key in text.split(","))


Companion = Callable[[RawFile], Mapping[str, Any] | None]
"""Returns what a companion file contributes, or `None` if the file is another."""


def table_of(file: RawFile) -> Mapping[str, Any]:
    """Return the content of a file that is a single JSON object, or nothing."""
    return file.rows[0] if len(file.rows) == 1 else {}
