"""EgoSchema reader: `questions.json`, with 500 public answers in `subset_answers.json` beside it.

Questions with a public answer form the split `subset`, the others `test`. Videos are under the terms of Ego4D; the
repository has no licence.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from vt_env.benchmarks.readers.parse_fields import (
    checked_options,
    gold_defects,
    id_of,
    position_of,
    question_of,
    text_of,
    texts_of,
    unlettered,
)
from vt_env.benchmarks.readers.raw_files import RawFile
from vt_env.benchmarks.readers.reader import Benchmark, Column, Official, Place, RawRow, has_keys, keys, table_of
from vt_env.benchmarks.readers.rows import Row

_OFFICIAL, _HUB = keys("q_uid, option 0"), keys("video_idx, option, question")
CLIP_S = 180.0
"""Duration of every clip."""


def subset_answers(file: RawFile) -> Mapping[str, Any] | None:
    """Parse `{q_uid: answer index}`; return `None` for other files."""
    table = table_of(file)
    is_answers = table and all(isinstance(value, int) and len(key) >= 32 for key, value in table.items())
    return table if is_answers else None


def _read(row: RawRow, place: Place) -> Iterable[Row]:
    uid = id_of(row, "q_uid" if "q_uid" in row else "video_idx")
    written = [text_of(row, f"option {idx}") for idx in range(5)] if "q_uid" in row else texts_of(row, "option")
    options, defects = checked_options(unlettered(written), uid)
    written_answer = row.get("answer")
    is_hidden = written_answer is None or written_answer == ""
    answer = place.companions.get("egoschema_answers", {}).get(uid) if is_hidden else written_answer
    has_gold = answer is not None
    answer_idx = _position(answer, len(options)) if has_gold else None
    yield Row(
        benchmark="egoschema",
        question_id=uid,
        video_id=uid,
        video_names=(uid,),
        question=question_of(row),
        options=options,
        answer_idx=answer_idx,
        duration_s=CLIP_S,
        split="subset" if has_gold else "test",
        defects=(*defects, *(gold_defects(answer_idx, answer, uid) if has_gold else ())),
        raw=row,
    )


def _position(answer: Any, count: int) -> int | None:
    if isinstance(answer, str):
        return position_of(answer, count)
    return int(answer) if isinstance(answer, int) and 0 <= answer < count else None


EGOSCHEMA = Benchmark(
    name="egoschema",
    matches=has_keys(_OFFICIAL, _HUB),
    signatures=(_OFFICIAL, _HUB),
    fields=_OFFICIAL | _HUB | keys("google_drive_id, option 1, option 2, option 3, option 4, answer, question_idx"),
    read=_read,
    official={"subset": Official(500, 500), "test": Official(4531, 4531)},
    columns=(Column("accuracy"),),
    terms="Ego4D terms for videos; no licence in the repository",
)
