"""Replies of other harnesses reach the question they were given to, or are refused with the first that did not fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.benchmark_files import (
    cgbench_row,
    egoschema_row,
    egoschema_uid,
    longvideobench_row,
    mlvu_open_row,
    mlvu_row,
    nextqa_row,
    video_mme_row,
    write_csv,
    write_json,
    write_jsonl,
)

from vt_env.benchmarks.readers.registry import read_annotations
from vt_env.benchmarks.readers.rows import Annotations, Row
from vt_env.benchmarks.scoring.export import lmms_eval_samples
from vt_env.benchmarks.scoring.import_replies import read_replies
from vt_env.benchmarks.scoring.replies import Reply
from vt_env.benchmarks.scoring.scoreboard import score
from vt_env.errors import DataError


def prompt(row: Row) -> str:
    options = [f"{letter}. {text}" for letter, text in zip("ABCDEFGH", row.options, strict=False)]
    return "\n".join(["Select the best answer.", row.question, *options, "The best answer is:"])


def target(row: Row) -> str:
    return "ABCDEFGH"[row.answer_idx or 0]


def sample(doc_id: Any, row: Row, text: str, **changes: Any) -> dict[str, Any]:
    return {"doc_id": doc_id, "input": prompt(row), "target": target(row), "filtered_resps": [text], **changes}


def video_mme(folder: Path, count: int = 12) -> Annotations:
    durations = ("short", "medium", "long")
    rows = [video_mme_row(n, duration=durations[n % 3], answer="ABCD"[n * 7 % 4]) for n in range(1, count + 1)]
    return read_annotations(write_json(folder / "mme" / "a.json", rows))


def test_positions_in_a_part_of_the_rows_are_told_from_positions_in_all(tmp_path: Path):
    annotations = video_mme(tmp_path)
    part = [row for row in annotations.rows if row.labels["duration"] == ("long",)]
    path = write_jsonl(tmp_path / "s.jsonl", [sample(n, row, target(row)) for n, row in enumerate(part)])
    replies = read_replies(path, annotations)
    assert list(replies) == [row.task_id for row in part]
    assert score(annotations, replies).strict.value == 100


def test_another_order_of_rows_is_refused_where_the_samples_do_not_say_the_question(tmp_path: Path):
    annotations = video_mme(tmp_path)
    lines = [sample(n, row, target(row), input=None) for n, row in enumerate(annotations.rows[::-1])]
    path = write_jsonl(tmp_path / "s.jsonl", lines)
    with pytest.raises(DataError, match=r"s\.jsonl:\d+: doc_id=\d+ is video_mme/00\d-\d, .*target.*; "):
        read_replies(path, annotations)


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "D", "input": None},
        {"input": "How many trees are there?\nA. One.\nB. Two."},
        {"question_id": "001-2", "target": "D"},
        {"task_id": "video_mme/001-3", "input": "How many trees are there?"},
        {"target": "none of these"},
        {"doc": {"question": "How many trees are there?"}, "input": None},
        {"input": None, "target": None},
        {"input": "", "target": ""},
        {"doc_id": 0.0, "input": None},
        {"doc_id": False, "input": None},
        {"doc_id": -1, "input": None},
        {"doc_id": 99, "input": None},
        {"doc_id": None, "input": None},
    ],
)
def test_a_sample_that_does_not_fit_its_question_is_refused(tmp_path: Path, changes: dict[str, Any]):
    annotations = read_annotations(write_json(tmp_path / "mme" / "a.json", [video_mme_row(n) for n in (1, 2, 3)]))
    path = write_jsonl(tmp_path / "s.jsonl", [{**sample(0, annotations.rows[0], "C"), **changes}])
    with pytest.raises(DataError, match=r"s\.jsonl:1: ") as caught:
        read_replies(path, annotations)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "target"),
    [
        (video_mme_row(), "C"),
        (longvideobench_row(), 2),
        (longvideobench_row(), "2"),
        (cgbench_row(), "B"),
        (mlvu_row(), "A kite"),
        (mlvu_row(), "(C) A kite"),
    ],
)
def test_a_target_is_written_as_letter_index_or_text(tmp_path: Path, row: Any, target: Any):
    annotations = read_annotations(write_json(tmp_path / "a" / "2_needle.json", [row]))
    path = write_jsonl(tmp_path / "s.jsonl", [{"doc_id": 0, "target": target, "resps": [["C"]]}])
    assert len(read_replies(path, annotations)) == 1


@pytest.mark.parametrize("place", ["doc", "videomme_perception_score"])
def test_the_benchmark_s_own_id_in_a_sample_comes_before_its_position(tmp_path: Path, place: str):
    annotations = video_mme(tmp_path)
    row = annotations.rows[7]
    line = sample(0, row, "C", input=None, **{place: {"question_id": row.question_id}})
    assert list(read_replies(write_jsonl(tmp_path / "s.jsonl", [line]), annotations)) == [row.task_id]


def test_the_ids_of_nextqa_are_a_video_and_a_number(tmp_path: Path):
    write_csv(tmp_path / "a" / "val.csv", [nextqa_row(n, grounded=False) for n in range(6)])
    annotations = read_annotations(tmp_path / "a")
    line = {"doc_id": 0, "doc": {"video": 1, "qid": 4}, "target": 2, "filtered_resps": ["C"]}
    assert list(read_replies(write_jsonl(tmp_path / "s.jsonl", [line]), annotations)) == ["nextqa/1_4"]


def test_a_question_text_under_the_name_of_an_id_is_no_id(tmp_path: Path):
    rows = [mlvu_row(n) for n in range(3)]
    annotations = read_annotations(write_json(tmp_path / "a" / "2_needle.json", rows))
    lines = [
        sample(n, row, "C", mlvu_percetion_score={"question_id": row.question})
        for n, row in enumerate(annotations.rows)
    ]
    assert len(read_replies(write_jsonl(tmp_path / "s.jsonl", lines), annotations)) == 3


def test_positions_count_rows_that_are_left_out(tmp_path: Path):
    rows = [video_mme_row(n, answer="ABCD"[n % 4]) for n in range(1, 7)]
    rows[1]["duration"] = 12
    rows[3] = {**rows[0], "question": "Something else?"}
    annotations = read_annotations(write_json(tmp_path / "mme" / "a.json", rows))
    assert [row.question_id for row in annotations.rows] == ["001-1", "001-3", "002-2", "002-3"]
    lines = [{"doc_id": n, "target": row["answer"], "filtered_resps": [row["answer"]]} for n, row in enumerate(rows)]
    with pytest.warns(UserWarning, match="2 replies are to rows that are left out, first doc_id=1"):
        replies = read_replies(write_jsonl(tmp_path / "s.jsonl", lines), annotations)
    assert score(annotations, replies).strict.value == 100


def test_positions_count_the_rows_of_their_split(tmp_path: Path):
    uids = [egoschema_row(n) for n in range(6)]
    write_json(tmp_path / "ego" / "questions.json", uids)
    write_json(tmp_path / "ego" / "subset_answers.json", {egoschema_uid(n): n % 5 for n in (1, 4)})
    annotations = read_annotations(tmp_path / "ego")
    lines = [{"doc_id": 1, "target": "4", "filtered_resps": ["E"]}]
    path = write_jsonl(tmp_path / "s.jsonl", lines)
    assert list(read_replies(path, annotations, "subset")) == [f"egoschema/{egoschema_uid(4)}"]


def test_a_full_line_without_its_line_end_is_a_reply(tmp_path: Path):
    annotations = video_mme(tmp_path)
    lines = [json.dumps(sample(n, row, "C")) for n, row in enumerate(annotations.rows)]
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join(lines))
    assert len(read_replies(path, annotations)) == 12


def broken(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "duration": 12}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["plain", "broken", "no gold"]), min_size=1, max_size=8))
def test_samples_that_were_written_here_are_read_back_by_position(tmp_path_factory: Any, kinds: list[str]):
    made: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "plain": lambda row: row,
        "broken": broken,
        "no gold": lambda row: {**row, "answer": "Z"},
    }
    folder = tmp_path_factory.mktemp("round")
    rows = [made[kind](video_mme_row(n)) for n, kind in enumerate(["plain", *kinds], start=1)]
    annotations = read_annotations(write_json(folder / "mme" / "a.json", rows))
    given_replies = {row.task_id: Reply(row.task_id, f"reply to {row.task_id}") for row in annotations.rows}
    lines = [
        {key: value for key, value in line.items() if key not in ("task_id", "input" if line["target"] else "")}
        for line in lmms_eval_samples(annotations, given_replies, "test")
    ]
    assert read_replies(write_jsonl(folder / "s.jsonl", lines), annotations) == given_replies


def test_a_benchmark_of_several_files_counts_on_over_them(tmp_path: Path):
    write_json(tmp_path / "mlvu" / "2_needle.json", [mlvu_row(n) for n in range(3)])
    write_json(tmp_path / "mlvu" / "4_count.json", [mlvu_row(n, question_type="count", answer="A cup") for n in (8, 9)])
    write_json(tmp_path / "mlvu" / "8_sub_scene.json", [mlvu_open_row()])
    annotations = read_annotations(tmp_path / "mlvu")
    lines = [{"doc_id": 4, "target": "A", "filtered_resps": ["A"]}]
    assert list(read_replies(write_jsonl(tmp_path / "s.jsonl", lines), annotations)) == ["mlvu_dev/4_count/0001"]
