"""Benchmark registry: find and read the annotations in a file or folder, recognised by row keys, never by file name."""

import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vt_env.benchmarks.readers.cgbench import CGBENCH, CGBENCH_MINI
from vt_env.benchmarks.readers.egoschema import EGOSCHEMA, subset_answers
from vt_env.benchmarks.readers.longvideobench import LONGVIDEOBENCH
from vt_env.benchmarks.readers.lvbench import LVBENCH
from vt_env.benchmarks.readers.mlvu import MLVU_DEV, MLVU_TEST, test_gold
from vt_env.benchmarks.readers.nextqa import NEXTGQA, NEXTQA, spans, vidor_paths
from vt_env.benchmarks.readers.raw_files import SUFFIXES, RawFile, find_files, has_pyarrow, is_parquet, read_file
from vt_env.benchmarks.readers.reader import Benchmark, Companion, Place, table_of
from vt_env.benchmarks.readers.rows import AnnotationFile, Annotations, Defect, DefectKind, Row
from vt_env.benchmarks.readers.video_mme import VIDEO_MME, VIDEO_MME_V2
from vt_env.errors import ConfigError, DataError, foreign_input, suggest

DATA_VARIABLE = "VT_ENV_DATA"
"""Environment variable with the data root, which has one folder per benchmark."""

_TABLES = (".csv", ".parquet")
"""Suffixes of files that can hold annotations alone; a user's own tasks are JSON Lines."""
MAX_MISSING = 0.5
"""Maximum fraction of missing keys for which an error message names the nearest benchmark."""

BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        VIDEO_MME,
        VIDEO_MME_V2,
        LVBENCH,
        LONGVIDEOBENCH,
        MLVU_DEV,
        MLVU_TEST,
        CGBENCH,
        CGBENCH_MINI,
        EGOSCHEMA,
        NEXTGQA,
        NEXTQA,
    )
}
"""Benchmarks by name. Names are not abbreviated: papers have confused "LVB" with "LVBench"."""


def _cgbench_videos(file: RawFile) -> Mapping[str, Any] | None:
    table = table_of(file)
    first = next(iter(table.values()), None)
    return table if isinstance(first, Mapping) and "max_frame" in first else None


_COMPANIONS: Mapping[str, Companion] = {
    "nextgqa_spans": spans,
    "vidor_paths": vidor_paths,
    "egoschema_answers": subset_answers,
    "mlvu_test_gold": test_gold,
    "cgbench_videos": _cgbench_videos,
}


def read_annotations(path: str | Path, name: str | None = None) -> Annotations:
    """Read the annotations of one benchmark.

    Args:
        path: An official annotation file, or a folder with such files. Companion files beside it are read too: some
            benchmarks keep spans, answers or durations in separate files.
        name: Name of the benchmark, required if the folder has several.

    Returns: the annotations. Every row that cannot be read is listed as a defect.

    Raises:
        ConfigError: The path does not exist, the benchmark is unknown, or a Parquet file needs pyarrow.
        DataError: No known annotation file is found, or files of several benchmarks are.
    """
    path = Path(path)
    if name is not None and name not in BENCHMARKS:
        raise ConfigError(f"benchmark {name!r}: known are {', '.join(BENCHMARKS)}{suggest(name, BENCHMARKS)}")
    if not path.exists():
        raise ConfigError(f"{path}: no such file or folder; check the path")
    files = _readable(path, name)
    companions = _companions(files)
    candidates = files if path.is_dir() else [file for file in files if file.path == path]
    found: defaultdict[str, list[RawFile]] = defaultdict(list)
    for file in candidates:
        kind = recognise(file, companions)
        if kind is not None:
            found[kind].append(file)
    if name is None and len(found) > 1:
        raise DataError(f"{path}: holds {' and '.join(sorted(found))}; give the file or folder of one benchmark")
    chosen = name or next(iter(found), None)
    if chosen is None or chosen not in found:
        raise DataError(_not_found(path, name, candidates, found))
    root = path if path.is_dir() else path.parent
    annotations = _collect(BENCHMARKS[chosen], root, found[chosen], companions)
    read_too = [AnnotationFile(file.path, file.sha256, len(file.rows)) for file in files if _is_companion(file)]
    return replace(annotations, files=(*annotations.files, *read_too))


def recognise(file: RawFile, companions: Mapping[str, Any]) -> str | None:
    """Return the name of the benchmark that a file belongs to, or `None`.

    Args:
        file: The file.
        companions: Companion files by kind.
    """
    if not file.rows:
        return None
    matching = (name for name, benchmark in BENCHMARKS.items() if benchmark.matches(file, companions.keys()))
    return next(matching, None)


