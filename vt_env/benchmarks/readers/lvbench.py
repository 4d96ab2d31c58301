"""LVBench reader (zai-org/LVBench, formerly THUDM): `video_info.meta.jsonl`, or the flat rows of copies on model hubs.

`time_reference` is where the annotator looked, hence weak evidence. CC-BY-NC-SA-4.0, academic.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import cast

from vt_env.benchmarks.readers.parse_fields import (
    checked_options,
    gold_defects,
    id_of,
    idx_of_letter,
    number_of,
    object_of,
    question_of,
    span_defects,
    span_of_clock,
    texts_of,
    unlettered,
)
from vt_env.benchmarks.readers.reader import Benchmark, Column, Official, Place, RawRow, has_keys, keys
from vt_env.benchmarks.readers.rows import Defect, DefectKind, Row

ABILITIES: Mapping[str, str] = {
    "ER": "entity recognition",
    "EU": "event understanding",
    "KIR": "key information retrieval",
    "TG": "temporal grounding",
    "Rea": "reasoning",
    "Sum": "summarization",
}
"""Name of each ability in the annotations, by its abbreviation; a question may have several."""
_BY_VIDEO, _FLAT = keys("key, qa, video_info"), keys("uid, question_type, time_reference")
_OPTION = re.compile(r"^\(([A-D])\)\s*", re.MULTILINE)


def _read(row: RawRow, place: Place) -> Iterable[Row]:
    if "qa" not in row:
        name = row.get("video_path") or row.get("key")
        video_id = PurePosixPath(str(name)).stem if name else id_of(row, "video_path")
        yield _question(row, video_id, row, row)
        return
    questions = row["qa"]
    if not isinstance(questions, list):
        raise ValueError(f"qa={str(questions)[:40]!r}; need a list of questions")
    for question in map(partial(object_of, name="qa"), cast("list[object]", questions)):
        yield _question(question, id_of(row, "key"), row, {**row, "qa": [question]})


def _question(row: RawRow, video_id: str, video: RawRow, raw: RawRow) -> Row:
    uid = id_of(row, "uid")
    question, *lettered = _split(question_of(row))
    options, defects = checked_options(lettered or unlettered(texts_of(row, "options")), uid)
    answer_idx = idx_of_letter(row.get("answer"), len(options))
    info = object_of(video.get("video_info") or {}, "video_info")
    minutes = number_of(info, "duration_minutes")
    duration_s = None if minutes is None else minutes * 60
    evidence = span_of_clock(str(row.get("time_reference", "")))
    if not evidence:
        defects.append(Defect(DefectKind.NO_EVIDENCE, uid, f"time_reference={row.get('time_reference')!r}"))
    return Row(
        benchmark="lvbench",
        question_id=uid,
        video_id=video_id,
        video_names=(video_id,),
        question=question,
        options=options,
        answer_idx=answer_idx,
        evidence=evidence,
        duration_s=duration_s,
        labels={"ability": texts_of(row, "question_type"), "type": (str(video.get("type", "")),)},
        defects=(
            *defects,
            *gold_defects(answer_idx, row.get("answer"), uid),
            *span_defects(evidence, duration_s, uid),
        ),
        raw=raw,
    )


def _split(text: str) -> list[str]:
    """Split a text into the question and its options, which follow one per line."""
    marks = [*_OPTION.finditer(text)]
    if len(marks) < 2:
        return [text]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    options = [text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
    return [text[: marks[0].start()].strip(), *options]


LVBENCH = Benchmark(
    name="lvbench",
    matches=has_keys(_BY_VIDEO, _FLAT),
    signatures=(_BY_VIDEO, _FLAT),
    fields=_BY_VIDEO | _FLAT | keys("type, question, answer, options, video_path"),
    read=_read,
    official={"test": Official(1549, 103)},
    rule="lvbench@polish",
    headline="Overall",
    columns=(*(Column(heading, "ability", name) for heading, name in ABILITIES.items()), Column("Overall")),
    terms="CC-BY-NC-SA-4.0, academic",
)
