"""Overlap of a data set's videos with benchmarks: a video must not be trained on and evaluated on.

Videos are compared by name, since benchmarks name theirs by id, and by content where a benchmark's videos are there.
A renamed and re-encoded copy is not found.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vt_env.benchmarks.readers.find_media import MediaFolder
from vt_env.benchmarks.readers.registry import BENCHMARKS, DATA_VARIABLE, read_annotations
from vt_env.benchmarks.readers.rows import Annotations
from vt_env.errors import VtEnvError
from vt_env.media.cache.build_once import content_hash

NAMED = 10
"""Videos that are named for each benchmark, at most."""


@dataclass(frozen=True)
class Leakage:
    """Compared benchmarks and shared videos."""

    checked: Mapping[str, int]
    """Benchmark to the number of its videos."""
    shared: Mapping[str, list[str]]
    """Benchmark to the names of shared videos, `NAMED` at most."""
    counts: Mapping[str, int]
    """Benchmark to the number of shared videos."""
    not_checked: Mapping[str, str]
    """Benchmark to the reason for which it could not be compared."""


def find_leakage(videos: Iterable[Path]) -> Leakage:
    """Compare videos with those of every benchmark with annotations below `$VT_ENV_DATA`.

    Args:
        videos: Files of the data set.
    """
    ours = {path: path.stem for path in set(videos)}
    found = _Found({}, {}, {}, {})
    for name, path in _data_folders().items():
        try:
            _compare(read_annotations(path, name if name in BENCHMARKS else None), ours, found)
        except VtEnvError as reason:
            found.not_checked[name] = str(reason)
    missing = set(BENCHMARKS) - found.checked.keys() - found.not_checked.keys()
    found.not_checked.update(dict.fromkeys(sorted(missing), "no annotations there"))
    return Leakage(found.checked, found.shared, found.counts, found.not_checked)


@dataclass
class _Found:
    checked: dict[str, int]
    shared: dict[str, list[str]]
    counts: dict[str, int]
    not_checked: dict[str, str]


def _data_folders() -> dict[str, Path]:
    root = os.environ.get(DATA_VARIABLE)
    return {name: Path(root) / name for name in BENCHMARKS if root and (Path(root) / name).is_dir()}


def _compare(annotations: Annotations, ours: Mapping[Path, str], found: _Found) -> None:
    names: dict[str, str] = {}
    for row in annotations.rows:
        for name in (row.video_id, *row.video_names):
            names.setdefault(PurePosixPath(name).stem, row.video_id)
    folder = MediaFolder(annotations.root)
    files = {row.video_id: folder.video(row.video_names) for row in annotations.rows}
    contents = {content_hash(path): video_id for video_id, path in files.items() if path is not None}
    shared = {names[stem] for stem in ours.values() if stem in names}
    if contents:
        hashes = {content_hash(path) for path in ours if path.is_file()}
        shared |= {video_id for key, video_id in contents.items() if key in hashes}
    found.checked[annotations.benchmark] = len({row.video_id for row in annotations.rows})
    if shared:
        found.shared[annotations.benchmark] = sorted(shared)[:NAMED]
        found.counts[annotations.benchmark] = len(shared)
