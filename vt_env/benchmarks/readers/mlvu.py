"""MLVU reader, dev and test (JUNJIE99/MLVU, fd060c10): gold is an option's text, or free text for generation tasks.

The task comes from an official file name (`1_plotQA.json`), else from `question_type`, whose names differ. If several
options equal the gold text, the last one is right, as in the official code. CC-BY-NC-SA-4.0.
"""

import re
from collections.abc import Iterable, Mapping, Set
from pathlib import PurePosixPath
from typing import Any

from vt_env.benchmarks.readers.parse_fields import (
    checked_options,
    gold_defects,
    id_of,
    idx_of_letter,
    number_of,
    question_of,
    text_of,
    texts_of,
)
from vt_env.benchmarks.readers.raw_files import RawFile
from vt_env.benchmarks.readers.reader import Benchmark, Column, Official, Place, RawRow, keys
from vt_env.benchmarks.readers.rows import Row

DEV_TASKS: Mapping[str, str] = {
    "plotQA": "plotQA",
    "findNeedle": "needle",
    "ego": "ego",
    "count": "count",
    "order": "order",
    "anomaly_reco": "anomaly_reco",
    "topic_reasoning": "topic_reasoning",
    "subPlot": "sub_scene",
    "summary": "summary",
}
"""Task name of each `question_type`."""
_HEADINGS: Mapping[str, str] = {
    "topic_reasoning": "TR",
    "anomaly_reco": "AR",
    "needle": "NQA",
    "needleQA": "NQA",
    "ego": "ER",
    "plotQA": "PQA",
    "sportsQA": "SQA",
    "order": "AO",
    "count": "AC",
    "tutorialQA": "TQA",
}
TEST_OPTIONS = 6
"""Number of options in the test split; the dev split has four."""
_DEV, _TEST = keys("video, question, question_type, answer"), keys("video, question, question_type, candidates")
_HUB = keys("video_name, question, task_type, candidates")
"""Keys of copies on model hubs, whose question text repeats the options."""
_FIELDS = _DEV | _TEST | _HUB | keys("duration, scoring_points, question_id")
_OPTIONS_IN_QUESTION = re.compile(r"\n\s*\(?A[.):] .*", re.DOTALL)
_TEST_ID = re.compile(r"[A-Za-z]+_\d+")


def _is_dev(file: RawFile, _: Set[str]) -> bool:
    if file.keys >= _HUB:
        return _options_of_first(file) != TEST_OPTIONS
    return file.keys >= _DEV and "question_id" not in file.keys and _options_of_first(file) != TEST_OPTIONS


def _is_test(file: RawFile, _: Set[str]) -> bool:
    if file.keys >= _HUB:
        return _options_of_first(file) == TEST_OPTIONS
    return file.keys >= _TEST and ("question_id" in file.keys or _options_of_first(file) == TEST_OPTIONS)


def _options_of_first(file: RawFile) -> int:
    candidates = file.rows[0].get("candidates")
    return len(candidates) if isinstance(candidates, list) else 0


def test_gold(file: RawFile) -> Mapping[str, Any] | None:
    """Parse the released gold answers of the test questions, by question id; return `None` for other files.

    The format is undocumented. Rows of `question_id` and `answer` are accepted, with the option's letter or text.
    """
    if not file.keys >= {"question_id", "answer"} or not _TEST_ID.fullmatch(str(file.rows[0]["question_id"])):
        return None
    answered = (row for row in file.rows if "question_id" in row and row.get("answer") not in (None, ""))
    return {str(row["question_id"]): row["answer"] for row in answered}


def _official(row: RawRow) -> RawRow:
    """Rename the fields of a hub copy to those of the official files."""
    if "video_name" not in row:
        return row
    names = {"video": row["video_name"], "question_type": row["task_type"]}
    return {**row, **names, "question": _OPTIONS_IN_QUESTION.sub("", question_of(row))}


def _read_dev(raw: RawRow, place: Place) -> Iterable[Row]:
    row = _official(raw)
    task = place.stem.partition("_")[2]
    if task not in DEV_TASKS.values():
        question_type = text_of(row, "question_type")
        task = DEV_TASKS.get(question_type, question_type)
        if task not in DEV_TASKS.values():
            raise ValueError(f"question_type={question_type!r}; need one of {', '.join(DEV_TASKS)}")
    number = list(DEV_TASKS.values()).index(task) + 1
    yield _row(row, "mlvu_dev", f"{number}_{task}/{place.number - 1:04d}", task, f"{number}_{task}", row.get("answer"))


def _read_test(raw: RawRow, place: Place) -> Iterable[Row]:
    row = _official(raw)
    has_id = "question_id" in row
    question_id = id_of(row, "question_id") if has_id else f"{place.stem}/{place.number - 1:04d}"
    answer = row.get("answer")
    if answer is None or answer == "":
        answer = place.companions.get("mlvu_test_gold", {}).get(question_id, answer)
    yield _row(row, "mlvu_test", question_id, text_of(row, "question_type"), "", answer)


def _row(row: RawRow, benchmark: str, question_id: str, task: str, folder: str, answer: Any) -> Row:
    name = PurePosixPath(text_of(row, "video"))
    is_open = "candidates" not in row
    options, defects = ((), []) if is_open else checked_options(texts_of(row, "candidates"), question_id)
    answer_idx = _answer_idx(answer, options)
    if not is_open and answer is not None:
        defects += gold_defects(answer_idx, answer, question_id)
    return Row(
        benchmark=benchmark,
        question_id=question_id,
        # File names such as `7.mp4` are unique only within a task.
        video_id=f"{folder}/{name.stem}" if folder else name.stem,
        video_names=(f"{folder}/{name.name}", name.name) if folder else (name.name,),
        question=question_of(row),
        options=options,
        answer_idx=answer_idx,
        answer_text=str(answer) if is_open and answer is not None else "",
        rubric=texts_of(row, "scoring_points") if row.get("scoring_points") else (),
        duration_s=number_of(row, "duration"),
        labels={"task": (task,)},
        split=benchmark.partition("_")[2],
        defects=tuple(defects),
        raw=row,
    )


def _answer_idx(answer: Any, options: tuple[str, ...]) -> int | None:
    equal = [idx for idx, option in enumerate(options) if isinstance(answer, str) and option == answer.strip()]
    return equal[-1] if equal else idx_of_letter(answer, len(options))


def _columns(*tasks: str) -> tuple[Column, ...]:
    return (*(Column(_HEADINGS[task], "task", task) for task in tasks), Column("M-Avg"))


MLVU_DEV = Benchmark(
    name="mlvu_dev",
    matches=_is_dev,
    signatures=(_DEV, _HUB),
    fields=_FIELDS,
    read=_read_dev,
    official={"dev": Official(2175, open_questions=418)},
    rule="mlvu@prefill",
    headline="M-Avg",
    columns=_columns("topic_reasoning", "anomaly_reco", "needle", "ego", "plotQA", "order", "count"),
    terms="CC-BY-NC-SA-4.0, research",
    folders=("mlvu",),
)
MLVU_TEST = Benchmark(
    name="mlvu_test",
    matches=_is_test,
    signatures=(_TEST, _HUB),
    fields=_FIELDS,
    read=_read_test,
    official={"test": Official(502)},
    rule="mlvu_test@test_bench",
    headline="M-Avg",
    columns=_columns(
        "topic_reasoning",
        "anomaly_reco",
        "needleQA",
        "ego",
        "plotQA",
        "sportsQA",
        "order",
        "count",
        "tutorialQA",
    ),
    terms="CC-BY-NC-SA-4.0, research",
    folders=("mlvu",),
)