def find_annotations(tasks: str | Path) -> Annotations | None:
    """Find the benchmark that `tasks` refers to by name, folder or file; `None` if there is none.

    A name may end with a view, such as `cgbench/clues`.

    Raises:
        ConfigError: The folder of a named benchmark does not exist, or the benchmark has no such view.
        DataError: As `read_annotations`.
    """
    view = view_of(tasks)
    if not view:
        return _find_whole(tasks)
    whole = str(tasks).rpartition("/")[0]
    annotations = _find_whole(whole)
    return None if annotations is None else with_view(annotations, view)


def view_of(tasks: str | Path) -> str:
    """Return the view in a task source, such as `clues` in `cgbench/clues`, or an empty text; reads no annotations."""
    whole, _, view = str(tasks).rpartition("/")
    is_view = any(view in benchmark.views for benchmark in BENCHMARKS.values())
    return view if whole and is_view and not Path(tasks).exists() else ""


def with_view(annotations: Annotations, view: str) -> Annotations:
    """Return the annotations under a view, a condition other than the whole video.

    Raises:
        ConfigError: The benchmark has no such view.
    """
    known = [benchmark.name for benchmark in BENCHMARKS.values() if view in benchmark.views]
    if annotations.benchmark not in known:
        raise ConfigError(f"{annotations.benchmark} has no view {view!r}; that is one of {', '.join(known)}")
    return replace(annotations, view=view)


def _find_whole(tasks: str | Path) -> Annotations | None:
    name, path = str(tasks), Path(tasks)
    if name in BENCHMARKS and not path.exists():
        return read_annotations(_folder_of(BENCHMARKS[name]), name)
    if path.is_dir():
        files = _readable(path, None)
        companions = _companions(files)
        return read_annotations(path) if any(recognise(file, companions) for file in files) else None
    is_table = path.suffix.lower() in _TABLES
    return read_annotations(path) if path.is_file() and (is_table or _is_annotations(path)) else None


def _is_annotations(path: Path) -> bool:
    if path.suffix.lower() not in SUFFIXES:
        return False
    try:
        return recognise(read_file(path), {}) is not None
    except DataError:
        # A JSONL file may hold the user's own tasks; `load_tasks` then reports the damaged line.
        if path.suffix.lower() == ".jsonl":
            return False
        raise


def _folder_of(benchmark: Benchmark) -> Path:
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise ConfigError(
            f"tasks={benchmark.name!r}: set {DATA_VARIABLE} to the folder that holds {benchmark.name}/ with its "
            "annotations and videos, or give a path"
        )
    folders = [Path(root) / name for name in (benchmark.name, *benchmark.folders)]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise ConfigError(f"tasks={benchmark.name!r}: no folder {' or '.join(map(str, folders))} ({DATA_VARIABLE}={root})")


def _readable(path: Path, name: str | None) -> list[RawFile]:
    """Read the files of a folder, or a file and the JSON files beside it; unreadable ones are left out.

    Without pyarrow, the Parquet files of a folder are ignored if another file is recognised, since they are copies.
    """
    if path.is_dir():
        paths = list(find_files(path))
        files = _undamaged([file for file in paths if not is_parquet(file) or has_pyarrow()])
        unread = [file for file in paths if is_parquet(file) and not has_pyarrow()]
        wanted = {name} if name else BENCHMARKS.keys()
        if not unread or wanted & {recognise(file, _companions(files)) for file in files}:
            return files
        return files + [read_file(file) for file in unread]
    files = [read_file(path)]
    for file in sorted(path.parent.iterdir()):
        if file != path and file.suffix.lower() == ".json" and file.is_file():
            try:
                files.append(read_file(file))
            except DataError:
                continue
    return files


def _undamaged(paths: Sequence[Path]) -> list[RawFile]:
    """Read the files that can be read, with a warning of the others; if none can, raise the first reason."""
    files: list[RawFile] = []
    reasons: list[DataError] = []
    for path in paths:
        try:
            files.append(read_file(path))
        except DataError as reason:
            reasons.append(reason)
    companions = _companions(files)
    if reasons and not any(recognise(file, companions) for file in files):
        raise reasons[0]
    for reason in reasons:
        warnings.warn(f"{reason}; left out", stacklevel=5)
    return files


def _is_companion(file: RawFile) -> bool:
    return bool(file.rows) and any(read(file) is not None for read in _COMPANIONS.values())


def _companions(files: Sequence[RawFile]) -> dict[str, Mapping[str, Any]]:
    merged: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for file in files:
        for kind, read in _COMPANIONS.items():
            content = read(file) if file.rows else None
            if content is not None:
                merged[kind] |= content
    return dict(merged)


