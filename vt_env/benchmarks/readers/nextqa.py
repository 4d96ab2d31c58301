"""NExT-QA and NExT-GQA reader (doc-doc/NExT-GQA, 63772e02; MIT): a CSV of questions, spans in `gsub_{val,test}.json`.

A CSV with span files beside it is NExT-GQA. `answer` is an option's text in NExT-GQA's files and an option's index in
NExT-QA's, which call the video `video`; copies in Parquet hold whole numbers. The split comes from the file name, since
no column holds it.
"""

from collections.abc import Iterable, Mapping, Set
from pathlib import PurePosixPath
from typing import Any, cast

from vt_env.benchmarks.readers.parse_fields import (
    cell_of,
    checked_options,
    gold_defects,
    id_of,
    number_of,
    position_of,
    question_of,
    span_defects,
    spans_of,
    text_of,
)
from vt_env.benchmarks.readers.raw_files import RawFile
from vt_env.benchmarks.readers.reader import Benchmark, Column, Official, Place, RawRow, keys, table_of
from vt_env.benchmarks.readers.rows import Defect, DefectKind, Row

_SHARED = keys("question, answer, qid, type, a0, a1, a2, a3, a4")
_COLUMNS, _OWN = _SHARED | keys("video_id"), _SHARED | keys("video")
"""Columns of NExT-GQA's files; those of NExT-QA and of copies on model hubs name the video `video`."""
_FIELDS = _COLUMNS | _OWN | keys("frame_count, width, height")
OPTIONS = 5
_LOOKED_AT = 200
"""Number of rows by which a file is known to hold positions as answers."""
SUMMARY: Mapping[str, str] = {
    "CW": "Why",
    "CH": "How",
    "TN": "Bef&Aft",
    "TP": "Bef&Aft",
    "TC": "When",
    "DC": "Cnt",
    "DL": "Loc",
    "DO": "Other",
}
"""Heading of each question type in the table of the official script (63772e02, `code/TempGQA/eval_next.py`)."""
_SPLITS = ("train", "val", "test")


def spans(file: RawFile) -> Mapping[str, Any] | None:
    """Parse `{video: {duration, fps, location: {qid: [[start_s, end_s], ...]}}}`; return `None` for other files."""
    table = table_of(file)
    first = next(iter(table.values()), None)
    return table if isinstance(first, Mapping) and "location" in first else None


def vidor_paths(file: RawFile) -> Mapping[str, Any] | None:
    """Parse `{video: path in VidOR}`; return `None` for other files."""
    table = table_of(file)
    is_map = table and all(isinstance(value, str) and key.isdecimal() for key, value in table.items())
    return table if is_map else None


def _is_grounded(file: RawFile, companions: Set[str]) -> bool:
    return _is_table(file) and "nextgqa_spans" in companions


def _is_plain(file: RawFile, companions: Set[str]) -> bool:
    return _is_table(file) and "nextgqa_spans" not in companions


def _is_table(file: RawFile) -> bool:
    return file.keys >= _COLUMNS or file.keys >= _OWN


def _read(row: RawRow, place: Place) -> Iterable[Row]:
    video_id, qid = id_of(row, "video_id" if "video_id" in row else "video"), id_of(row, "qid")
    where = f"{video_id}_{qid}"
    options, defects = checked_options([cell_of(row, f"a{idx}") for idx in range(OPTIONS)], where)
    is_grounded = "nextgqa_spans" in place.companions
    answer = "" if row["answer"] is None else cell_of(row, "answer")
    answer_idx = _answer_idx(answer, options, _holds_positions(place.file)) if answer else None
    video = cast("Mapping[str, Any]", place.companions.get("nextgqa_spans", {}).get(video_id, {}))
    duration_s = number_of(video, "duration")
    evidence = spans_of(video.get("location", {}).get(qid, ()))
    if is_grounded and not evidence:
        defects.append(Defect(DefectKind.NO_EVIDENCE, where, "not in the span files beside it"))
    vidor = place.companions.get("vidor_paths", {}).get(video_id)
    yield Row(
        benchmark="nextgqa" if is_grounded else "nextqa",
        question_id=where,
        video_id=video_id,
        video_names=(video_id, *([PurePosixPath(vidor).name] if vidor else [])),
        question=question_of(row),
        options=options,
        answer_idx=answer_idx,
        evidence=evidence,
        duration_s=duration_s,
        labels={"type": (text_of(row, "type"),), "summary": _summary(text_of(row, "type"))},
        split=next((split for split in _SPLITS if split in place.stem.split("_")), "test"),
        defects=(
            *defects,
            *gold_defects(answer_idx, row["answer"], where),
            *span_defects(evidence, duration_s, where),
        ),
        raw=row,
    )


def _summary(question_type: str) -> tuple[str, ...]:
    """Return the rows of the official table that a question counts in: its kind, and Acc_C, Acc_T or Acc_D."""
    heading = SUMMARY.get(question_type)
    return () if heading is None else (heading, f"Acc_{question_type[0]}")


def _holds_positions(file: RawFile) -> bool:
    """Return whether the answers of a file are positions, as in NExT-QA, and not texts, as in NExT-GQA."""
    answers = [row.get("answer") for row in file.rows[:_LOOKED_AT]]
    return all(position_of(str(answer), OPTIONS) is not None for answer in answers if answer is not None)


def _answer_idx(answer: str, options: tuple[str, ...], is_position: bool) -> int | None:
    if is_position:
        return position_of(answer, len(options))
    return options.index(answer) if answer in options else None


_BY_KIND = tuple(Column(name, "summary", name) for name in ("Acc_C", "Acc_T", "Acc_D"))
NEXTGQA = Benchmark(
    name="nextgqa",
    matches=_is_grounded,
    signatures=(_COLUMNS, _OWN),
    fields=_FIELDS,
    read=_read,
    # The paper counts 570 val videos; its question file has 567 of them.
    official={"val": Official(3358, 567), "test": Official(5553)},
    headline="Acc@QA",
    columns=(
        Column("Acc@QA"),
        *(Column(name, "*", name) for name in ("Acc@GQA", "mIoP", "IoP@0.5", "mIoU", "IoU@0.5")),
        *_BY_KIND,
    ),
    terms="MIT",
)
NEXTQA = Benchmark(
    name="nextqa",
    matches=_is_plain,
    signatures=(_COLUMNS, _OWN),
    fields=_FIELDS,
    read=_read,
    official={},
    headline="Acc",
    columns=(*_BY_KIND, Column("Acc")),
    terms="MIT",
)
