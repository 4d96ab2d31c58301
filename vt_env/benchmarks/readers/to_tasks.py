"""Conversion of annotations to tasks, for the questions whose videos exist."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vt_env.benchmarks.readers.cgbench import CLUES
from vt_env.benchmarks.readers.convert_subtitles import SubtitleFile
from vt_env.benchmarks.readers.find_media import MediaFolder
from vt_env.benchmarks.readers.parse_fields import letter_at, valid_spans
from vt_env.benchmarks.readers.rows import Annotations, Row, SubtitleForm
from vt_env.errors import ConfigError, DataError
from vt_env.gold import Gold
from vt_env.tasks.task_set import Task, TaskSet, nothing_to_prepare
from vt_env.types import Interval, Item, VideoRef

MAX_NAMED = 3
"""Maximum number of ids in a message."""


def benchmark_tasks(annotations: Annotations, split: str | None = None, media: MediaFolder | None = None) -> TaskSet:
    """Build the tasks whose videos exist, in the order of the annotations.

    Rows that cannot be read are left out with a warning. Open questions are left out, since an episode ends with a
    choice. Questions without a usable gold answer are played but not scored. Only NExT-QA's training split has
    `train_allowed=True`.

    Under the view `clues`, items show only their clue intervals, and questions without one are left out.

    Args:
        annotations: The questions.
        split: Split to keep; `None` keeps all.
        media: Videos and subtitles; `None` means the folder of the annotations.

    Raises:
        ConfigError: The split is unknown, or none of its videos exists.
        DataError: No row can be read, or under the view `clues` no row has a clue interval.
    """
    _report_broken(annotations)
    rows = [row for row in annotations.rows if split in (None, row.split) and len(row.options) >= 2]
    if not rows:
        splits = sorted({row.split for row in annotations.rows})
        raise ConfigError(f"split={split!r}: no multiple-choice questions; allowed are {splits}")
    rows = _with_clues(annotations.benchmark, rows) if annotations.view == CLUES else rows
    folder = media or MediaFolder(annotations.root)
    paths = {row.video_id: folder.video(row.video_names) for row in rows}
    missing = [video_id for video_id, path in paths.items() if path is None]
    if missing:
        _report_missing(annotations, rows, missing, folder.root)
    there = [(row, path) for row in rows if (path := paths[row.video_id]) is not None]
    return TaskSet(tuple(_task(row, path, folder, annotations.view) for row, path in there))


def _report_broken(annotations: Annotations) -> None:
    if not annotations.broken:
        return
    first, count = annotations.broken[0], len(annotations.broken)
    said = (
        f"{annotations.benchmark}: {count} rows cannot be read, first {first.where}: {first.detail}; "
        "vt-env audit lists all"
    )
    if not annotations.rows:
        raise DataError(said)
    warnings.warn(said, stacklevel=4)


def item_options(row: Row) -> tuple[str, ...]:
    """Return the options of a task; equal texts get their letter appended, so that all options differ."""
    repeated = {text for text, count in Counter(row.options).items() if count > 1}
    return tuple(
        f"{text} (option {letter_at(idx)})" if text in repeated else text for idx, text in enumerate(row.options)
    )


def video_handle(benchmark: str, video_id: str) -> str:
    """Return an opaque video handle that does not depend on the path."""
    return hashlib.blake2b(f"{benchmark}/{video_id}".encode(), digest_size=8).hexdigest()


def _task(row: Row, path: Path, folder: MediaFolder, view: str) -> Task:
    handle = video_handle(row.benchmark, row.video_id)
    source = row.subtitles
    subtitles = folder.subtitles(source) if source is not None else None
    prepare = nothing_to_prepare
    if source is not None and subtitles is not None and source.form is not SubtitleForm.SRT:
        prepare = SubtitleFile(subtitles, source)
        subtitles = _converted(subtitles, handle)
    ref = VideoRef(handle, str(path), None if subtitles is None else str(subtitles))
    item = Item(
        task_id=row.task_id,
        question=row.question,
        options=item_options(row),
        video=ref,
        family=next((parts[0] for parts in row.labels.values()), ""),
        split=row.split,
        train_allowed=row.split == "train",
        shown=_evidence(row) if view == CLUES else (),
    )
    return Task(item, _gold(row), prepare)


def _gold(row: Row) -> Gold | None:
    if row.answer_idx is None:
        return None
    return Gold(row.answer_idx, _evidence(row))


def _evidence(row: Row) -> tuple[Interval, ...]:
    # Reversed and empty spans are not intervals; the audit reports them.
    return tuple(Interval(start_s, end_s) for start_s, end_s in valid_spans(row.evidence))


def _with_clues(name: str, rows: Sequence[Row]) -> list[Row]:
    kept = [row for row in rows if _evidence(row)]
    lacking = [row.question_id for row in rows if not _evidence(row)]
    if not kept:
        raise DataError(f"{name}: none of {len(rows)} questions has a clue interval, so there is no clue to show")
    if lacking:
        more = f" and {len(lacking) - MAX_NAMED} more" if len(lacking) > MAX_NAMED else ""
        warnings.warn(
            f"{name}: {len(lacking)} of {len(rows)} questions have no clue interval and are left out: "
            f"{', '.join(lacking[:MAX_NAMED])}{more}",
            stacklevel=5,
        )
    return kept


def _converted(subtitles: Path, handle: str) -> Path:
    # Imported here so that reading annotations needs no media library.
    from vt_env.media.cache.build_once import cache_key, cache_root

    state = subtitles.stat()
    key = cache_key(path=str(subtitles.resolve()), bytes=state.st_size, changed=state.st_mtime_ns, handle=handle)
    return cache_root() / "subtitles" / f"{key}.srt"


def _report_missing(annotations: Annotations, rows: Sequence[Row], missing: Sequence[str], root: Path) -> None:
    name, videos = annotations.benchmark, len({row.video_id for row in rows})
    questions = sum(row.video_id in set(missing) for row in rows)
    more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
    named = f"{', '.join(missing[:MAX_NAMED])}{more}"
    remedy = f"vt-env audit {root} lists them"
    if len(missing) == videos:
        raise ConfigError(f"{name}: none of its {videos} videos is below {root} (missing {named}); {remedy}")
    warnings.warn(
        f"{name}: {videos - len(missing)} of {videos} videos are below {root}, so {len(rows) - questions} of "
        f"{len(rows)} questions are played; missing {named}; {remedy}",
        stacklevel=4,
    )