def _collect(
    benchmark: Benchmark, root: Path, files: Iterable[RawFile], companions: Mapping[str, Mapping[str, Any]]
) -> Annotations:
    rows: dict[str, Row] = {}
    defects: list[Defect] = []
    read: list[AnnotationFile] = []
    positions: defaultdict[str, list[str]] = defaultdict(list)
    for file in files:
        unread = tuple(sorted(file.keys - benchmark.fields))
        read.append(AnnotationFile(file.path, file.sha256, len(file.rows), unread))
        known = len(rows)
        entries: list[tuple[str, str]] = []
        for number, raw in enumerate(file.rows, start=1):
            place = Place(file, number, companions)
            try:
                found = _read_row(benchmark, raw, place)
            except DataError as reason:
                defects.append(Defect(DefectKind.BROKEN_ROW, str(place), str(reason)))
                entries.append(("", ""))
                continue
            for row in found:
                before = rows.setdefault(row.question_id, row)
                is_left_out = before is not row and not _is_copy(before, row)
                if is_left_out:
                    defects.append(Defect(DefectKind.DUPLICATE_ID, row.question_id, f"again at {place}; left out"))
                entries.append((row.split, "" if is_left_out else row.task_id))
        # A copy of another file brings no rows and is not counted again.
        if len(rows) > known:
            _count_on(positions, entries)
    return Annotations(
        benchmark=benchmark.name,
        root=root,
        files=tuple(read),
        rows=tuple(rows.values()),
        defects=tuple(defects),
        positions={split: tuple(ids) for split, ids in positions.items()},
    )


def _read_row(benchmark: Benchmark, raw: Mapping[str, Any], place: Place) -> list[Row]:
    if place.number in place.file.faults:
        raise DataError(place.file.faults[place.number])
    # A row that nobody foresaw ends no other.
    with foreign_input(place):
        try:
            found = list(benchmark.read(raw, place))
        except KeyError as reason:
            raise DataError(f"no {reason}") from reason
        except ValueError as reason:
            raise DataError(str(reason)) from reason
    blank = DefectKind.BLANK_QUESTION
    return [
        row if row.question else replace(row, defects=(*row.defects, Defect(blank, row.question_id))) for row in found
    ]


def _count_on(positions: defaultdict[str, list[str]], entries: Sequence[tuple[str, str]]) -> None:
    """Append the rows of a file to their splits; an unreadable row is one of each split in the file."""
    splits = sorted({split for split, _ in entries} - {""})
    for split, task_id in entries:
        for one in [split] if split else splits:
            positions[one].append(task_id)


def _is_copy(one: Row, other: Row) -> bool:
    """Return whether two rows are the same question, as in JSON and Parquet copies in one folder."""
    return (one.question, one.options, one.video_id) == (other.question, other.options, other.video_id)


def _not_found(path: Path, name: str | None, files: Sequence[RawFile], found: Mapping[str, Any]) -> str:
    if name is not None:
        return f"{path}: no annotations of {name}{'; it holds ' + ', '.join(found) if found else ''}"
    if len(files) == 1:
        keys = ", ".join(sorted(files[0].keys)[:8]) or "no rows"
        nearest = _header_hint(files[0]) or _nearest(files[0])
        return f"{path}: not the annotations of a known benchmark (columns: {keys}); {nearest}"
    return f"{path}: no annotation file of a known benchmark in it; known are {', '.join(BENCHMARKS)}"


def _header_hint(file: RawFile) -> str:
    """Say what is wrong with a header that would be known in commas and small letters; empty for others."""
    header = next(iter(file.keys)) if len(file.keys) == 1 else ""
    mark = next((it for it in ";\t|" if it in header), "")
    if mark:
        return f"its cells are separated by {mark!r}: write it with commas"
    written = {key.strip().casefold(): key for key in file.keys}
    for benchmark in BENCHMARKS.values():
        for names in ({key.casefold(): key for key in signature} for signature in benchmark.signatures):
            if names.keys() <= written.keys():
                renamed = [(written[folded], name) for folded, name in sorted(names.items()) if written[folded] != name]
                shown = ", ".join(f"{one!r} to {name!r}" for one, name in renamed)
                return f"it is {benchmark.name} under other names: rename {shown}"
    return ""


def _nearest(file: RawFile) -> str:
    """Describe the nearest benchmark and its missing keys, or list the known benchmarks."""
    lacking = [
        (len(signature - file.keys) / len(signature), benchmark.name, signature - file.keys)
        for benchmark in BENCHMARKS.values()
        for signature in benchmark.signatures
    ]
    share, name, missing = min(lacking, key=lambda it: it[0])
    if share > MAX_MISSING:
        return f"known are {', '.join(BENCHMARKS)}"
    return (
        f"nearest is {name}, of which it lacks {', '.join(sorted(missing))}: rename columns back, or get its own file"
    )
