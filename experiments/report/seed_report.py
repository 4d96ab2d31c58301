"""Tables and figures of evaluations over training seeds: `python -m experiments.report.seed_report FOLDER`.

    FOLDER/eval/POLICY, FOLDER/seed-N/eval/POLICY    journals, or records of published runs
    FOLDER/table_inputs.json                         order, names, pairs, claims, ceilings
    FOLDER/caption_errors.json                       reading errors of written captions
        ──► table.md, table.json, plots/accuracy.png, plots/families.png, plots/calls.png

`vt-env reproduce` writes them with the same function; every table and figure of the documentation that has records in
`experiments/results` is made by this command.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.analysis.caption_errors import CaptionErrors
from experiments.analysis.seed_table import (
    SHARED,
    ClaimRow,
    SeedPair,
    SeedTable,
    TableInputs,
    evaluation_folders,
    make_table,
    read_evaluations,
)
from experiments.report.caption_tables import caption_error_table
from experiments.report.comparison_plots import plot_calls
from experiments.report.plots import plot_accuracy, plot_groups
from experiments.report.tables import interval, share
from experiments.runs.run_dir import as_json, write_json, write_text
from vt_env.errors import ConfigError, DataError
from vt_env.jsonl import decode_record
from vt_env.markdown import markdown_table

INPUTS, TABLE_FILE, TABLE_JSON = "table_inputs.json", "table.md", "table.json"
ERRORS_FILE = "caption_errors.json"
"""Errors of the captions that policies read, as `experiments.bench.caption_errors` counts them."""


@dataclass(frozen=True)
class SeedReportRun:
    """Write the tables and figures of a run of `vt-env reproduce`, or of published results."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Run directory, or folder of published results."""
    out: Path | None = None
    """Folder of the tables and figures; by default the folder itself."""


def main(run: SeedReportRun) -> None:
    """Write the tables and figures, and print the tables.

    Raises:
        ConfigError: There is no evaluation with an episode.
        DataError: A file is damaged.
    """
    out = run.out or run.folder
    write_seed_report(run.folder, out)
    print((out / TABLE_FILE).read_text(encoding="utf-8"))


def write_seed_report(folder: Path, out: Path) -> SeedTable:
    """Compute the table of all evaluations below a folder, and write it with its figures.

    Raises:
        ConfigError: There is no evaluation with an episode.
        DataError: A file is damaged.
    """
    table = seed_table(folder)
    write_json(out / TABLE_JSON, table.to_json())
    write_text(out / TABLE_FILE, render_page(folder, table))
    rows = [it.row for it in table.rows]
    plot_accuracy(rows, table.chance, out / "plots" / "accuracy.png")
    plot_groups({row.policy: row.families for row in rows}, table.chance, out / "plots" / "families.png")
    plot_calls(table.calls, table.chance, out / "plots" / "calls.png")
    return table


def seed_table(folder: Path) -> SeedTable:
    """Compute the table of all evaluations below a folder.

    Raises:
        ConfigError: There is no evaluation with an episode.
        DataError: A file is damaged.
    """
    table = make_table(read_evaluations(evaluation_folders(folder)), read_inputs(folder))
    if not table.rows:
        raise ConfigError(f"{folder}: no evaluation with an episode; give a folder of vt-env reproduce or vt-env eval")
    return table


def read_inputs(folder: Path) -> TableInputs:
    """Read what a table shows besides the episodes; the defaults where the folder names nothing.

    Raises:
        DataError: The file is damaged.
    """
    path = folder / INPUTS
    try:
        return decode_record(path.read_text(encoding="utf-8"), TableInputs) if path.exists() else TableInputs()
    except ValueError as reason:
        raise DataError(f"{path}: {reason}; restore it, or delete it for the defaults") from reason


def write_inputs(folder: Path, inputs: TableInputs) -> None:
    """Write what a table shows besides the episodes."""
    write_json(folder / INPUTS, as_json(inputs))


