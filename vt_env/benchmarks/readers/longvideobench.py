"""LongVideoBench reader: `lvb_val.json`, `lvb_test_wo_gt.json` and Parquet with `option0` to `option4`.

Options with the text "N/A" are padding, dropped before letters are assigned. `position` counts frames at an unspecified
rate, so it is not evidence in seconds. CC-BY-NC-SA-4.0.
"""

from collections.abc import Iterable

from vt_env.benchmarks.readers.parse_fields import (
    checked_options,
    gold_defects,
    id_of,
    number_of,
    question_of,
    text_of,
    texts_of,
)
from vt_env.benchmarks.readers.reader import Benchmark, Column, Official, Place, RawRow, has_keys, keys
from vt_env.benchmarks.readers.rows import Row, SubtitleForm, SubtitleSource

_SIGNATURE = keys("id, duration_group, question_category")
_GROUPS = {"(8,15]": "15", "(15,60]": "60", "(180,600]": "600", "(900,3600]": "3600"}
"""Name of each duration group, by its range in seconds."""
_OPTION_KEYS = tuple(f"option{idx}" for idx in range(5))


def _read(row: RawRow, place: Place) -> Iterable[Row]:
    question_id = id_of(row, "id")
    written = texts_of(row, "candidates") if "candidates" in row else [row.get(key) for key in _OPTION_KEYS]
    options, defects = checked_options(written, question_id, drop_placeholders=True)
    has_gold = row.get("correct_choice") is not None
    answer_idx = _answer_idx(row["correct_choice"], written) if has_gold else None
    duration_s = number_of(row, "duration")
    yield Row(
        benchmark="longvideobench",
        question_id=question_id,
        video_id=id_of(row, "video_id"),
        video_names=(text_of(row, "video_path"),),
        question=question_of(row),
        options=options,
        answer_idx=answer_idx,
        duration_s=duration_s,
        subtitles=_subtitles(row, duration_s),
        labels={
            "duration_group": (str(row["duration_group"]),),
            "question_category": (text_of(row, "question_category"),),
            "level": (str(row.get("level", "")),),
        },
        split="val" if has_gold else "test",
        defects=(*defects, *(gold_defects(answer_idx, row["correct_choice"], question_id) if has_gold else ())),
        raw=row,
    )


def _answer_idx(choice: object, written: Iterable[str | None]) -> int | None:
    """Convert an index into all options to an index into the options without padding."""
    kept = [idx for idx, option in enumerate(written) if option and option.strip().lower() not in ("", "n/a")]
    return kept.index(choice) if isinstance(choice, int) and choice in kept else None


def _subtitles(row: RawRow, duration_s: float | None) -> SubtitleSource | None:
    if not row.get("subtitle_path"):
        return None
    offset_s = number_of(row, "starting_timestamp_for_subtitles") or 0.0
    return SubtitleSource(SubtitleForm.LONGVIDEOBENCH, text_of(row, "subtitle_path"), offset_s, duration_s)


LONGVIDEOBENCH = Benchmark(
    name="longvideobench",
    matches=has_keys(_SIGNATURE),
    signatures=(_SIGNATURE,),
    fields=_SIGNATURE
    | keys("video_id, question, question_wo_referring_query, candidates, correct_choice, position, topic_category")
    | keys("level, video_path, subtitle_path, starting_timestamp_for_subtitles, duration, view_count")
    | frozenset(_OPTION_KEYS),
    read=_read,
    official={"val": Official(1337, 753), "test": Official(5341)},
    rule="longvideobench@official",
    headline="Overall",
    columns=(*(Column(heading, "duration_group", part) for heading, part in _GROUPS.items()), Column("Overall")),
    terms="CC-BY-NC-SA-4.0",
)
