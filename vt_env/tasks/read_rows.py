"""JSONL rows of tasks: one JSON object a line becomes a `Task`, checked field by field.

Only `video`, `question` and `options` are required; paths are relative to the file:

    {"video": "talks/keynote.mp4", "question": "Which city is on the third slide?", "options": ["Oslo", "Lima"],
     "answer": 1, "evidence": [[731.0, 748.5]], "subtitles": "talks/keynote.srt", "captions": "talks/keynote.jsonl",
     "evidence_boxes": [[0.1, 0.2, 0.4, 0.3]], "task_id": "keynote-3", "family": "reading", "split": "test"}

`answer` is the 0-based index of the right option, or its text; a task without one is played and not scored.
`evidence_boxes` holds one box for each interval of `evidence`: left, top, right and bottom as fractions of the frame.
`subtitles_encoding` names the encoding of the subtitle file, such as `cp1251`; without it, it is found out.
`world` is the version of the generated world in rows that `vt-env world` wrote, see `VideoRef.world`.
`video_handle` names the video as other task files do, so that their runs can be compared; by default the handle follows
from the path.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vt_env.actions.read_answer import read_answer
from vt_env.errors import ConfigError, DataError, suggest
from vt_env.gold import Gold
from vt_env.media.text.encodings import check_encoding
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import MAX_OPTIONS, Box, Interval, Item, VideoRef

_REQUIRED = ("video", "question", "options")
_OPTIONAL = (
    "answer", "evidence", "evidence_boxes", "subtitles", "subtitles_encoding", "captions", "task_id", "family", "split",
    "world", "video_handle",
)  # fmt: skip
_FIELDS = (*_REQUIRED, *_OPTIONAL)
_HANDLE = re.compile(r"[A-Za-z0-9_-]{1,64}")
TASKS_FILE = "tasks.jsonl"
"""Name of the tasks file in a folder."""


@dataclass(frozen=True, slots=True)
class LineDefect:
    """Defect of a line in a tasks file."""

    number: int
    """Of the line, counted from 1."""
    field: str
    """Place of the defect: `"row"` (the line as a whole), `"task_id"` (occurs twice), or the unreadable field."""
    detail: str


def scan_tasks(path: str | Path) -> tuple[TaskSet, tuple[LineDefect, ...]]:
    """Read a JSONL file of tasks and go on after lines that cannot be used, where `load_tasks` stops at the first.

    Args:
        path: The file, or a folder that holds `tasks.jsonl`.

    Returns: The tasks, and a defect for each other line.

    Raises:
        ConfigError: There is no such file.
        DataError: It is not UTF-8.
    """
    path = Path(path) / TASKS_FILE if Path(path).is_dir() else Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    tasks: dict[str, Task] = {}
    defects: list[LineDefect] = []
    try:
        # Not `splitlines`: it also splits at characters that JSON allows inside texts.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as reason:
        raise DataError(f"{path}: not UTF-8 ({reason.reason} at byte {reason.start}); save it as UTF-8") from reason
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            with _reading("row"):
                row = _parse_row(line)
            task = read_task(row, path.parent)
        except _Unusable as reason:
            defects.append(LineDefect(number, reason.field, str(reason)))
            continue
        task_id = task.item.task_id
        if task_id in tasks:
            defects.append(LineDefect(number, "task_id", f"task_id {task_id!r} occurs twice; ids must differ"))
        tasks.setdefault(task_id, task)
    return TaskSet(tuple(tasks.values())), tuple(defects)


def load_file(path: Path) -> TaskSet:
    """Read a JSONL file of tasks.

    Raises:
        ConfigError: There is no such file.
        DataError: A line cannot be used; the message names file and line.
    """
    tasks, defects = scan_tasks(path)
    if defects:
        raise DataError(f"{path}:{defects[0].number}: {defects[0].detail}")
    return tasks


class _Unusable(ValueError):
    """Defect of a row; never leaves this module."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


@contextmanager
def _reading(field: str) -> Generator[None]:
    try:
        yield
    except _Unusable:
        raise
    except ValueError as reason:
        raise _Unusable(field, str(reason)) from reason


def read_task(row: Mapping[str, Any], folder: Path) -> Task:
    """Check one row and make its task.

    Args:
        row: Fields of the task; see above.
        folder: Base of relative paths.

    Raises:
        ValueError: A field is missing, unknown, or holds what it must not.
    """
    with _reading("row"):
        _check_fields(row)
    with _reading("options"):
        options = _read_options(row["options"])
    with _reading("question"):
        question = _text(row, "question")
    with _reading("video"):
        video = _read_video(row, folder)
    with _reading("row"):
        identity = json.dumps([video.handle, question, options])
        item = Item(
            task_id=_text(row, "task_id", _digest(identity)),
            question=question,
            options=options,
            video=video,
            family=_text(row, "family", ""),
            split=_text(row, "split", "test"),
        )
    with _reading("answer"):
        return Task(item, _read_gold(row, options))


def _parse_row(line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line, object_pairs_hook=_without_twins)
    except _Unusable:
        raise
    except (ValueError, RecursionError) as reason:
        raise ValueError(f"not JSON ({str(reason)[:80]}); need one JSON object a line") from reason
    if not isinstance(row, dict):
        raise ValueError(f"got {str(row)[:40]}; need one JSON object a line")
    return cast("dict[str, Any]", row)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise _Unusable("row", f"field {name!r} occurs twice; keep one")
    return dict(pairs)


