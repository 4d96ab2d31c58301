"""Check a copy of a benchmark for missing and damaged files: `vt-env audit /data/lvbench`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.runs.run_dir import write_text
from vt_env.benchmarks.audit import MAX_EXAMPLES, audit
from vt_env.errors import DataError


@dataclass(frozen=True)
class AuditRun:
    """Check annotations, videos and subtitles of one benchmark."""

    path: Annotated[Path, tyro.conf.Positional]
    """Official annotation file, or a folder of annotation files."""
    benchmark: str | None = None
    """Name of the benchmark, if the folder holds several."""
    media: Path | None = None
    """Folder of videos and subtitles; by default that of the annotations."""
    probe: bool = False
    """Open every video to find unreadable ones."""
    out: Path | None = None
    """JSON file for the report with every defect."""
    all: bool = False
    """List every defect instead of a few of each kind."""


def main(run: AuditRun) -> int:
    """Print the report.

    Returns:
        0 if the copy is complete, 2 if something is missing.

    Raises:
        ConfigError: The path or benchmark does not exist.
        DataError: The annotations belong to no known benchmark, or to several.
    """
    coverage = audit(run.path, run.benchmark, run.media, _unreadable if run.probe else None)
    if run.out is not None:
        write_text(run.out, json.dumps(coverage.to_json(), indent=1, default=str) + "\n")
    print(coverage.text(len(coverage.defects) if run.all else MAX_EXAMPLES))
    return 0 if coverage.complete else 2


def _unreadable(path: Path) -> str | None:
    # Imported here since only probing needs a decoder.
    from vt_env.media.decode.container import open_media, video_stream

    try:
        with open_media(path) as container:
            video_stream(container, path)
    except DataError as reason:
        return str(reason)
    return None
