"""Finished runs are scored again: on a benchmark by both rules and by spans, on other tasks by the key of today."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from support.benchmark_files import cgbench_row, longvideobench_row, v2_row, video_mme_row, write_json, write_jsonl
from support.finished_runs import episode

from experiments.cli import run
from experiments.evaluate.eval import EvalRun
from experiments.runs.run_dir import open_run
from vt_env.benchmarks.readers.registry import read_annotations
from vt_env.benchmarks.scoring.import_replies import read_replies
from vt_env.benchmarks.scoring.replies import Reply
from vt_env.benchmarks.scoring.scoreboard import Scoreboard, score
from vt_env.benchmarks.scoring.scoreboard_text import latex_table, markdown, plain
from vt_env.errors import DataError

NEXTGQA = Path(__file__).parents[1] / "fixtures" / "nextgqa"


def played(folder: Path, tasks: Path | str, episodes, **changes) -> Path:
    config = EvalRun(agent="sft", out=folder, tasks=str(tasks), **changes)
    with open_run(folder, "eval", config) as directory:
        for it in episodes:
            directory.journal(asdict(it))
    return folder


def board_of(folder: Path, rows, text: str = "C") -> Scoreboard:
    annotations = read_annotations(write_json(folder / "a.json", rows))
    return score(annotations, {row.task_id: Reply(row.task_id, text) for row in annotations.rows})


def test_what_is_cited_and_viewed_is_scored_over_nextgqa_s_spans():
    annotations = read_annotations(NEXTGQA)
    rows = annotations.rows[:300]
    replies = {
        row.task_id: Reply(row.task_id, "A", viewed=((0.0, 10_000.0),), cited=row.evidence[:1] if idx % 2 else ())
        for idx, row in enumerate(rows)
    }
    cited, official, viewed = score(annotations, replies).grounded
    assert (cited.prediction, cited.given, cited.numbers["mIoU"].n) == ("cited", 150, 300)
    assert 40 < cited.numbers["mIoU"].value <= 50 and cited.numbers["hit"].value == 50
    assert official.rule == "nextgqa@eval_ground" and official.numbers["mIoU"].n == 150
    assert official.numbers["mIoU"].value == official.numbers["IoP@0.5"].value == 100
    assert viewed.numbers["recall"].value == 100 and viewed.numbers["mIoU"].value < 5
    low, high = viewed.numbers["mIoU"].ci95
    assert low <= viewed.numbers["mIoU"].value <= high


def test_cgbench_leaves_out_officially_what_cites_nothing(tmp_path: Path):
    rows = [cgbench_row(qid, video_uid=f"v{qid}", clue_intervals=[[0, 10]]) for qid in range(4)]
    annotations = read_annotations(write_json(tmp_path / "a.json", rows))
    spans = [((0.0, 10.0),), ((0.0, 4.0),), ((50.0, 60.0),), ()]
    replies = {
        row.task_id: Reply(row.task_id, "B", cited=some) for row, some in zip(annotations.rows, spans, strict=True)
    }
    ours, official = score(annotations, replies).grounded
    assert (ours.numbers["mIoU"].value, ours.numbers["rec@IoU"].value) == (pytest.approx(35), pytest.approx(45))
    assert (official.numbers["mIoU"].n, official.numbers["mIoU"].value) == (3, pytest.approx(140 / 3))
    assert official.numbers["acc@IoU"].value == pytest.approx(60)


def test_video_mme_v2_divides_groups_by_their_last_question_and_says_the_plain_accuracy(tmp_path: Path):
    rows = [v2_row(n, answer="C" if n < 5 else "D", level="1" if n == 4 else "3") for n in range(1, 9)]
    board = board_of(tmp_path, rows)
    assert {name: part.value for name, part in board.strict.parts["level"].items()} == {"1": 100, "3": 0}
    assert (board.strict.value, board.strict.others["Avg Acc"].value) == (50, 50)
    half = board_of(tmp_path, [v2_row(n, answer="CCDD"[(n - 1) % 4]) for n in range(1, 9)])
    assert (half.strict.value, half.strict.others["Avg Acc"].value) == (25, 50)


def test_latex_rows_stand_in_the_columns_of_papers_and_an_incomplete_set_under_its_coverage(tmp_path: Path):
    rows = [video_mme_row(n, duration=("short", "medium", "long")[n % 3], answer="CCD"[n % 3]) for n in range(1, 7)]
    board = board_of(tmp_path, rows)
    table = latex_table([("sft_7b", board)])
    assert "% policy & rule & Overall[6/2700] & Short & Medium & Long \\\\" in table
    assert "sft\\_7b & vt\\_env@strict & 66.7 & 100.0 & 100.0 & 0.0 \\\\ % 95 %: " in table
    assert "| vt_env@strict | Overall[6/2700] | 66.7 |" in markdown(board)
    assert "66.7" in plain(board)


def test_a_benchmark_run_is_rescored_from_its_own_configuration(tmp_path: Path, capsys):
    rows = [longvideobench_row(n) for n in range(3)]
    write_json(tmp_path / "lvb" / "lvb_val.json", rows)
    episodes = [
        episode(n, 0, True, task_id=f"longvideobench/CCCCCCCCCCC_{n}", answer="C", split="val") for n in range(2)
    ]
    folder = played(tmp_path / "run", tmp_path / "lvb", episodes, split="val")
    out, table = tmp_path / "scores.json", tmp_path / "rows.tex"
    assert run(["rescore", str(folder), "--out", str(out), "--latex-file", str(table)]) == 0
    assert "Overall[2/1337]" in capsys.readouterr().out
    scores = json.loads(out.read_text())
    assert (scores["strict"]["value"], scores["complete"]) == (100, False)
    assert table.read_text().startswith("% longvideobench val")


def test_a_report_says_the_coverage_and_uses_no_official_name_for_a_part(tmp_path: Path, capsys):
    write_json(tmp_path / "lvb" / "lvb_val.json", [longvideobench_row(n) for n in range(3)])
    episodes = [
        episode(n, 0, True, task_id=f"longvideobench/CCCCCCCCCCC_{n}", answer="C", split="val") for n in range(3)
    ]
    folder = played(tmp_path / "run", tmp_path / "lvb", episodes, split="val")
    assert run(["report", str(folder)]) == 0
    assert "longvideobench/val is 3/1337 played, so no official name is used" in capsys.readouterr().out
    page = (folder / "report.md").read_text()
    assert "Overall[3/1337]" in page and "| Overall |" not in page
    value = json.loads((folder / "report.json").read_text())["benchmarks"][0]
    assert (value["replied"], value["questions"], value["complete"]) == (3, 1337, False)
    elsewhere = played(tmp_path / "elsewhere", tmp_path / "gone", episodes, split="val")
    assert run(["report", str(elsewhere)]) == 0
    assert "no official number, since tasks=" in (elsewhere / "report.md").read_text()


def test_a_run_on_own_tasks_is_read_again_with_the_key_of_today(tmp_path: Path, capsys):
    row = {"video": "v.mp4", "question": "What number?", "options": ["47", "52"], "split": "test"}
    path = tmp_path / "tasks.jsonl"
    (tmp_path / "v.mp4").touch()
    write_jsonl(path, [{**row, "task_id": "task-000", "answer": 1}, {**row, "task_id": "task-001", "answer": 0}])
    episodes = [episode(0, 0, True), episode(1, 0, True), episode(2, 0, True)]
    folder = played(tmp_path / "run", path, episodes)
    assert run(["rescore", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "3 episodes, 1 verdicts changed (task-000)" in text and "1 episodes belong to no current task" in text
    assert run(["rescore", str(folder), "--samples-file", str(tmp_path / "s")]) == 2
    assert "was not played on a benchmark" in capsys.readouterr().err
    assert run(["rescore", str(tmp_path / "nowhere")]) == 2


def test_replies_of_another_harness_are_scored_by_id_or_position(tmp_path: Path, capsys):
    rows = [video_mme_row(number) for number in range(1, 4)]
    annotations = read_annotations(write_json(tmp_path / "mme" / "a.json", rows))
    lines = [
        {"task_id": "video_mme/001-1", "text": "C"},
        {"question_id": "001-2", "text": "B"},
        {"doc_id": 2, "filtered_resps": ["The answer is C."], "target": "C"},
    ]
    path = write_jsonl(tmp_path / "samples.jsonl", lines)
    assert {it.task_id: it.text for it in read_replies(path, annotations).values()} == {
        "video_mme/001-1": "C",
        "video_mme/001-2": "B",
        "video_mme/001-3": "The answer is C.",
    }
    assert run(["rescore", str(path), "--annotations", str(tmp_path / "mme")]) == 0
    assert "3 of 2700 questions have a reply" in capsys.readouterr().out
    path.write_text(path.read_text() + '{"doc_id": 0, "resps": [["C"]], "target": "C"}\n{"doc_id": 1, "torn')
    with pytest.raises(DataError, match=r"samples\.jsonl:4: second reply to video_mme/001-1"):
        read_replies(path, annotations)
    assert run(["rescore", str(path)]) == 2
    assert "give --annotations" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"text": "C"}',
        '{"task_id": "x", "text": "C"}',
        '{"doc_id": -1, "text": ""}',
        '{"doc_id": 0, "text": 3}',
        '{"doc_id": 0}',
    ],
)
def test_a_line_that_is_no_reply_is_refused_by_its_number(tmp_path: Path, line: str):
    annotations = read_annotations(write_json(tmp_path / "a.json", [video_mme_row()]))
    (tmp_path / "replies.jsonl").write_text(f"{line}\n")
    with pytest.raises(DataError, match=r"replies\.jsonl:1: .*need task_id or doc_id"):
        read_replies(tmp_path / "replies.jsonl", annotations)


def test_what_only_benchmarks_know_is_refused_on_other_tasks(tmp_path: Path, capsys):
    folder = played(tmp_path / "run", "world", [episode(0, 0, True)])
    for flags in (["--sample", "5"], ["--benchmark", "nonsense"], ["--judge.model", "foo"]):
        assert run(["rescore", str(folder), *flags]) == 2
        assert f"{flags[0]}: for benchmarks alone" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["rescore", "sweep"])
def test_a_run_that_is_no_evaluation_is_refused_in_one_line(tmp_path: Path, capsys, name: str):
    with open_run(tmp_path, "quickstart", EvalRun()):
        pass
    (tmp_path / "config.json").write_text('{"run": "quickstart"}')
    assert run([name, str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "a run of 'quickstart'" in error and error.count("\n") == 1
