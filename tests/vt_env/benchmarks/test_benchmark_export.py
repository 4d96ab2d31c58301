"""Exports contain answers and never guesses; failed judges leave no score."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.benchmark_files import (
    egoschema_row,
    egoschema_uid,
    longvideobench_row,
    mlvu_open_row,
    mlvu_row,
    mlvu_test_row,
    video_mme_row,
    write_json,
)

from experiments.cli import run
from vt_env.benchmarks.readers.registry import read_annotations
from vt_env.benchmarks.readers.rows import Annotations, Row
from vt_env.benchmarks.scoring.export import lmms_eval_results, lmms_eval_samples, submission, write_jsonl
from vt_env.benchmarks.scoring.export import write_json as save
from vt_env.benchmarks.scoring.judge import JudgeFailed, judge_open, read_grade
from vt_env.benchmarks.scoring.replies import Ended, Reply
from vt_env.benchmarks.scoring.scoreboard import score
from vt_env.errors import ConfigError


def annotations_of(path: Path, rows: Any) -> Annotations:
    return read_annotations(write_json(path / "a.json", rows))


def replies(annotations: Annotations, *texts: str) -> dict[str, Reply]:
    return {row.task_id: Reply(row.task_id, text) for row, text in zip(annotations.rows, texts, strict=True)}


def hidden(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


def test_mlvu_test_is_submitted_as_letters_up_to_f(tmp_path: Path):
    annotations = annotations_of(tmp_path, [mlvu_test_row(0), mlvu_test_row(1), mlvu_test_row(2)])
    assert submission(annotations, replies(annotations, "F", "kind v", "A or B")) == [
        {"question_id": "AR_0", "question_type": "anomaly_reco", "option": "F"},
        {"question_id": "AR_1", "question_type": "anomaly_reco", "option": "B"},
        {"question_id": "AR_2", "question_type": "anomaly_reco", "option": ""},
    ]


def test_egoschema_is_submitted_as_positions_with_its_public_subset(tmp_path: Path):
    write_json(tmp_path / "subset_answers.json", {egoschema_uid(1): 3})
    annotations = annotations_of(tmp_path, [egoschema_row(0), egoschema_row(1), egoschema_row(2)])
    assert submission(annotations, replies(annotations, "E", "(A)", "no idea")) == {
        egoschema_uid(0): 4,
        egoschema_uid(1): 0,
        egoschema_uid(2): -1,
    }


def test_longvideobench_test_is_submitted_without_its_validation_split(tmp_path: Path):
    rows = [longvideobench_row(0), hidden(longvideobench_row(1), "correct_choice")]
    annotations = annotations_of(tmp_path, rows)
    assert submission(annotations, replies(annotations, "A", "D")) == {"CCCCCCCCCCC_1": "D"}


def test_an_incomplete_submission_is_refused(tmp_path: Path):
    annotations = annotations_of(tmp_path, [mlvu_test_row(0), mlvu_test_row(1)])
    with pytest.raises(ConfigError, match=r"1 of 2 questions have no reply \(AR_1\)"):
        submission(annotations, {"mlvu_test/AR_0": Reply("mlvu_test/AR_0", "A")})
    other = annotations_of(tmp_path / "other", [video_mme_row()])
    with pytest.raises(ConfigError, match="no submission format is known"):
        submission(other, {})


def test_sample_lines_have_the_keys_of_lmms_eval_and_leave_out_errors(tmp_path: Path):
    annotations = annotations_of(tmp_path, [video_mme_row(number) for number in range(1, 5)])
    given = replies(annotations, "C", "B", "no idea", "")
    given["video_mme/002-1"] = Reply("video_mme/002-1", "C", Ended.ERROR)
    write_jsonl(tmp_path / "samples.jsonl", lmms_eval_samples(annotations, given, "test"))
    lines = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [(line["doc_id"], line["target"], line["filtered_resps"], line["exact_match"]) for line in lines] == [
        (0, "C", ["C"], 1.0),
        (1, "C", ["B"], 0.0),
        (2, "C", ["no idea"], 0.0),
    ]
    assert len({line["doc_hash"] for line in lines}) == 3
    assert all(line["score"] == line["exact_match"] for line in lines)
    assert lines[0]["input"].splitlines()[1:] == ["A. One.", "B. Two.", "C. Three.", "D. Four."]


def test_a_results_file_names_the_coverage_of_an_incomplete_run(tmp_path: Path):
    annotations = annotations_of(tmp_path, [video_mme_row(1), video_mme_row(2)])
    board = score(annotations, replies(annotations, "C", "A"))
    save(tmp_path / "results.json", lmms_eval_results(board, "videomme", {"agent": "random"}))
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["results"]["videomme"]["Overall[2/2700] (vt_env@strict),none"] == 50
    assert results["n-samples"]["videomme"] == {"original": 2700, "effective": 2}
    assert not list(tmp_path.glob("*.part"))


class Keyword:
    """Gives a full grade to answers that hold the first point of the rubric; fails where told."""

    name = "keyword-1"

    def __init__(self, failing: str = "") -> None:
        self._failing = failing

    def grade(self, row: Row, answer: str) -> float:
        if self._failing and self._failing in answer:
            raise JudgeFailed("no connection")
        return float(row.rubric[0] in answer)


def test_a_judge_that_fails_leaves_the_answer_unscored_and_the_number_unreported(tmp_path: Path):
    rows = [mlvu_open_row(), mlvu_open_row(question="And then?"), mlvu_row(candidates=["a", "b", "c", "d"], answer="a")]
    annotations = read_annotations(write_json(tmp_path / "8_sub_scene.json", rows))
    given = replies(annotations, "I see that a dog swims.", "", "A")
    done = judge_open(annotations.rows, given, Keyword())
    assert (done.name, done.value, list(done.graded.values())) == ("judged[judge=keyword-1]", 50, [1.0, 0.0])
    broken = judge_open(annotations.rows, given, Keyword(failing="dog"))
    assert (broken.value, list(broken.graded.values()), list(broken.failed.values())) == (
        None,
        [0.0],
        ["no connection"],
    )
    lost = {task_id: Reply(task_id, reply.text, Ended.ERROR) for task_id, reply in given.items()}
    assert judge_open(annotations.rows, lost, Keyword()).graded == {}


@pytest.mark.parametrize(("reply", "grade"), [("5", 1.0), ("Score: 1", 0.0), ("3. Because 3 points fit.", 0.5)])
def test_a_grade_is_the_only_number_of_the_judges_reply(reply: str, grade: float):
    assert read_grade(reply, 1, 5) == grade


@pytest.mark.parametrize("reply", ["", "good", "6", "4 or 5", "3.5", "-1"])
def test_a_reply_without_one_grade_is_a_failure_and_not_a_zero(reply: str):
    with pytest.raises(JudgeFailed, match="need one whole number from 1 to 5"):
        read_grade(reply, 1, 5)


def test_the_audit_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_json(tmp_path / "a.json", [video_mme_row()])
    (tmp_path / "AAAAAAAAAA0.mp4").write_bytes(b"no video")
    assert run(["audit", str(tmp_path)]) == 2
    assert "1 of 2700" in capsys.readouterr().out
    assert run(["audit", str(tmp_path), "--probe"]) == 2
    assert "dead video: 1" in capsys.readouterr().out
    assert run(["audit", str(tmp_path), "--out", str(tmp_path / "report" / "audit.json")]) == 2
    report = json.loads((tmp_path / "report" / "audit.json").read_text())
    assert (report["complete"], report["splits"][0]["official_questions"]) == (False, 2700)
    capsys.readouterr()
    assert run(["audit", str(tmp_path / "gone")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
