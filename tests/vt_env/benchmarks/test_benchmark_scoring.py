"""Answer extraction: every official rule reproduces its source, and the strict rule never guesses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.benchmark_files import (
    cgbench_row,
    longvideobench_row,
    lvbench_question,
    lvbench_video,
    mlvu_row,
    v2_row,
    video_mme_row,
    write_json,
    write_jsonl,
)

from vt_env.benchmarks.readers.registry import read_annotations
from vt_env.benchmarks.readers.rows import Annotations, Group, Row
from vt_env.benchmarks.scoring.official_rules import RULES
from vt_env.benchmarks.scoring.replies import Ended, Reply, Status, replies_of, reply_of, strict_status
from vt_env.benchmarks.scoring.scoreboard import score
from vt_env.benchmarks.scoring.scoreboard_text import plain
from vt_env.benchmarks.scoring.verdicts import guess, macro, micro, official_verdict, strict_verdict
from vt_env.benchmarks.scoring.video_mme_groups import UNPARSED, group_score, grouped, grouped_standalone
from vt_env.budget.remaining import Remaining
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError, DataError
from vt_env.types import StopReason

OPTIONS = ("A blue bus", "A green van", "A red car", "A dog")
RULE_NAMES = (
    "video_mme@2024",
    "video_mme@parse_answer",
    "lmms_eval@mcq_extract",
    "v2@standalone",
    "lvbench@polish",
    "mlvu@prefill",
    "mlvu_test@test_bench",
    "cgbench@json",
    "longvideobench@official",
)
# Columns as above, then the strict rule. Letters that are no option stand as the source returns them.
TABLE: list[tuple[str, tuple[str, ...]]] = [
    ("C", ("C", "C", "C", "C", "C", "C", "C", "C", "C", "C")),
    ("(C)", ("C", "C", "C", "C", "C", "C", "", "C", "C", "C")),
    ("C. A red car", ("C", "C", "C", "C", "C", "", "", "CA", "C", "C")),
    ("E", ("", "", "", "E", "E", "E", "E", "E", "E", "")),
    ("The answer is C.", ("C", "C", "C", "C", "T", "", "", "C", "C", "")),
    ("Answer: C", ("A", "C", "C", "C", "A", "", "", "C", "A", "C")),
    ("**C**", ("C", "C", "C", "C", "*", "", "", "C", "C", "C")),
    ("Based on the video, the answer is C.", ("B", "B", "C", "B", "B", "", "", "C", "B", "")),
    ("The answer is C. Clearly, B is a distractor.", ("C", "C", "B", "C", "T", "", "", "CB", "C", "")),
    ("The correct answer is (C) because A and D never appear.", ("C", "C", "D", "C", "C", "C", "", "CAD", "C", "")),
    ("<think>At first B seems right</think><answer>C</answer>", ("A", "A", "B", "A", "<", "", "", "BC", "A", "C")),
    ("I cannot determine the answer.", ("", "", "", "", "I", "", "", "", "", "")),
    ("Because the man leaves, I choose C", ("B", "B", "C", "B", "B", "", "", "C", "B", "")),
    ("Final Answer: C", ("A", "C", "C", "C", "F", "", "", "C", "A", "C")),
    ("Dogs are visible; Final Answer: C", ("D", "D", "C", "D", "D", "", "", "C", "D", "C")),
    ("c", ("", "", "", "", "c", "c", "c", "", "", "C")),
    ("A man opens the door", ("A", "A", "A", "A", "A", "", "", "A", "A", "")),
]
REMAINING = Remaining(0, 0)


def annotations_of(path: Path, rows: Any) -> Annotations:
    return read_annotations(write_json(path / "a.json", rows))


def row_of(path: Path, **changes: Any) -> Row:
    options = [f"{letter}. {text}" for letter, text in zip("ABCD", OPTIONS, strict=True)]
    return annotations_of(path, [video_mme_row(options=options, **changes)]).rows[0]


def constant(annotations: Annotations, text: str) -> dict[str, Reply]:
    return {row.task_id: Reply(row.task_id, text) for row in annotations.rows}


@pytest.mark.parametrize(("text", "letters"), TABLE)
def test_every_rule_takes_from_a_reply_what_its_source_takes(text: str, letters: tuple[str, ...]):
    official = tuple("".join(RULES[name].extract(text)) for name in RULE_NAMES)
    idx, status = strict_status(Reply("t", text), OPTIONS)
    assert (*official, "" if idx is None else "ABCD"[idx]) == letters
    assert (status is Status.OK) == (idx is not None)


def test_the_table_holds_every_rule():
    assert set(RULE_NAMES) == set(RULES)
    assert {len(letters) for _, letters in TABLE} == {len(RULES) + 1}


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ('```json\n{"result": "C"}\n```', ("C",)),
        ('A thought. ```json {"result": C} ```', ("C",)),
        ('```json\n{"answer": "C"}\n```', ("C",)),
        ('```json\n{"result": 3}\n```', ("3",)),
        ("```json\n{broken\n``` B or D", ("B", "D")),
    ],
)
def test_cgbench_prefers_the_result_of_a_json_block(text: str, letters: tuple[str, ...]):
    assert RULES["cgbench@json"].extract(text) == letters


@given(st.text(max_size=60), st.sampled_from(sorted(RULES)))
def test_no_rule_fails_on_any_text(text: str, name: str):
    assert isinstance(RULES[name].extract(text), tuple)
    idx, status = strict_status(Reply("t", text), OPTIONS)
    assert (status is Status.OK) == (idx is not None)


@pytest.mark.parametrize(
    ("text", "ended", "status"),
    [
        ("C", Ended.STOP, Status.OK),
        ("A red car.", Ended.STOP, Status.OK),
        ("C", Ended.LENGTH, Status.OK),
        ("[C]", Ended.STOP, Status.OK),
        (r"\boxed{C}", Ended.STOP, Status.OK),
        (r"$\boxed{C}$", Ended.STOP, Status.OK),
        ('"C"', Ended.STOP, Status.OK),
        ("'C.'", Ended.STOP, Status.OK),
        ("Answer: C", Ended.STOP, Status.OK),
        ("B seems likely, but look:\n**Answer:** C", Ended.STOP, Status.OK),
        ('```json\n{"result": "C"}\n```', Ended.STOP, Status.OK),
        ('{"result": "A red car"}', Ended.STOP, Status.OK),
        ('{"result": "C", "or": "B"}', Ended.STOP, Status.UNPARSED),
        ('{"result": ["C"]}', Ended.STOP, Status.UNPARSED),
        ("Answer: C or B", Ended.STOP, Status.UNPARSED),
        ("My answer: C", Ended.STOP, Status.UNPARSED),
        ("reasoning without an opening tag</think>C", Ended.STOP, Status.OK),
        ("<answer>B</answer> no: <answer>**(C)**</answer>", Ended.STOP, Status.OK),
        ("final answer: A\nwait\nFinal answer: C", Ended.STOP, Status.OK),
        ("<think>B?</think><action>output answer: C</action>", Ended.STOP, Status.OK),
        ("<think>C is it", Ended.LENGTH, Status.TRUNCATED),
        ("<think>C is it", Ended.STOP, Status.UNPARSED),
        ("", Ended.LIMIT, Status.LIMIT),
        ("", Ended.STOP, Status.UNPARSED),
        ("[API error: C]", Ended.ERROR, Status.ERROR),
        ("C", Ended.ERROR, Status.ERROR),
        ("C. A blue bus", Ended.STOP, Status.AMBIGUOUS),
        ("I'm sorry, I can't help with that.", Ended.STOP, Status.REFUSED),
        ("It is impossible to tell.", Ended.STOP, Status.REFUSED),
    ],
)
def test_a_reply_has_a_status_and_only_ok_has_an_option(text: str, ended: Ended, status: Status):
    assert strict_status(Reply("t", text, ended), OPTIONS) == (2 if status is Status.OK else None, status)


def test_an_option_in_quotes_is_itself():
    options = ('"Hello"', "$5$", "*", "Hello there")
    read = [strict_status(Reply("t", text), options)[0] for text in (*options, "Hello", '"Hello there"', "**")]
    assert read == [0, 1, 2, 3, None, 3, None]


def test_episodes_become_replies_with_how_they_ended():
    episode = Trajectory("t", "v", "q?", OPTIONS, "", "frames", (), REMAINING, StopReason.ANSWERED, answer="C")
    assert reply_of(episode) == Reply("t", "C")
    assert reply_of(replace(episode, stop=StopReason.OUT_OF_CALLS, answer=None)) == Reply("t", "", Ended.LIMIT)
    assert reply_of(replace(episode, invalid="no video")) == Reply("t", "", Ended.ERROR)
    assert reply_of(replace(episode, stop=None, answer=None)).ended is Ended.ERROR
    with pytest.raises(DataError, match="two attempts"):
        replies_of([episode, episode])


def test_unread_replies_leave_the_official_denominator_of_video_mme_and_not_the_strict_one(tmp_path: Path):
    annotations = annotations_of(tmp_path, [video_mme_row(number) for number in range(1, 11)])
    replies = constant(annotations, "C")
    replies[annotations.rows[0].task_id] = Reply(annotations.rows[0].task_id, "no idea")
    board = score(annotations, replies)
    assert board.official is not None
    assert (board.official.value, board.official.counted) == (100, 9)
    assert (board.strict.value, board.strict.counted) == (90, 10)
    assert board.strict.status == {Status.OK: 9, Status.UNPARSED: 1}


def test_a_board_over_one_video_has_no_interval_and_says_so(tmp_path: Path):
    annotations = annotations_of(tmp_path, [video_mme_row(1), video_mme_row(2), video_mme_row(4)])
    replies = constant(annotations, "C")
    assert score(annotations, replies).strict.ci95 == (100, 100)
    board = score(annotations, {task_id: it for task_id, it in replies.items() if not task_id.endswith("/002-1")})
    assert board.strict.ci95 is None and "No intervals: all replies are about one video." in plain(board)


def test_scores_that_differ_by_more_than_two_points_are_noted(tmp_path: Path):
    annotations = annotations_of(tmp_path, [video_mme_row(number) for number in range(1, 11)])
    replies = constant(annotations, "C")
    assert not score(annotations, replies).notes
    replies |= {it.task_id: Reply(it.task_id, "!!!!") for it in annotations.rows[4:]}
    (note,) = score(annotations, replies).notes
    assert note.startswith("video_mme@parse_answer gives 100.0 of 4 replies, vt_env@strict gives 40.0 of 10 replies: ")
    assert note in plain(score(annotations, replies))


def test_errors_count_under_no_rule_and_show_in_the_name(tmp_path: Path):
    annotations = annotations_of(tmp_path, [video_mme_row(1), video_mme_row(2)])
    replies = constant(annotations, "C")
    replies["video_mme/001-2"] = Reply("video_mme/001-2", "[API error]", Ended.ERROR)
    board = score(annotations, replies)
    assert board.official is not None and board.official.counted == board.strict.counted == 1
    assert (board.strict.name, board.complete) == ("Overall[1/2700]", False)
    assert "Overall[1/2700]" in plain(board) and "error 1" in plain(board)


def test_the_official_name_stands_only_over_a_complete_set():
    annotations = read_annotations(Path(__file__).parents[2] / "fixtures" / "nextgqa")
    letters = {row.task_id: "ABCDE"[row.answer_idx or 0] for row in annotations.rows}
    oracle = {task_id: Reply(task_id, letter) for task_id, letter in letters.items()}
    board = score(annotations, oracle)
    assert (board.strict.name, board.strict.value, board.complete, board.official) == ("Acc@QA", 100, True, None)
    always_a = score(annotations, constant(annotations, "A")).strict
    assert always_a.correct == sum(letter == "A" for letter in letters.values())
    assert score(annotations, constant(annotations, "?")).strict.value == 0
    oracle.popitem()
    assert score(annotations, oracle).strict.name == "Acc@QA[3357/3358]"


def test_random_answers_are_near_chance_on_a_real_set():
    annotations = read_annotations(Path(__file__).parents[2] / "fixtures" / "nextgqa")
    rng = np.random.default_rng(0)
    replies = {row.task_id: Reply(row.task_id, "ABCDE"[rng.integers(5)]) for row in annotations.rows}
    value = score(annotations, replies).strict.value
    # Three standard errors of 3358 draws at 0.2.
    assert value is not None and abs(value - 20) < 100 * 3 * (0.2 * 0.8 / 3358) ** 0.5


def test_replies_of_another_benchmark_are_refused(tmp_path: Path):
    annotations = annotations_of(tmp_path, [video_mme_row()])
    with pytest.raises(ConfigError, match="belong to no question of video_mme"):
        score(annotations, {"lvbench/1": Reply("lvbench/1", "A")})


def test_mlvu_averages_over_tasks_and_counts_bad_gold_as_wrong_only_officially(tmp_path: Path):
    write_json(tmp_path / "2_needle.json", [mlvu_row(), mlvu_row(2), mlvu_row(3), mlvu_row(4, answer="A whale")])
    write_json(tmp_path / "4_count.json", [mlvu_row(9, question_type="count", answer="A bat")])
    annotations = read_annotations(tmp_path)
    board = score(annotations, constant(annotations, "C"))
    assert board.official is not None
    assert (board.strict.value, board.strict.counted) == (50, 4)
    assert (board.official.value, board.official.counted) == ((75 + 0) / 2, 5)
    verdicts = [strict_verdict(row, Reply(row.task_id, "C")) for row in annotations.rows]
    assert (micro(verdicts), macro("task")(verdicts)) == (75, 50)


def test_a_question_with_several_abilities_counts_in_each_and_once_overall(tmp_path: Path):
    questions = [lvbench_question(1), lvbench_question(2, question_type=["summarization"], answer="A")]
    annotations = read_annotations(write_jsonl(tmp_path / "a.jsonl", [lvbench_video(questions=questions)]))
    board = score(annotations, constant(annotations, "B"))
    parts = board.strict.parts["ability"]
    assert {name: (part.n, part.value) for name, part in parts.items()} == {
        "entity recognition": (1, 100),
        "key information retrieval": (1, 100),
        "summarization": (1, 0),
    }
    assert (board.strict.counted, board.strict.value) == (2, 50)


def test_cgbench_credits_the_right_letter_among_several(tmp_path: Path):
    (row,) = annotations_of(tmp_path, [cgbench_row()]).rows
    verdict = official_verdict(row, Reply(row.task_id, "C or B"), RULES["cgbench@json"])
    assert (verdict.correct, verdict.status) == (True, Status.AMBIGUOUS)
    assert not strict_verdict(row, Reply(row.task_id, "C or B")).correct


def test_guesses_are_counted_and_depend_on_seed_and_task_alone(tmp_path: Path):
    annotations = annotations_of(tmp_path, [longvideobench_row(number) for number in range(200)])
    replies = constant(annotations, "no idea")
    board = score(annotations, replies, seed=1)
    assert board.official is not None and board.official.guessed == 200
    assert board.strict.correct == board.strict.status.get(Status.OK, 0) == 0
    assert 20 < board.official.correct < 80
    shuffled = replace(annotations, rows=annotations.rows[::-1])
    assert score(shuffled, dict(reversed(replies.items())), seed=1).official == board.official
    drawn = [guess(row, 1) for row in annotations.rows]
    assert set(drawn) == {0, 1, 2, 3} and drawn != [guess(row, 2) for row in annotations.rows]


def test_no_order_of_rows_changes_a_strict_score(tmp_path: Path):
    rows = [v2_row(number, answer="ABCDEFGH"[number % 8]) for number in range(1, 33)]
    annotations = annotations_of(tmp_path, rows)
    shuffled = replace(annotations, rows=tuple(np.random.default_rng(0).permutation(np.array(annotations.rows))))
    replies = constant(annotations, "B")
    assert score(annotations, replies).strict == score(shuffled, replies).strict


RELEVANCE, CHAIN = Group("relevance", "None"), Group("logic", "[1, 2, 3, 4]")
EITHER_MIDDLE, EITHER_FIRST = Group("logic", "[1, [2, 3], 4]"), Group("logic", "[[1, 2], 3, 4]")


@pytest.mark.parametrize(
    ("scores", "group", "value"),
    [
        ([0, 0, 0, 0], RELEVANCE, 0),
        ([0, 1, 0, 0], RELEVANCE, 6.25),
        ([0, 1, 0, 1], RELEVANCE, 25),
        ([1, 1, 0, 1], RELEVANCE, 56.25),
        ([1, 1, 1, 1], RELEVANCE, 100),
        ([1, 1, 1, UNPARSED], RELEVANCE, 25),
        ([UNPARSED] * 4, RELEVANCE, 0),
        ([1, 1, 0, 1], CHAIN, 25),
        ([0, 1, 1, 1], CHAIN, 0),
        ([UNPARSED] * 4, CHAIN, 100),
        ([1, 0, 0, 1], EITHER_MIDDLE, 100 / 12),
        ([1, 0, 1, 1], EITHER_MIDDLE, 400 / 12),
        ([1, 1, 1, 0], EITHER_MIDDLE, 700 / 12),
        ([0, 1, 1, 1], EITHER_FIRST, 10),
        ([1, 1, 0, 0], EITHER_FIRST, 20),
        ([1, 1, 1, 0], EITHER_FIRST, 50),
    ],
)
def test_a_group_pays_for_chains(scores: list[int], group: Group, value: float):
    assert group_score(scores, group) == pytest.approx(value)


def test_chance_on_groups_of_eight_options_is_what_was_computed_elsewhere():
    def expected(group: Group) -> float:
        total = 0.0
        for mask in range(16):
            scores = [mask >> bit & 1 for bit in range(4)]
            total += group_score(scores, group) * (1 / 8) ** sum(scores) * (7 / 8) ** (4 - sum(scores))
        return total

    chances = [round(expected(group), 2) for group in (RELEVANCE, CHAIN, EITHER_MIDDLE, EITHER_FIRST)]
    assert chances == [4.3, 1.15, 1.83, 2.57]


def test_unread_logic_groups_are_right_in_the_standalone_script_and_wrong_here(tmp_path: Path):
    annotations = annotations_of(tmp_path, [v2_row(number, group_type="logic") for number in range(1, 5)])
    board = score(annotations, constant(annotations, "?"))
    assert board.official is not None
    assert (board.official.value, board.strict.value) == (100, 0)
    verdicts = [strict_verdict(row, Reply(row.task_id, "F")) for row in annotations.rows]
    assert (grouped(verdicts), grouped(verdicts[:3]), grouped_standalone(verdicts[:3])) == (100, None, None)


def test_a_chain_follows_the_question_ids_and_not_the_order_of_rows(tmp_path: Path):
    annotations = annotations_of(tmp_path, [v2_row(number, group_type="logic") for number in range(1, 5)])
    pairs = zip(annotations.rows, "FFAA", strict=True)
    verdicts = [strict_verdict(row, Reply(row.task_id, text)) for row, text in pairs]
    assert grouped(verdicts) == grouped(verdicts[::-1]) == 25
    assert grouped_standalone(verdicts[::-1]) == 0


def test_lmms_eval_ranks_a_letter_at_the_end_above_one_in_brackets():
    assert RULES["lmms_eval@mcq_extract"].extract("(B) is wrong, so C") == ("C",)
    assert RULES["lmms_eval@mcq_extract"].extract("C is right, (B) is wrong") == ("C",)


def test_dropping_a_video_changes_only_its_group(tmp_path: Path):
    annotations = annotations_of(tmp_path, [v2_row(number) for number in range(1, 9)])
    replies = {row.task_id: Reply(row.task_id, "F" if row.video_id == "001" else "A") for row in annotations.rows}
    assert score(annotations, replies).strict.value == 50
    kept = {task_id: reply for task_id, reply in replies.items() if "/001-" in task_id}
    assert score(annotations, kept).strict.value == 100


def test_option_texts_count_strictly_and_mislead_the_first_capital(tmp_path: Path):
    row = row_of(tmp_path)
    reply = Reply(row.task_id, "A red car")
    assert strict_verdict(row, reply).correct
    assert not official_verdict(row, reply, RULES["video_mme@2024"]).correct
