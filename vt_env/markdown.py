"""Markdown tables."""

import re
from collections.abc import Iterable, Iterator, Sequence

from vt_env.valid_text import as_valid_text, printable

_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")


def markdown_table(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a table: the heads, the rule below them, one line a row."""
    yield table_row(heads)
    yield "|---" * len(heads) + "|"
    yield from map(table_row, rows)


def table_row(cells: Iterable[object]) -> str:
    """Return one line of a table; names from data break no row and hold no markup of HTML."""
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(value: object) -> str:
    text = printable(as_valid_text(" ".join(str(value).split())))
    return _TAG_START.sub("&lt;", text).replace("|", r"\|")