def _check_fields(row: Mapping[str, Any]) -> None:
    for name in _REQUIRED:
        if name not in row:
            raise _Unusable(name, f"no {name!r}; required are {', '.join(_REQUIRED)}")
    for name in row:
        if name not in _FIELDS:
            raise ValueError(f"unknown field {name!r}; allowed are {', '.join(_FIELDS)}{suggest(name, _FIELDS)}")


def _text(row: Mapping[str, Any], name: str, default: str | None = None) -> str:
    text = row.get(name, default)
    if not isinstance(text, str) or not (text.strip() or text == default):
        raise ValueError(f"{name}={text!r}; need a text")
    _check_unicode(name, text)
    return text


def _check_unicode(name: str, *texts: str) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as reason:
        raise ValueError(f"{name}: not valid Unicode (half a character, {reason.object[reason.start]!r})") from reason


def _read_options(options: object) -> tuple[str, ...]:
    rows = cast("list[object]", options) if isinstance(options, list) else []
    texts = tuple(" ".join(option.split()) for option in rows if isinstance(option, str))
    _check_unicode("options", *texts)
    if len(texts) < len(rows) or not 2 <= len(texts) <= MAX_OPTIONS or not all(texts):
        raise ValueError(f"options={str(options)[:80]}; need a list of 2 to {MAX_OPTIONS} texts")
    for idx, text in enumerate(texts):
        if read_answer(text, texts).option_idx != idx:
            raise ValueError(f"option {text!r} occurs twice; options must differ")
    return texts


def _read_gold(row: Mapping[str, Any], options: tuple[str, ...]) -> Gold | None:
    given = {name: [] if row.get(name) is None else row[name] for name in ("evidence", "evidence_boxes")}
    evidence = _read_evidence(given["evidence"])
    boxes = _read_boxes(given["evidence_boxes"], len(evidence))
    answer = row.get("answer")
    if answer is None:
        return None
    answer_idx = read_answer(answer, options).option_idx if isinstance(answer, str) else answer
    if isinstance(answer_idx, bool) or not isinstance(answer_idx, int) or not 0 <= answer_idx < len(options):
        raise ValueError(f"answer={answer!r}; need 0 to {len(options) - 1} or the text of an option")
    return Gold(answer_idx, evidence, boxes)


def _read_evidence(evidence: object) -> tuple[Interval, ...]:
    try:
        return tuple(Interval(float(start_s), float(end_s)) for start_s, end_s in cast("list[list[float]]", evidence))
    except (OverflowError, TypeError, ValueError) as reason:
        raise ValueError(
            f"evidence={str(evidence)[:80]}; need [[start_s, end_s], ...] with start before end"
        ) from reason


def _read_boxes(boxes: object, needed: int) -> tuple[Box, ...]:
    try:
        read = tuple(Box(*map(float, box)) for box in cast("list[list[float]]", boxes))
        if len(read) not in (0, needed):
            raise ValueError
    except (OverflowError, TypeError, ValueError) as reason:
        raise ValueError(
            f"evidence_boxes={str(boxes)[:80]}; need [[left, top, right, bottom], ...] in fractions of the frame, one "
            "for each interval of evidence"
        ) from reason
    return read


def _read_video(row: Mapping[str, Any], folder: Path) -> VideoRef:
    name = _text(row, "video")
    path = _existing(folder, name, "video")
    subtitles = row.get("subtitles")
    captions = row.get("captions")
    return VideoRef(
        handle=_handle(row, _digest(Path(os.path.relpath(path, folder.resolve())).as_posix())),
        path=str(path),
        subtitles_path=None if subtitles is None else str(_existing(folder, _text(row, "subtitles"), "subtitles")),
        captions_path=None if captions is None else str(_existing(folder, _text(row, "captions"), "captions")),
        subtitles_encoding=_encoding(row),
        world=_world(row),
    )


def _handle(row: Mapping[str, Any], default: str) -> str:
    handle = _text(row, "video_handle", default)
    # Names of files are made from it.
    if not _HANDLE.fullmatch(handle):
        raise ValueError(f"video_handle={handle[:80]!r}; need 1 to 64 of A-Z, a-z, 0-9, '-' and '_'")
    return handle


def _encoding(row: Mapping[str, Any]) -> str | None:
    if row.get("subtitles_encoding") is None:
        return None
    name = _text(row, "subtitles_encoding")
    try:
        return check_encoding(name)
    except ConfigError as reason:
        raise ValueError(f"subtitles_{reason}") from reason


def _world(row: Mapping[str, Any]) -> int:
    """Return the version of the world; rows of the first one held `true` before there was a second."""
    value = row.get("world", 0)
    if value not in (0, 1, 2):
        raise ValueError(f"world={str(value)[:80]}; need 1 or 2, the version of the generated world")
    return int(value)


def _existing(folder: Path, name: str, role: str) -> Path:
    # Links may lead anywhere, since whoever made them has access here; what a file from elsewhere says may not.
    if not Path(name).is_absolute() and Path(os.path.normpath(name)).parts[:1] == ("..",):
        remedy = "link it there, or give its full path"
        raise ValueError(f"{role} {name!r} leads out of the folder of this file; {remedy}")
    try:
        path = (folder / name).resolve()
        if ".." in Path(name).parts and not Path(name).is_absolute() and not path.is_relative_to(folder.resolve()):
            # A link followed by `..` leads elsewhere than the text of the path says.
            raise ValueError(
                f"{role} {name!r} leads out of the folder of this file; link it there, or give its full path"
            )
        # A video may be a folder of pictures.
        exists = path.is_file() or (role == "video" and path.is_dir())
    except OSError as reason:
        raise ValueError(f"{role} {name[:80]!r}: {reason.strerror}") from reason
    if not exists:
        raise ValueError(f"{role} {name!r} does not exist; paths are relative to this file")
    return path


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
