"""Video-MME and Video-MME-v2 readers.

Sources: MME-Benchmarks/Video-MME (06c2315b) and lmms-lab/Video-MME; MME-Benchmarks/Video-MME-v2 (b24176a1). Both are
for academic research only and may not be redistributed.
"""

import re
from collections.abc import Iterable

from vt_env.benchmarks.readers.parse_fields import (
    checked_options,
    gold_defects,
    id_of,
    idx_of_letter,
    question_of,
    text_of,
    texts_of,
    unlettered,
)
from vt_env.benchmarks.readers.reader import Benchmark, Column, Official, Place, RawRow, has_keys, keys
from vt_env.benchmarks.readers.rows import Group, Row, SubtitleForm, SubtitleSource

_LINE_OF_OPTION = re.compile(r"\n(?=[A-H][.)] )")
_SIGNATURE = keys("videoID, question_id, task_type, options, duration")
_SIGNATURE_V2 = keys("group_type, group_structure, second_head")
_DURATIONS = ("short", "medium", "long")


def _read_v1(row: RawRow, place: Place) -> Iterable[Row]:
    question_id, source_id = id_of(row, "question_id"), id_of(row, "videoID")
    if row.get("duration") not in _DURATIONS:
        raise ValueError(f"duration={row.get('duration')!r}; need {', '.join(_DURATIONS)}")
    options, defects = checked_options(unlettered(texts_of(row, "options")), question_id)
    answer_idx = idx_of_letter(row.get("answer"), len(options))
    yield Row(
        benchmark="video_mme",
        question_id=question_id,
        video_id=source_id,
        video_names=(source_id,),
        question=question_of(row),
        options=options,
        answer_idx=answer_idx,
        subtitles=SubtitleSource(SubtitleForm.SRT, source_id),
        labels={
            "duration": (text_of(row, "duration"),),
            "task_type": (text_of(row, "task_type"),),
            "domain": (str(row.get("domain", "")),),
            "sub_category": (str(row.get("sub_category", "")),),
        },
        defects=(*defects, *gold_defects(answer_idx, row.get("answer"), question_id)),
        raw=row,
    )


def _read_v2(row: RawRow, place: Place) -> Iterable[Row]:
    question_id, video_id = id_of(row, "question_id"), id_of(row, "video_id")
    written = row.get("options")
    texts = _LINE_OF_OPTION.split(written) if isinstance(written, str) else texts_of(row, "options")
    options, defects = checked_options(unlettered(texts), question_id)
    answer_idx = idx_of_letter(row.get("answer"), len(options))
    kind = text_of(row, "group_type")
    if kind not in ("relevance", "logic"):
        raise ValueError(f"group_type={kind!r}; need 'relevance' or 'logic'")
    yield Row(
        benchmark="video_mme_v2",
        question_id=question_id,
        video_id=video_id,
        video_names=(video_id,),
        question=question_of(row),
        options=options,
        answer_idx=answer_idx,
        subtitles=SubtitleSource(SubtitleForm.WORDS, video_id),
        labels={
            "group_type": (kind,),
            "level": (str(row.get("level")),),
            "second_head": (str(row.get("second_head")),),
            "third_head": (str(row.get("third_head")),),
        },
        group=Group(kind, str(row.get("group_structure"))),
        defects=(*defects, *gold_defects(answer_idx, row.get("answer"), question_id)),
        raw=row,
    )


VIDEO_MME = Benchmark(
    name="video_mme",
    matches=has_keys(_SIGNATURE),
    signatures=(_SIGNATURE,),
    fields=_SIGNATURE | keys("video_id, domain, sub_category, url, question, answer"),
    read=_read_v1,
    official={"test": Official(2700, 900)},
    rule="video_mme@parse_answer",
    headline="Overall",
    columns=(Column("Overall"), *(Column(name.title(), "duration", name) for name in _DURATIONS)),
    terms="academic research only; no redistribution or modification",
)
VIDEO_MME_V2 = Benchmark(
    name="video_mme_v2",
    matches=has_keys(_SIGNATURE_V2),
    signatures=(_SIGNATURE_V2,),
    fields=_SIGNATURE_V2 | keys("video_id, url, question_id, question, options, answer, level, third_head"),
    read=_read_v2,
    official={"test": Official(3200, 800)},
    rule="v2@standalone",
    headline="Overall (non-linear)",
    columns=(
        Column("Overall (non-linear)"),
        Column("Relevance", "group_type", "relevance"),
        Column("Logic", "group_type", "logic"),
        *(Column(f"Level {level}", "level", level) for level in "123"),
        Column("Avg Acc", "*", "Avg Acc"),
    ),
    terms="academic research only; no redistribution or modification",
)
