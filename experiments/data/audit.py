"""Check a copy of a benchmark before anybody reports a number on it: `vt-env audit /data/lvbench`."""

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
    """An official annotation file, or a folder that holds some."""
    benchmark: str | None = None
    """Which benchmark, where a folder holds several."""
    media: Path | None = None
    """Folder of videos and subtitles, if they lie elsewhere."""
    probe: bool = False
    """Open every video, to find those that cannot be read."""
    out: Path | None = None
    """Write the report here as JSON, every defect included."""
    all: bool = False
    """List every defect instead of a few of each kind."""


def main(run: AuditRun) -> int:
    """Print the report.

    Returns:
        0 if the copy is complete, 2 if something is missing.

    Raises:
        ConfigError: There is no such path or benchmark.
        DataError: It is no benchmark that is known, or several are mixed.
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
