"""Annotation files as they are published and copied: blank rows, commas, whole numbers, nulls, strange neighbours."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.benchmark_files import (
    cgbench_row,
    egoschema_row,
    egoschema_uid,
    mlvu_row,
    mlvu_test_row,
    nextqa_row,
    v2_row,
    video_mme_row,
    write_csv,
    write_json,
    write_video,
)

from vt_env.benchmarks.audit import audit
from vt_env.benchmarks.readers.raw_files import read_file
from vt_env.benchmarks.readers.registry import read_annotations
from vt_env.benchmarks.readers.rows import DefectKind
from vt_env.benchmarks.scoring.replies import Reply
from vt_env.benchmarks.scoring.scoreboard import score
from vt_env.errors import DataError
from vt_env.task_sources import load_tasks

BLANK: dict[str, Any] = mlvu_row(3, question="", candidates=["", "", "", ""], answer="")


def test_mlvu_s_blank_question_is_played_and_counted_with_the_last_option_right(tmp_path: Path):
    write_json(tmp_path / "2_needle.json", [mlvu_row(1), mlvu_row(2), BLANK])
    for number in (1, 2, 3):
        write_video(tmp_path / f"needle_{number}.mp4")
    annotations = read_annotations(tmp_path)
    assert (len(annotations.rows), annotations.rows[2].answer_idx, annotations.broken) == (3, 3, ())
    assert DefectKind.BLANK_QUESTION in [defect.kind for defect in annotations.rows[2].defects]
    assert "blank question: 1" in audit(tmp_path).text()
    assert len(load_tasks(tmp_path)) == 3
    board = score(annotations, {row.task_id: Reply(row.task_id, "D") for row in annotations.rows})
    assert board.official is not None
    assert (board.official.counted, board.official.correct) == (3, 1)


def test_a_row_that_cannot_be_read_is_named_and_the_others_are_played(tmp_path: Path):
    write_json(tmp_path / "a.json", [video_mme_row(1), video_mme_row(2, duration=12), video_mme_row(3)])
    write_video(tmp_path / "AAAAAAAAAA0.mp4")
    with pytest.warns(UserWarning, match=r"1 rows cannot be read, first a\.json:2: duration=12"):
        tasks = load_tasks(tmp_path)
    assert [task.item.task_id for task in tasks] == ["video_mme/001-1", "video_mme/001-3"]
    write_json(tmp_path / "a.json", [video_mme_row(2, duration=12)])
    with pytest.raises(DataError, match="1 rows cannot be read"):
        load_tasks(tmp_path)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("cell", ["a2", "question"])
@pytest.mark.parametrize("text", ["on a chair, near the door", None])
def test_a_csv_row_with_other_cells_than_columns_is_named_and_never_shifted(
    tmp_path: Path, place: int, cell: str, text: str | None
):
    rows = [nextqa_row(n) for n in range(3)]
    lines = [[str(value) for value in row.values()] for row in rows]
    column = list(rows[0]).index(cell)
    lines[place][column : column + 1] = [] if text is None else text.split(",")
    path = tmp_path / "val.csv"
    path.write_text("\n".join(",".join(line) for line in [list(rows[0]), *lines]) + "\n")
    annotations = read_annotations(path)
    assert [row.question_id for row in annotations.rows] == [f"0_{n}" for n in range(3) if n != place]
    (defect,) = annotations.broken
    count = 13 if text else 12
    assert defect.where == f"val.csv:{place + 1}"
    assert defect.detail.startswith(f"{count + bool(text)} cells for 13 columns")


@pytest.mark.parametrize("places", [(0,), (2,), (1, 3), (0, 1, 2, 3, 4)])
def test_a_quote_that_is_not_closed_takes_no_other_row_with_it(tmp_path: Path, places: tuple[int, ...]):
    path = write_csv(tmp_path / "val.csv", [nextqa_row(n) for n in range(6)])
    header, *lines = path.read_text().splitlines()
    lines = [line.replace("what", '"what') if n in places else line for n, line in enumerate(lines)]
    path.write_text("\n".join([header, *lines]) + "\n")
    annotations = read_annotations(path)
    others = [n for n in range(6) if n not in places]
    assert [row.question_id for row in annotations.rows] == [f"{n // 4}_{n}" for n in others]
    assert [it.where for it in annotations.broken] == [f"val.csv:{n + 1}" for n in places]
    assert all(it.detail.startswith("a quote is opened and not closed") for it in annotations.broken)
    assert [bool(task_id) for task_id in annotations.positions["val"]] == [n in others for n in range(6)]


def test_a_column_that_occurs_twice_is_refused(tmp_path: Path):
    path = write_csv(tmp_path / "val.csv", [nextqa_row(n) for n in range(3)])
    path.write_text(path.read_text().replace("a3", "a2", 1))
    with pytest.raises(DataError, match=r"val\.csv: column 'a2' occurs twice; keep one"):
        read_annotations(path)


def test_quoted_commas_and_line_ends_are_part_of_their_cell(tmp_path: Path):
    row = nextqa_row(a2="on a chair, near\nthe door", answer="on a chair, near\nthe door")
    with (tmp_path / "val.csv").open("w", newline="") as file:
        csv.writer(file).writerows([list(row), row.values(), row.values()])
    read = read_annotations(tmp_path / "val.csv").rows[0]
    assert (read.options[2], read.answer_idx) == ("on a chair, near\nthe door", 2)


def own_row(number: int) -> dict[str, Any]:
    row = nextqa_row(number, gold=number % 5, grounded=False)
    return {"video": row.pop("video_id"), **row}


def test_nextqa_s_own_csv_calls_the_video_video(tmp_path: Path):
    annotations = read_annotations(write_csv(tmp_path / "val.csv", [own_row(n) for n in range(6)]))
    assert (annotations.benchmark, annotations.broken) == ("nextqa", ())
    assert [(row.question_id, row.answer_idx) for row in annotations.rows][4:] == [("1_4", 4), ("1_5", 0)]
    assert not audit(tmp_path / "val.csv").files[0].unread


def test_a_parquet_copy_of_nextqa_holds_whole_numbers(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    rows = [{**own_row(n), "video": n // 4, "qid": n, "a3": 3} for n in range(6)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "test.parquet")
    annotations = read_annotations(tmp_path / "test.parquet")
    assert annotations.broken == ()
    assert [(row.question_id, row.answer_idx, row.options[3]) for row in annotations.rows][5] == ("1_5", 0, "3")


def test_answers_are_positions_or_texts_by_the_whole_file(tmp_path: Path):
    texts = [nextqa_row(0), nextqa_row(1, a0="2", a2="3", answer="2")]
    annotations = read_annotations(write_csv(tmp_path / "val.csv", texts))
    assert [row.answer_idx for row in annotations.rows] == [2, 0]


def test_a_null_answer_leaves_room_for_the_file_of_answers(tmp_path: Path):
    write_json(tmp_path / "ego" / "questions.json", [egoschema_row(n, answer=None) for n in (0, 1)])
    write_json(tmp_path / "ego" / "subset_answers.json", {egoschema_uid(1): 3})
    found = [(row.split, row.answer_idx) for row in read_annotations(tmp_path / "ego").rows]
    assert found == [("test", None), ("subset", 3)]
    write_json(tmp_path / "mlvu" / "test_question.json", [mlvu_test_row(answer=None)])
    write_json(tmp_path / "mlvu" / "test_mcq_gt.json", [{"question_id": "AR_0", "answer": "E"}])
    assert read_annotations(tmp_path / "mlvu").rows[0].answer_idx == 4


@pytest.mark.parametrize(
    ("make", "key"),
    [(video_mme_row, "answer"), (v2_row, "answer"), (cgbench_row, "right_answer"), (nextqa_row, "answer")],
)
@pytest.mark.parametrize("hidden", [None, ""])
def test_a_hidden_answer_is_played_and_not_scored(tmp_path: Path, make: Any, key: str, hidden: str | None):
    rows = [make(1), make(2, **{key: hidden})]
    annotations = read_annotations(write_json(tmp_path / "val.json", rows))
    assert [row.answer_idx is None for row in annotations.rows] == [False, True] and not annotations.broken
    board = score(annotations, {row.task_id: Reply(row.task_id, "C") for row in annotations.rows})
    assert {it.counted for it in board.rules} == {1}


def test_a_pipe_beside_the_annotations_is_not_waited_for(tmp_path: Path):
    path = write_csv(tmp_path / "val.csv", [nextqa_row(n) for n in range(3)])
    for name in ("notes.json", "test.csv"):
        os.mkfifo(tmp_path / name)
    assert len(read_annotations(tmp_path).rows) == len(read_annotations(path).rows) == 3
    with pytest.raises(DataError, match=r"test\.csv: not a file"):
        read_file(tmp_path / "test.csv")


@pytest.mark.parametrize(("name", "content"), [("log.json", b""), ("notes.json", b"{broken"), ("old.csv", b"\xff\xfe")])
def test_a_damaged_neighbour_is_named_and_the_benchmark_is_read(tmp_path: Path, name: str, content: bytes):
    write_csv(tmp_path / "val.csv", [nextqa_row(n) for n in range(3)])
    (tmp_path / name).write_bytes(content)
    with pytest.warns(UserWarning, match=rf"{name}: .*left out"):
        assert len(read_annotations(tmp_path).rows) == 3
    (tmp_path / "val.csv").unlink()
    with pytest.raises(DataError, match=name):
        read_annotations(tmp_path)


def test_what_a_mac_writes_beside_a_file_is_not_read(tmp_path: Path, recwarn: pytest.WarningsRecorder):
    write_csv(tmp_path / "val.csv", [nextqa_row(n) for n in range(3)])
    (tmp_path / "._val.csv").write_bytes(b"\x00\x05\x16\x07\xff")
    (tmp_path / "meta.json").write_text(json.dumps({"unknown": 1}))
    assert len(read_annotations(tmp_path).rows) == 3
    assert not recwarn.list
