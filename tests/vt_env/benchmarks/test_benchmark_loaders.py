"""Benchmark readers recognise official files by their keys and report every defect."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.benchmark_files import (
    cgbench_row,
    egoschema_row,
    egoschema_uid,
    longvideobench_row,
    lvbench_question,
    lvbench_video,
    mlvu_open_row,
    mlvu_row,
    mlvu_test_row,
    v2_row,
    video_mme_row,
    write_json,
    write_jsonl,
    write_video,
)

from vt_env.benchmarks.audit import audit
from vt_env.benchmarks.readers.no_training import check_trainable
from vt_env.benchmarks.readers.registry import BENCHMARKS, DATA_VARIABLE, read_annotations
from vt_env.benchmarks.readers.rows import DefectKind, Row
from vt_env.benchmarks.scoring.replies import Reply
from vt_env.benchmarks.scoring.scoreboard import score
from vt_env.errors import ConfigError, DataError
from vt_env.task_sources import load_tasks
from vt_env.types import Interval

NEXTGQA = Path(__file__).parents[2] / "fixtures" / "nextgqa"
FILES: dict[str, Any] = {
    "video_mme": [video_mme_row(number) for number in range(1, 4)],
    "video_mme_v2": [v2_row(number) for number in range(1, 5)],
    "lvbench": [{**lvbench_question(), "video_path": "BBBBBBBBBBB.mp4", "type": "tv"}],
    "longvideobench": [longvideobench_row()],
    "mlvu_dev": [mlvu_row()],
    "mlvu_test": [mlvu_test_row()],
    "cgbench": [cgbench_row()],
    "cgbench_mini": [cgbench_row(qid) for qid in range(3000)],
    "egoschema": [egoschema_row()],
}


def rows_of(path: Path) -> tuple[Row, ...]:
    return read_annotations(path).rows


def kinds(row: Row) -> list[DefectKind]:
    return [defect.kind for defect in row.defects]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_recognised_by_its_keys_whatever_its_name(tmp_path: Path, name: str):
    path = write_json(tmp_path / "some_name.json", FILES[name])
    annotations = read_annotations(path)
    assert (annotations.benchmark, annotations.defects) == (name, ())
    assert all(row.benchmark == name and row.raw and len(row.options) >= 4 for row in annotations.rows)
    assert not any(row.defects for row in annotations.rows)


@pytest.mark.parametrize("name", [name for name in FILES if name != "cgbench_mini"])
def test_parquet_rows_are_read_like_json_rows(tmp_path: Path, name: str):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    rows = FILES[name]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "test.parquet")
    from_json = rows_of(write_json(tmp_path / "json" / "test.json", rows))
    from_parquet = rows_of(tmp_path / "test.parquet")
    assert [(row.task_id, row.options, row.answer_idx) for row in from_parquet] == [
        (row.task_id, row.options, row.answer_idx) for row in from_json
    ]


def test_options_lose_their_letters_and_answers_become_positions(tmp_path: Path):
    (row,) = rows_of(write_json(tmp_path / "a.json", [video_mme_row()]))
    assert (row.options, row.answer_idx) == (("One.", "Two.", "Three.", "Four."), 2)
    (row, *_) = rows_of(write_json(tmp_path / "a.json", [v2_row(number) for number in range(1, 5)]))
    assert (row.options[5], row.answer_idx, len(row.options)) == ("tool 5", 5, 8)
    (row,) = rows_of(write_json(tmp_path / "a.json", [video_mme_row(options=["A. x", "C. y", "B. z", "w"])]))
    assert row.options == ("A. x", "C. y", "B. z", "w")


def test_lvbench_options_and_spans_stand_inside_the_question_and_a_clock(tmp_path: Path):
    questions = [lvbench_question(1), lvbench_question(2, time_reference="01:02:03-01:02:10")]
    rows = rows_of(write_jsonl(tmp_path / "meta.jsonl", [lvbench_video(questions=questions)]))
    assert (rows[0].question, rows[0].options) == (
        "What does the guide lift?",
        ("a map", "a cup", "a rope", "a stone"),
    )
    assert [row.evidence for row in rows] == [((15.0, 19.0),), ((3723.0, 3730.0),)]
    assert rows[0].labels["ability"] == ("entity recognition", "key information retrieval")
    assert rows[0].duration_s == 71.5 * 60


def test_the_string_n_a_is_no_option_of_longvideobench_and_is_dropped_before_lettering(tmp_path: Path):
    row = longvideobench_row()
    del row["candidates"]
    options = {"option0": "a jar", "option1": "N/A", "option2": "a bell", "option3": "a lamp", "option4": "N/A"}
    (read,) = rows_of(write_json(tmp_path / "a.json", [{**row, **options}]))
    assert (read.options, read.answer_idx) == (("a jar", "a bell", "a lamp"), 1)
    assert kinds(read) == [DefectKind.PLACEHOLDER_OPTION]
    (kept,) = rows_of(write_json(tmp_path / "a.json", [video_mme_row(options=["N/A", "b", "c", "d"])]))
    assert (kept.options[kept.answer_idx or 0], kinds(kept)) == ("c", [DefectKind.PLACEHOLDER_OPTION])


def test_longvideobench_without_answers_is_its_test_split(tmp_path: Path):
    row = longvideobench_row(1, video_id="@user-0123456789abc", id="@user-0123456789abc_1")
    del row["correct_choice"]
    val, test = rows_of(write_json(tmp_path / "a.json", [longvideobench_row(), row]))
    assert [(val.split, val.answer_idx), (test.split, test.answer_idx)] == [("val", 2), ("test", None)]
    assert test.video_id.startswith("@")


def test_mlvu_names_tasks_by_file_and_takes_the_last_of_equal_options(tmp_path: Path):
    rows = [mlvu_row(candidates=["A kite", "A cup", "A kite", "A book"]), mlvu_row(2, answer="A whale")]
    write_json(tmp_path / "json" / "2_needle.json", rows)
    write_json(tmp_path / "json" / "8_sub_scene.json", [mlvu_open_row()])
    first, second, opened = rows_of(tmp_path)
    assert (first.labels["task"], first.answer_idx, first.split) == (("needle",), 2, "dev")
    assert kinds(first) == [DefectKind.DUPLICATE_OPTIONS]
    assert (second.answer_idx, kinds(second)) == (None, [DefectKind.GOLD_NOT_AN_OPTION])
    assert (opened.is_open, opened.labels["task"], opened.rubric) == (
        True,
        ("sub_scene",),
        ("a dog swims", "the sun sets"),
    )


def test_copies_of_an_option_say_which_they_are_so_that_a_letter_still_means_one(tmp_path: Path):
    write_json(tmp_path / "2_needle.json", [mlvu_row(candidates=["A kite", "A cup", "A kite", "A book"])])
    write_video(tmp_path / "video" / "2_needle" / "needle_1.mp4")
    (task,) = load_tasks(tmp_path)
    assert task.item.options == ("A kite (option A)", "A cup", "A kite (option C)", "A book")
    assert task.gold is not None and task.gold.answer_idx == 2


@pytest.mark.parametrize("answer", ["E", "kind y"])
def test_mlvu_test_gold_lies_in_a_file_of_its_own(tmp_path: Path, answer: str):
    write_json(tmp_path / "test_question.json", [mlvu_test_row()])
    write_json(tmp_path / "test_mcq_gt.json", [{"question_id": "AR_0", "answer": answer}])
    (row,) = rows_of(tmp_path)
    assert (row.task_id, row.answer_idx, row.labels["task"]) == ("mlvu_test/AR_0", 4, ("anomaly_reco",))


def test_egoschema_answers_lie_in_a_file_of_their_own(tmp_path: Path):
    path = write_json(tmp_path / "questions.json", [egoschema_row(0), egoschema_row(1)])
    write_json(tmp_path / "subset_answers.json", {egoschema_uid(1): 3})
    hidden, known = rows_of(path)
    assert [(row.split, row.answer_idx) for row in (hidden, known)] == [("test", None), ("subset", 3)]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (cgbench_row(clue_intervals=[[436, 410]]), DefectKind.REVERSED_INTERVAL),
        (cgbench_row(clue_intervals=[[410, 410]]), DefectKind.EMPTY_INTERVAL),
        (cgbench_row(clue_intervals=[[410, 1600]]), DefectKind.INTERVAL_OUTSIDE),
        (cgbench_row(clue_intervals=[]), DefectKind.NO_EVIDENCE),
        (cgbench_row(choices=["4", "4", "5"]), DefectKind.DUPLICATE_OPTIONS),
        (cgbench_row(right_answer="H"), DefectKind.GOLD_NOT_AN_OPTION),
        (cgbench_row(choices=["4"], right_answer="A"), DefectKind.TOO_FEW_OPTIONS),
    ],
)
def test_each_defect_of_a_row_is_named(tmp_path: Path, row: dict[str, Any], kind: DefectKind):
    assert kinds(rows_of(write_json(tmp_path / "a.json", [row]))[0]) == [kind]


def test_reversed_evidence_is_left_out_of_the_key(tmp_path: Path):
    write_json(tmp_path / "a.json", [cgbench_row(clue_intervals=[[436, 410], [900, 905]])])
    write_video(tmp_path / "cg_clue_videos" / "AbC123.mp4")
    write_video(tmp_path / "cg_videos_720p" / "AbC123.MP4")
    (task,) = load_tasks(tmp_path)
    assert task.gold is not None and task.gold.evidence == (Interval(900, 905),)
    assert Path(task.item.video.path).parent.name == "cg_videos_720p"


def test_repeated_ids_are_left_out_and_named_and_copies_of_a_file_are_not(tmp_path: Path):
    rows = [video_mme_row(1), video_mme_row(1, question="Another?")]
    annotations = read_annotations(write_json(tmp_path / "a.json", rows))
    assert [(defect.kind, defect.where) for defect in annotations.defects] == [(DefectKind.DUPLICATE_ID, "001-1")]
    write_json(tmp_path / "copies" / "a.json", [video_mme_row(1)])
    write_json(tmp_path / "copies" / "b.json", [video_mme_row(1)])
    annotations = read_annotations(tmp_path / "copies")
    assert (len(annotations.rows), annotations.defects) == (1, ())


def test_broken_rows_are_counted_by_the_audit_and_left_out_of_the_tasks_with_a_warning(tmp_path: Path):
    rows = [video_mme_row(1), video_mme_row(2, duration=12), cgbench_row()]
    path = write_json(tmp_path / "a.json", rows)
    coverage = audit(path)
    assert [defect.where for defect in coverage.defects if defect.kind is DefectKind.BROKEN_ROW] == [
        "a.json:2",
        "a.json:3",
    ]
    write_video(tmp_path / "AAAAAAAAAA0.mp4")
    with pytest.warns(UserWarning, match=r"2 rows cannot be read, first a\.json:2: duration=12; need short"):
        assert len(load_tasks(path)) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{},]", "damaged"),
        ('[{"a": 1}]', r"not the annotations of a known benchmark \(columns: a\)"),
        (
            '[{"key": "a", "qa": [], "info": {}}]',
            "nearest is lvbench, of which it lacks video_info: rename columns back",
        ),
        (
            '[{"uid": "1", "question_type": ["x"], "when": "00:01"}]',
            "nearest is lvbench, of which it lacks time_reference",
        ),
        ("[]", "columns: no rows"),
        ("3", "columns: no rows"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, content: str, message: str):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_annotations(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("video_id;question;answer;qid;type;a0;a1;a2;a3;a4", "its cells are separated by ';': write it with commas"),
        ("video_id\tquestion\tanswer", r"its cells are separated by '\\t': write it with commas"),
        (
            "Video_ID,question,answer,QID,type,a0,a1,a2,a3,a4",
            "it is nextgqa under other names: rename 'QID' to 'qid', 'Video_ID' to 'video_id'",
        ),
    ],
)
def test_a_csv_file_with_another_header_is_told_what_to_change(tmp_path: Path, header: str, message: str):
    (tmp_path / "val.csv").write_text(f"{header}\n{header}\n")
    for read in (read_annotations, load_tasks):
        with pytest.raises(DataError, match=message):
            read(tmp_path / "val.csv")


def test_columns_that_nothing_reads_are_named_by_the_audit(tmp_path: Path):
    coverage = audit(write_json(tmp_path / "a.json", [video_mme_row(anwser="C")]))
    assert coverage.files[0].unread == ("anwser",)
    assert "columns that are not read: anwser" in coverage.text()
    assert all(not audit(write_json(tmp_path / f"{name}.json", rows)).files[0].unread for name, rows in FILES.items())


def test_lengths_that_cannot_be_are_named_by_the_audit(tmp_path: Path):
    rows = [mlvu_row(1, duration=32550), mlvu_row(2), mlvu_row(2, question="And then?", duration=500)]
    coverage = audit(write_json(tmp_path / "2_needle.json", rows))
    odd = [(it.where, it.detail) for it in coverage.defects if it.kind is DefectKind.ODD_DURATION]
    assert odd == [("2_needle/needle_1", "32550 s"), ("2_needle/needle_2", "467.9 s in one row, 500 s in another")]


@pytest.mark.parametrize(("options", "name"), [(4, "mlvu_dev"), (6, "mlvu_test")])
def test_mlvu_from_a_hub_has_other_names_and_its_options_twice(tmp_path: Path, options: int, name: str):
    candidates = [f"thing {idx}" for idx in range(options)]
    lettered = "".join(f"\n({letter}) {it}" for letter, it in zip("ABCDEF", candidates, strict=False))
    row = {
        "video_name": "needle_1.mp4",
        "duration": 60.0,
        "question": f"What is held?{lettered}",
        "candidates": candidates,
        "answer": "B",
        "task_type": "findNeedle" if name == "mlvu_dev" else "needleQA",
        "question_id": "Q_0",
    }
    annotations = read_annotations(write_json(tmp_path / "a.json", [row]))
    (read,) = annotations.rows
    assert (annotations.benchmark, read.question, read.answer_idx) == (name, "What is held?", 1)
    assert read.labels["task"] == ("needle" if name == "mlvu_dev" else "needleQA",)


def test_a_folder_of_two_benchmarks_needs_a_name(tmp_path: Path):
    write_json(tmp_path / "a.json", [video_mme_row()])
    write_json(tmp_path / "b.json", [cgbench_row()])
    with pytest.raises(DataError, match="holds cgbench and video_mme"):
        read_annotations(tmp_path)
    assert read_annotations(tmp_path, "cgbench").benchmark == "cgbench"
    with pytest.raises(ConfigError, match="did you mean 'lvbench'"):
        read_annotations(tmp_path, "lvbnch")


def test_a_folder_of_many_subtitle_files_is_not_searched_for_annotations(tmp_path: Path):
    write_json(tmp_path / "lvb_val.json", [longvideobench_row()])
    for number in range(70):
        (tmp_path / "subtitles").mkdir(exist_ok=True)
        (tmp_path / "subtitles" / f"{number}.json").write_text("not even JSON")
    assert len(rows_of(tmp_path)) == 1


def test_names_are_found_below_the_data_folder_and_say_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=f"set {DATA_VARIABLE} to the folder that holds lvbench/"):
        load_tasks("lvbench")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    with pytest.raises(ConfigError, match=r"no folder .*mlvu_dev or .*mlvu "):
        load_tasks("mlvu_dev")
    write_json(tmp_path / "mlvu" / "json" / "2_needle.json", [mlvu_row()])
    write_video(tmp_path / "mlvu" / "needle_1.mp4")
    (task,) = load_tasks("mlvu_dev")
    assert (task.item.task_id, task.item.split, task.item.train_allowed) == ("mlvu_dev/2_needle/0000", "dev", False)
    with pytest.raises(ConfigError, match=r"split='train'.*allowed are \['dev'\]"):
        load_tasks("mlvu_dev", "train")


def test_handles_are_opaque_and_one_for_all_questions_of_a_video(tmp_path: Path):
    write_json(tmp_path / "a.json", [video_mme_row(1), video_mme_row(2)])
    write_video(tmp_path / "data" / "AAAAAAAAAA0.MKV")
    first, second = (task.item for task in load_tasks(tmp_path))
    assert first.video.handle == second.video.handle
    assert "AAAA" not in first.video.handle and first.video.path.endswith("AAAAAAAAAA0.MKV")


def test_missing_videos_are_named_and_what_is_there_is_played(tmp_path: Path):
    write_json(tmp_path / "a.json", [video_mme_row(number) for number in range(1, 7)])
    with pytest.raises(ConfigError, match=r"none of its 2 videos is below .*AAAAAAAAAA0, AAAAAAAAAA1"):
        load_tasks(tmp_path)
    write_video(tmp_path / "AAAAAAAAAA1.mp4")
    with pytest.warns(UserWarning, match=r"1 of 2 videos .* 3 of 6 questions are played; missing AAAAAAAAAA0"):
        tasks = load_tasks(tmp_path)
    assert [task.item.task_id for task in tasks] == ["video_mme/002-1", "video_mme/002-2", "video_mme/002-3"]


def test_an_audit_counts_against_the_authors_numbers_and_names_what_is_missing(tmp_path: Path):
    write_json(tmp_path / "a.json", [v2_row(number) for number in range(1, 8)])
    write_video(tmp_path / "videos" / "001.mp4")
    (tmp_path / "videos" / "002.mp4").touch()
    write_jsonl(tmp_path / "subtitle" / "001.jsonl", [{"text": "hello", "start_time": 1, "end_time": 2}])
    coverage = audit(tmp_path)
    (split,) = coverage.splits
    assert (split.questions, split.official_questions, split.videos, split.official_videos) == (7, 3200, 2, 800)
    assert (split.videos_found, split.playable, coverage.complete) == (1, 4, False)
    assert coverage.counts == {
        DefectKind.PARTIAL_GROUP: 1,
        DefectKind.DEAD_VIDEO: 1,
        DefectKind.MISSING_SUBTITLES: 1,
    }
    assert "7 of 3200" in coverage.text() and "dead video: 1" in coverage.text()


def test_the_real_nextgqa_files_are_complete_but_for_their_videos():
    coverage = audit(NEXTGQA)
    (split,) = coverage.splits
    assert (coverage.benchmark, split.split, split.questions, split.with_gold) == ("nextgqa", "val", 3358, 3358)
    assert (split.official_questions, split.videos, len(coverage.missing_videos)) == (3358, 567, 567)
    assert coverage.counts[DefectKind.DUPLICATE_OPTIONS] == 1
    assert set(coverage.counts) == {DefectKind.DUPLICATE_OPTIONS, DefectKind.MISSING_VIDEO}
    for name in ("val.csv", "gsub_val.json"):
        assert f"doc-doc/NExT-GQA 63772e02, {name}" in coverage.text()
    with pytest.raises(ConfigError, match=r"none of its 567 videos .*missing 4882821564, 2435100235"):
        load_tasks(NEXTGQA)


def test_real_nextgqa_questions_are_joined_with_their_spans(tmp_path: Path):
    for name in ("val.csv", "gsub_val.json"):
        (tmp_path / name).symlink_to(NEXTGQA / name)
    write_video(tmp_path / "NExTVideo" / "1164" / "10001787725.mp4")
    with pytest.warns(UserWarning, match="1 of 567 videos"):
        tasks = load_tasks(tmp_path, "val")
    spans = json.loads((NEXTGQA / "gsub_val.json").read_text())["10001787725"]["location"]
    assert len(tasks) == len(spans)
    assert all(task.gold is not None and task.gold.evidence for task in tasks)
    assert {task.item.train_allowed for task in tasks} == {False}
    with pytest.raises(ConfigError, match="evaluation split, and training on them would contaminate its scores"):
        check_trainable(tasks)


def test_only_the_training_split_of_nextqa_may_be_trained_on(tmp_path: Path):
    columns = "video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4"
    (tmp_path / "train.csv").write_text(f"{columns}\n1,9,9,9,how many,1,0,DC,1,2,three,four,five\n")
    write_video(tmp_path / "1.mp4")
    (task,) = load_tasks(tmp_path)
    assert (task.item.task_id, task.item.split, task.item.train_allowed) == ("nextqa/1_0", "train", True)
    assert task.gold is not None and task.item.options[task.gold.answer_idx] == "2"
    check_trainable(load_tasks(tmp_path))


@pytest.mark.skipif(DATA_VARIABLE not in os.environ, reason=f"set {DATA_VARIABLE} to your copies of the benchmarks")
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_user_s_full_copy_has_the_official_number_of_rows(name: str):
    folder = Path(os.environ.get(DATA_VARIABLE, "")) / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    for split in audit(folder, name).splits:
        if split.official_questions is not None:
            assert (split.split, split.questions) == (split.split, split.official_questions)
        if split.with_gold:
            annotations = read_annotations(folder, name)
            rows = [row for row in annotations.rows if row.split == split.split and row.answer_idx is not None]
            right = {row.task_id: Reply(row.task_id, "ABCDEFGH"[row.answer_idx or 0]) for row in rows}
            assert score(annotations, right, split.split).strict.value == 100
