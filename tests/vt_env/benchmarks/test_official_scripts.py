"""Figures of the official scripts, worked out from their published source on small sets where ours once differed."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.benchmark_files import (
    cgbench_row,
    mlvu_test_row,
    nextqa_row,
    v2_row,
    video_mme_row,
    write_csv,
    write_json,
)

from vt_env.benchmarks.readers.registry import read_annotations
from vt_env.benchmarks.readers.rows import Annotations
from vt_env.benchmarks.scoring.evidence_scores import SpanScores
from vt_env.benchmarks.scoring.export import lmms_eval_samples
from vt_env.benchmarks.scoring.export import write_jsonl as export_jsonl
from vt_env.benchmarks.scoring.official_rules import RULES
from vt_env.benchmarks.scoring.replies import Reply, strict_status
from vt_env.benchmarks.scoring.scoreboard import Scoreboard, score
from vt_env.benchmarks.scoring.scoreboard_text import latex_table
from vt_env.types import Interval


def board_of(annotations: Annotations, texts: list[str], spans: list[Any] | None = None, **given: Any) -> Scoreboard:
    cited = spans or [()] * len(texts)
    rows = zip(annotations.rows, texts, cited, strict=True)
    return score(annotations, {row.task_id: Reply(row.task_id, text, cited=some) for row, text, some in rows}, **given)


def official_spans(board: Scoreboard) -> SpanScores:
    (found,) = [it for it in board.grounded if it.rule != "vt_env@spans" and it.prediction == "cited"]
    return found


def test_the_parts_of_video_mme_v2_hold_every_group_that_its_whole_holds(tmp_path: Path):
    kinds = ["relevance"] * 8 + ["logic"] * 8
    rows = [v2_row(n + 1, group_type=kind, level="1") for n, kind in enumerate(kinds)]
    annotations = read_annotations(write_json(tmp_path / "a.json", rows))
    # Unread is -1 in the script: three right and one unread make (2/4)^2, and a chain goes on over it.
    texts = [*"FFF?", *"FFFF", *"?AFF", *"AFFF"]
    board = board_of(annotations, texts)
    assert board.official is not None
    parts = {part: metric.value for part, metric in board.official.parts["group_type"].items()}
    assert parts == {"relevance": pytest.approx(62.5), "logic": pytest.approx(100 / 32)}
    assert board.official.value == pytest.approx((62.5 + 100 / 32) / 2)
    assert board.official.parts["level"]["1"].value == pytest.approx(board.official.value)
    assert "62.5 & 3.1" in latex_table([("sft", board)])


@pytest.mark.parametrize("text", ["N/A", "NA\n", "#N/A", "<NA>"])
def test_the_script_of_video_mme_v2_reads_no_letter_from_what_its_table_takes_for_missing(text: str):
    assert RULES["v2@standalone"].extract(text) == ()
    assert RULES["v2@standalone"].extract(f"{text} A") == ("A",)


def test_the_script_of_video_mme_v2_cuts_parts_by_four_rows_as_it_cuts_the_whole(tmp_path: Path):
    rows = [v2_row(n, level="1" if n == 8 else "2") for n in (1, 2, 3, 5, 4, 6, 7, 8)]
    annotations = read_annotations(write_json(tmp_path / "a.json", rows))
    board = board_of(annotations, [*"FFFFAAAA"])
    assert board.official is not None
    assert {part: it.value for part, it in board.official.parts["level"].items()} == {"1": 0, "2": 100}


def test_cgbench_reads_letters_by_its_own_rule_for_acc_at_iou_and_counts_what_has_both(tmp_path: Path):
    rows = [cgbench_row(qid, video_uid=f"v{qid}", clue_intervals=[[0, 10]]) for qid in range(4)]
    annotations = read_annotations(write_json(tmp_path / "a.json", rows))
    right, wrong = (f'```json\n{{"result": "{letter}"}}\n```' for letter in "BC")
    board = board_of(annotations, [right, right, wrong, "no letter"], [((0.0, 10.0),)] * 4)
    found = official_spans(board).numbers
    assert (found["acc@IoU"].n, found["acc@IoU"].value) == (3, pytest.approx(200 / 3))
    assert (found["rec@IoU"].n, found["rec@IoU"].value) == (4, 100)
    table = latex_table([("sft", board)]).splitlines()
    assert "cgbench@json" in table[2] and "66.7 \\\\" in table[2]
    assert "vt\\_env@strict" in table[3] and "66.7 \\\\" not in table[3]


def grounded(folder: Path, spans: list[Any], **changes: Any) -> Annotations:
    write_csv(folder / "val.csv", [nextqa_row(number, **changes) for number in range(len(spans))])
    location = {str(number): some for number, some in enumerate(spans)}
    write_json(folder / "gsub_val.json", {"0": {"duration": 26, "fps": 30, "location": location}})
    return read_annotations(folder)


def test_a_span_that_begins_before_the_video_is_evidence_from_its_start(tmp_path: Path):
    annotations = grounded(tmp_path, [[[-0.1, 11.0]], [[2.0, 6.0]]])
    board = board_of(annotations, ["C", "C"], [((0.0, 5.0),), ((2.0, 6.0),)])
    found = official_spans(board).numbers
    # The script takes the span as it is written: 5 of the 11.1 seconds from -0.1 to 11.
    assert found["mIoU"].n == 2 and found["mIoU"].value == pytest.approx(100 * (5 / 11.1 + 1) / 2)
    assert found["mIoP"].value == found["Acc@GQA"].value == 100
    ours = next(it for it in board.grounded if it.rule == "vt_env@spans")
    assert ours.numbers["mIoU"].n == 2 and ours.numbers["mIoU"].value == pytest.approx(100 * (5 / 11 + 1) / 2)


def test_the_key_of_a_task_keeps_a_span_that_begins_before_the_video(tmp_path: Path):
    from vt_env.task_sources import load_tasks

    grounded(tmp_path, [[[-0.1, 11.0]]])
    (tmp_path / "0.mp4").write_bytes(b"not decoded here")
    (task,) = load_tasks(tmp_path)
    assert task.gold is not None and task.gold.evidence == (Interval(0.0, 11.0),)


@pytest.mark.parametrize("name", ["nextgqa", "nextqa"])
def test_nextqa_s_types_are_summed_up_as_its_script_prints_them(tmp_path: Path, name: str):
    types = ["CW", "CH", "TN", "TP", "TC", "DL"]
    rows = [nextqa_row(n, type=kind, grounded=name == "nextgqa") for n, kind in enumerate(types)]
    write_csv(tmp_path / "val.csv", rows)
    if name == "nextgqa":
        locations = [{str(n): [[0, 1]] for n in some} for some in (range(4), range(4, 6))]
        spans = {str(idx): {"duration": 9, "fps": 30, "location": it} for idx, it in enumerate(locations)}
        write_json(tmp_path / "gsub_val.json", spans)
    board = board_of(read_annotations(tmp_path), [*"CACACC"])
    parts = {part: (it.n, it.value) for part, it in board.strict.parts["summary"].items()}
    assert parts == {
        "Why": (1, 100),
        "How": (1, 0),
        "Bef&Aft": (2, 50),
        "When": (1, 100),
        "Loc": (1, 100),
        "Acc_C": (2, 50),
        "Acc_T": (3, pytest.approx(200 / 3)),
        "Acc_D": (1, 100),
    }


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ('```json\n{"result":null}\n```', ("None",)),
        ('```json\n{"result": null}\n``` B', ("null",)),
        ('```json\n{"result":null}\n``` It is B', ("None",)),
        ('```json\n{"other":1}\n``` It is B', ("B",)),
        ('```json\n["B"]\n``` C', ("B", "C")),
        ("```json\n" + "[" * 100_000 + "\n``` B", ("B",)),
        ('```json\n{"result": ["B"]}\n```', ("['B']",)),
    ],
)
def test_cgbench_takes_any_result_of_its_json_block_as_the_answer(text: str, letters: tuple[str, ...]):
    assert RULES["cgbench@json"].extract(text) == letters


def test_cgbench_counts_a_null_result_as_wrong(tmp_path: Path):
    annotations = read_annotations(write_json(tmp_path / "a.json", [cgbench_row(1), cgbench_row(2)]))
    board = board_of(annotations, ['```json\n{"result":null}\n``` B', "B"])
    assert board.official is not None and (board.official.counted, board.official.value) == (2, 50)


@pytest.mark.parametrize(
    ("text", "dev", "test"),
    [
        ("B", "B", "B"),
        ("(B)", "B", ""),
        ("B) a bat", "B", "B"),
        (" B", "", "B"),
        ("B\n", "", "B"),
        ("B )", " ", "B"),
        (")", "", ""),
        ("B.", "", ""),
    ],
)
def test_mlvu_s_two_scripts_read_a_reply_each_in_its_way(text: str, dev: str, test: str):
    assert "".join(RULES["mlvu@prefill"].extract(text)) == dev
    assert "".join(RULES["mlvu_test@test_bench"].extract(text)) == test


def test_mlvu_test_is_scored_by_its_own_script(tmp_path: Path):
    annotations = read_annotations(write_json(tmp_path / "a.json", [mlvu_test_row(n, answer="kind v") for n in (0, 1)]))
    board = board_of(annotations, ["(B)", "B"])
    assert board.official is not None
    assert (board.official.rule, board.official.value, board.strict.value) == ("mlvu_test@test_bench", 50, 100)


@pytest.mark.parametrize(
    ("rows", "text", "letter"),
    [
        ([video_mme_row()], "(B) is wrong, so C", "C"),
        ([cgbench_row(right_answer="E")], "E", "E"),
        ([mlvu_test_row(answer="kind z")], "E", ""),
    ],
)
def test_lmms_eval_s_rule_takes_the_letters_of_each_of_its_tasks(tmp_path: Path, rows: Any, text: str, letter: str):
    annotations = read_annotations(write_json(tmp_path / "a.json", rows))
    board = board_of(annotations, [text], rule="lmms_eval@mcq_extract")
    assert board.official is not None and board.official.rule == "lmms_eval@mcq_extract"
    assert (board.official.counted, board.official.correct) == (1, int(bool(letter)))


DEEP = st.sampled_from(["[" * 3000, '{"a":' * 3000, "(" * 3000, "<answer>" * 300, "\\boxed{" * 300, "9" * 5000])
LONE_SURROGATES = st.text(st.sampled_from(["\ud800", "\udfff", "C", "`", "é"]), max_size=5)


@given(st.lists(st.one_of(DEEP, LONE_SURROGATES, st.text(max_size=9)), max_size=4).map("".join), st.booleans())
def test_every_reply_scores_under_every_rule(text: str, is_fenced: bool):
    reply = f"```json\n{text}\n```" if is_fenced else text
    for rule in RULES.values():
        assert isinstance(rule.extract(reply), tuple)
    strict_status(Reply("t", reply), ("A red car", "A blue bus"))


@pytest.mark.parametrize("calls", [0, 100, 300])
def test_a_nested_reply_scores_wherever_it_is_scored(calls: int):
    # How deep the standard library nests depends on the calls around it.
    def below(depth: int) -> object:
        reply = Reply("t", '{"result": ' + "[" * 970 + "}")
        return below(depth - 1) if depth else strict_status(reply, ("A red car", "A blue bus"))[0]

    assert below(calls) is None


def test_a_lone_surrogate_in_a_reply_is_written_to_the_sample_file(tmp_path: Path):
    annotations = read_annotations(write_json(tmp_path / "a.json", [video_mme_row()]))
    reply = Reply("video_mme/001-1", "C \ud800 é")
    export_jsonl(tmp_path / "samples.jsonl", lmms_eval_samples(annotations, {reply.task_id: reply}, "test"))
    assert "\\ud800" in (tmp_path / "samples.jsonl").read_text(encoding="utf-8")
