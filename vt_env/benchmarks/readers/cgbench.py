"""CG-Bench reader (CG-Bench/CG-Bench, f8266087): `cgbench.json`, or `cgbench_mini.json` with 3000 rows.

Clue intervals are gold evidence in whole seconds. `cgbench/clues` is the clue-acc condition: the same questions with at
most 32 frames, all from inside the clues. The repository has no licence.
"""

from collections.abc import Iterable, Set

from vt_env.benchmarks.readers.parse_fields import (
    checked_options,
    gold_defects,
    id_of,
    idx_of_letter,
    number_of,
    question_of,
    span_defects,
    spans_of,
    texts_of,
)
from vt_env.benchmarks.readers.raw_files import RawFile
from vt_env.benchmarks.readers.reader import Benchmark, Column, Official, Place, RawRow, keys
from vt_env.benchmarks.readers.rows import Defect, DefectKind, Row, SubtitleForm, SubtitleSource

MINI_ROWS = 3000
CLUES = "clues"
"""Name of the view that shows only the clue intervals."""
CLUE_FRAMES = 32
"""Maximum number of frames for clue-acc (f8266087, `run.sh`)."""
_SIGNATURE = keys("qid, video_uid, clue_intervals, right_answer")
_FIELDS = _SIGNATURE | keys("question, answer, choices, domain, sub_category, duration")
_VIEWS = {CLUES: "clue-acc"}
_COLUMNS = (
    Column("clue-acc", "*", "clue-acc"),
    Column("long-acc"),
    *(Column(name, "*", name) for name in ("CRR", "mIoU", "rec@IoU", "acc@IoU")),
)


def _is_cgbench(file: RawFile) -> bool:
    return file.keys >= _SIGNATURE


def _is_mini(file: RawFile, _: Set[str]) -> bool:
    return _is_cgbench(file) and len(file.rows) == MINI_ROWS


def _is_full(file: RawFile, _: Set[str]) -> bool:
    return _is_cgbench(file) and len(file.rows) != MINI_ROWS


def _read(row: RawRow, place: Place) -> Iterable[Row]:
    qid, video_uid = id_of(row, "qid"), id_of(row, "video_uid")
    options, defects = checked_options(texts_of(row, "choices"), qid)
    answer_idx = idx_of_letter(row.get("right_answer"), len(options))
    meta = place.companions.get("cgbench_videos", {}).get(video_uid, {})
    duration_s = number_of(row, "duration") or number_of(meta, "duration")
    clues = spans_of(row["clue_intervals"])
    if not clues:
        defects.append(Defect(DefectKind.NO_EVIDENCE, qid))
    yield Row(
        benchmark="cgbench_mini" if len(place.file.rows) == MINI_ROWS else "cgbench",
        question_id=qid,
        video_id=video_uid,
        video_names=(f"cg_videos_720p/{video_uid}", video_uid),
        question=question_of(row),
        options=options,
        answer_idx=answer_idx,
        answer_text=str(row.get("answer", "")),
        evidence=clues,
        duration_s=duration_s,
        subtitles=SubtitleSource(SubtitleForm.SRT, video_uid),
        labels={"domain": (str(row.get("domain", "")),), "sub_category": (str(row.get("sub_category", "")),)},
        defects=(*defects, *gold_defects(answer_idx, row["right_answer"], qid), *span_defects(clues, duration_s, qid)),
        raw=row,
    )


CGBENCH = Benchmark(
    name="cgbench",
    matches=_is_full,
    signatures=(_SIGNATURE,),
    fields=_FIELDS,
    read=_read,
    official={"test": Official(12129, 1219)},
    rule="cgbench@json",
    headline="long-acc",
    columns=_COLUMNS,
    views=_VIEWS,
    terms="no licence in the repository",
)
CGBENCH_MINI = Benchmark(
    name="cgbench_mini",
    matches=_is_mini,
    signatures=(_SIGNATURE,),
    fields=_FIELDS,
    read=_read,
    official={"test": Official(MINI_ROWS, 1118)},
    rule="cgbench@json",
    headline="long-acc",
    columns=_COLUMNS,
    views=_VIEWS,
    terms="no licence in the repository",
    folders=("cgbench",),
)