def render_page(folder: Path, table: SeedTable) -> str:
    """Return the table and, where they were counted, the errors of the written captions, as Markdown.

    Raises:
        DataError: A file is damaged.
    """
    path = folder / ERRORS_FILE
    if not path.exists():
        return render_table(table)
    found = decode_record(path.read_text(encoding="utf-8"), CaptionErrors)
    return "\n".join([render_table(table), *caption_error_table(found)]) + "\n"


def render_table(table: SeedTable) -> str:
    """Return the table as Markdown."""
    parts = [_policies(table), _differences(table), _claims(table), _groups(table)]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"


def _policies(table: SeedTable) -> Iterator[str]:
    rows: list[list[object]] = []
    for it in table.rows:
        row = it.row
        seeds = "-" if SHARED in it.by_seed else ", ".join(share(value) for value in it.by_seed.values())
        means = (f"{row.calls:.1f}", f"{row.frames:.1f}", share(row.invalid_rate), share(row.no_answer_rate))
        rows.append([row.policy, share(row.accuracy), interval(row.ci95), seeds, row.n, row.videos, *means])
    heads = ("policy", "accuracy", "95 %", "by training seed", "n", "videos", "calls", "frames", "failed", "no answer")
    yield from markdown_table(heads, rows)
    for name, accuracy in table.inputs.ceilings.items():
        yield f"\nAn errorless reader of {name} would reach {accuracy:.2f}."


def _differences(table: SeedTable) -> Iterator[str]:
    if not table.pairs:
        return
    rows: list[list[object]] = []
    for it in table.pairs:
        seeds = "; ".join(f"{row.difference:+.2f} ({_signed(row.ci95)})" for row in it.by_seed.values()) or "-"
        row = it.overall
        rows.append([f"{row.a} - {row.b}", f"{row.difference:+.3f}", _signed(row.ci95), seeds, *_calls(it), row.n])
    yield from markdown_table(("paired difference", "accuracy", "95 %", "by training seed", "calls", "95 %", "n"), rows)


def _claims(table: SeedTable) -> Iterator[str]:
    if table.claims:
        heads = ("wanted", "accuracy", "95 %", "calls", "95 %", "share of calls", "n", "")
        yield from markdown_table(heads, map(_claim_cells, table.claims))


def _claim_cells(row: ClaimRow) -> list[object]:
    overall, claim = row.pair.overall, row.claim
    wanted = f"{overall.a} - {row.rival}: {claim.gain:+.2f}"
    if claim.calls_share is not None:
        wanted += f" at no more calls, or no less at {claim.calls_share:.2f} of the calls"
    calls = "-" if row.calls_share is None else f"{row.calls_share:.2f}"
    cells = [wanted, f"{overall.difference:+.3f}", _signed(overall.ci95), *_calls(row.pair), calls, overall.n]
    return [*cells, "reached" if row.is_reached else "missed"]


def _calls(pair: SeedPair) -> tuple[str, str]:
    low, high = pair.calls.ci95
    return f"{pair.calls.mean:+.2f}", f"{low:+.2f} to {high:+.2f}"


def _groups(table: SeedTable) -> Iterator[str]:
    for title, groups in (("family", "families"), ("video", "durations")):
        names = list(dict.fromkeys(name for it in table.rows for name in getattr(it.row, groups)))
        if not names:
            continue
        rows: list[list[object]] = []
        for it in table.rows:
            cells = [getattr(it.row, groups).get(name) for name in names]
            rows.append([it.row.policy, *("-" if cell is None else share(cell.accuracy) for cell in cells)])
        if title != "family":
            yield ""
        yield from markdown_table([f"policy by {title}", *names], rows)


def _signed(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:+.2f} to {bounds[1]:+.2f}"


if __name__ == "__main__":
    main(tyro.cli(SeedReportRun))
