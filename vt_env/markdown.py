"""Markdown tables."""

from collections.abc import Iterable, Iterator, Sequence


def markdown_table(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a table: the heads, the rule below them, one line a row."""
    yield table_row(heads)
    yield "|---" * len(heads) + "|"
    yield from map(table_row, rows)


def table_row(cells: Iterable[object]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(map(str, cells))} |"
