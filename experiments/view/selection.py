"""Selection of episodes: filters, search words, order and page, as the address of the list names them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from vt_env.errors import ConfigError, suggest

CHOICES = ("run", "policy", "family", "split", "status", "outcome", "tag", "video", "task_id")
"""Columns that are filtered by equality; several values of one column are alternatives."""
RANGES = ("id", "calls", "failed", "frames", "reward", "step", "tokens", "wall_s", "sample")
"""Columns that are filtered by `NAME_min` and `NAME_max`, both included."""
SORTABLE = (*RANGES, "policy", "task_id", "family", "status", "outcome")
MAX_SIZE = 1000
"""Most rows of a page."""
_TAGGED = "(run, task_id, sample) IN (SELECT run, task_id, sample FROM tags WHERE tag IN ({}))"


@dataclass(frozen=True)
class Selection:
    """Filters, search words, order and page of the list."""

    choices: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {})
    ranges: Mapping[str, float] = field(default_factory=lambda: {})
    """`NAME_min` or `NAME_max` to a bound."""
    words: str = ""
    """Words that question, options or replies hold, all of them; the last may be a beginning."""
    sort: str = "id"
    """Column, with `-` before it for the largest first."""
    page: int = 0
    size: int = 100
    untagged: bool = False
    """Only episodes without a tag."""

    @staticmethod
    def read(pairs: Sequence[tuple[str, str]]) -> "Selection":
        """Read a selection from the names and values of an address.

        Raises:
            ConfigError: A name does not exist, or a value is not allowed.
        """
        choices: dict[str, tuple[str, ...]] = {}
        ranges: dict[str, float] = {}
        single: dict[str, str] = {}
        bounds = [f"{name}_{end}" for name in RANGES for end in ("min", "max")]
        for name, value in pairs:
            if name in CHOICES:
                choices[name] = (*choices.get(name, ()), value)
            elif name in bounds:
                ranges[name] = _number(name, value)
            elif name in ("words", "sort", "page", "size", "untagged"):
                single[name] = value
            else:
                known = (*CHOICES, *bounds, "words", "sort", "page", "size", "untagged")
                raise ConfigError(f"filter {name!r}: allowed are {', '.join(known)}{suggest(name, known)}")
        sort = single.get("sort", "id")
        if sort.removeprefix("-") not in SORTABLE:
            raise ConfigError(f"sort={sort!r}: allowed are {', '.join(SORTABLE)}, with - before it for falling order")
        size, page = _whole("size", single.get("size", "100"), 1), _whole("page", single.get("page", "0"), 0)
        words = single.get("words", "")
        return Selection(choices, ranges, words, sort, page, min(size, MAX_SIZE), single.get("untagged") == "1")

    def without(self, *names: str) -> "Selection":
        """Return the selection without the filters of some columns."""
        return replace(self, choices={key: value for key, value in self.choices.items() if key not in names})

    def where(self) -> tuple[str, list[str | float]]:
        """Return the condition as SQL and its values; no text of a user stands in the SQL."""
        parts, values = ["1"], list[str | float]()
        for name, allowed in self.choices.items():
            marks = ", ".join("?" * len(allowed))
            parts.append(_TAGGED.format(marks) if name == "tag" else f"{name} IN ({marks})")
            values += allowed
        for name, bound in self.ranges.items():
            column, _, end = name.rpartition("_")
            parts.append(f"{column} {'>=' if end == 'min' else '<='} ?")
            values.append(bound)
        if query := _words_query(self.words):
            parts.append("id IN (SELECT rowid FROM words WHERE words MATCH ?)")
            values.append(query)
        if self.untagged:
            parts.append("(run, task_id, sample) NOT IN (SELECT run, task_id, sample FROM tags)")
        return " AND ".join(parts), values

    def order(self) -> str:
        """Return the order as SQL; equal rows keep the order of the journals."""
        column, falls = self.sort.removeprefix("-"), self.sort.startswith("-")
        return f"{column} {'DESC' if falls else 'ASC'} NULLS LAST, id"


def _words_query(words: str) -> str:
    """Write words as an FTS5 query: all of them, the last as a beginning; none of its operators is reachable."""
    found = re.findall(r"\w+", words)
    return " ".join(f'"{word}"' for word in found) + "*" if found else ""


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if math.isnan(value):
        raise ConfigError(f"{name}={text!r}: need a number")
    return value


def _whole(name: str, text: str, least: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) < least:
        raise ConfigError(f"{name}={text!r}: need a whole number of {least} or more")
    return int(text)
