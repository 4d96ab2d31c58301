"""The table of a corpus in Markdown: faults first, then refusals, then a count of what was exact."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from support.corpus_check import EXACT, REFUSED, Row


def table(rows: Sequence[Row], judge: str, seed: int, folder: Path | None = None) -> str:
    """Write the table.

    Args:
        rows: One a file.
        judge: What the frames were compared with.
        seed: Of the random times.
        folder: What is left out of messages.
    """
    counts = Counter(row.status for row in rows)
    told = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    exact = [row for row in rows if row.status == EXACT]
    times = sum(row.times for row in rows)
    most = max(rows, key=lambda row: row.seconds), max(rows, key=lambda row: row.megabytes)
    lines = [
        f"{len(rows)} files: {told}. Judge: {judge}. {times} frames were compared (seed {seed}). The slowest file took "
        f"{most[0].seconds:.1f} s (`{most[0].name}`), the largest {most[1].megabytes:.0f} MB (`{most[1].name}`).",
        "",
    ]
    for status in [*sorted(set(counts) - {EXACT, REFUSED}), REFUSED]:
        chosen = [row for row in rows if row.status == status]
        if chosen:
            lines += [f"| {status} | frames of the judge | line |", "|---|---|---|"]
            lines += [f"| `{row.name}` | {row.judged} | {_cell(row.line, folder)} |" for row in chosen] + [""]
    if exact:
        lines += ["| exact | files | frames compared |", "|---|---|---|"]
        for suffix, count in Counter(Path(row.name).suffix.lower() for row in exact).most_common():
            same = [row.times for row in exact if Path(row.name).suffix.lower() == suffix]
            lines.append(f"| `{suffix}` | {count} | {sum(same)} |")
    return "\n".join(lines) + "\n"


def _cell(line: str, folder: Path | None) -> str:
    short = line if folder is None else line.replace(f"{folder}/", "")
    return short.replace("|", "\\|")[:300]
