"""The list of episodes: what is found, sorted and counted, and journals that grow, are damaged or are replaced."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.finished_runs import episode, write_eval

from experiments.runs.read_run import JOURNAL
from experiments.view.episode_index import EpisodeIndex
from experiments.view.selection import Selection
from vt_env.episode.trajectory import TurnRecord
from vt_env.errors import ConfigError, DataError
from vt_env.jsonl import append_line


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    wrote = (TurnRecord("the cross is blue</think><answer>47</answer>", None, "The episode is over."),)
    return {
        "good": write_eval(tmp_path / "good", "oracle", [True, True, True, False]),
        "bad": write_eval(tmp_path / "bad", "random", [False, True, False, False], turns=wrote),
    }


@pytest.fixture
def index(runs: dict[str, Path]) -> EpisodeIndex:
    index = EpisodeIndex(runs)
    index.refresh()
    return index


def select(index: EpisodeIndex, **filters: str) -> list[tuple[str, str]]:
    return [(it["run"], it["task_id"]) for it in index.select(Selection.read(list(filters.items()))).rows]


def test_every_line_of_every_journal_is_a_row(index: EpisodeIndex):
    page = index.select(Selection())
    assert page.total == len(page.rows) == 8
    assert page.facets["run"] == {"good": 4, "bad": 4}
    assert page.facets["outcome"] == {"right": 4, "wrong": 4}


def test_filters_join_by_and_and_values_of_one_filter_by_or(index: EpisodeIndex):
    assert select(index, run="good", outcome="wrong") == [("good", "task-003")]
    both = Selection.read([("run", "good"), ("run", "bad"), ("outcome", "right")])
    assert index.select(both).total == 4


def test_a_facet_counts_under_all_filters_but_its_own(index: EpisodeIndex):
    facets = index.select(Selection.read([("run", "good"), ("outcome", "wrong")])).facets
    assert facets["run"] == {"good": 1, "bad": 3}
    assert facets["outcome"] == {"right": 3, "wrong": 1}


def test_words_are_found_in_questions_and_replies_the_last_one_by_its_beginning(index: EpisodeIndex):
    assert {run for run, _ in select(index, words="cross bl")} == {"bad"}
    assert select(index, words="cross green") == []
    assert len(select(index, words="what NUMBER")) == 8


@pytest.mark.parametrize(
    "words", ['"', "NOT cross", "a AND", "text:cross", "^cross", "cross*)", "'; DROP TABLE episodes"]
)
def test_words_are_never_operators_of_a_query(index: EpisodeIndex, words: str):
    select(index, words=words)
    assert index.select(Selection()).total == 8


def test_rows_are_sorted_and_split_into_pages(index: EpisodeIndex):
    falling = select(index, sort="-task_id", size="3")
    assert [task for _, task in falling] == ["task-003", "task-003", "task-002"]
    assert select(index, sort="-task_id", size="3", page="1")[0] == ("bad", "task-002")


@pytest.mark.parametrize(
    "pair",
    [("colour", "red"), ("calls_min", "many"), ("calls_min", "nan"), ("sort", "id; --"), ("page", "-1"), ("size", "0")],
)
def test_a_filter_that_does_not_exist_is_one_line(pair: tuple[str, str]):
    with pytest.raises(ConfigError, match=r"allowed|need a"):
        Selection.read([pair])


def test_a_journal_that_grows_is_followed_and_a_torn_line_waits_for_its_rest(
    runs: dict[str, Path], index: EpisodeIndex
):
    journal, line = runs["good"] / JOURNAL, episode(9, 1, True).to_json()
    with journal.open("a") as file:
        file.write(line[:100])
    assert index.refresh() == 0
    assert [run.name for run in index.runs.values() if run.is_torn] == ["good"]
    with journal.open("a") as file:
        file.write(line[100:] + "\n")
    assert index.refresh() == 1
    assert not any(run.is_torn for run in index.runs.values()) and index.read_share() == 1
    assert index.select(Selection()).total == 9


def test_a_damaged_a_foreign_and_a_newer_line_are_rows_that_say_so(runs: dict[str, Path], index: EpisodeIndex):
    append_line(runs["good"] / JOURNAL, "{broken")
    append_line(runs["good"] / JOURNAL, '{"prompt": "of another program", "score": 1}')
    append_line(runs["good"] / JOURNAL, replace(episode(8, 1, True), schema=2).to_json())
    append_line(runs["good"] / JOURNAL, episode(7, 1, True).to_json())
    assert index.refresh() == 4
    damaged = index.select(Selection.read([("outcome", "damaged")])).rows
    said = ("not a trajectory", "not a trajectory", "schema 2")
    assert [text in row["problem"] for text, row in zip(said, damaged, strict=True)] == [True, True, True]


def test_a_replaced_journal_is_read_again(runs: dict[str, Path], index: EpisodeIndex):
    journal = runs["good"] / JOURNAL
    first = index.select(Selection.read([("run", "good")])).rows[0]["id"]
    part = journal.with_name("new")
    part.write_text(episode(5, 1, True).to_json() + "\n")
    part.replace(journal)
    with pytest.raises(DataError, match="replaced"):
        index.line(first)
    index.refresh()
    assert select(index, run="good") == [("good", "task-005")]
    assert index.line(index.select(Selection.read([("run", "good")])).rows[0]["id"])[1].startswith(b"{")
    with pytest.raises(DataError, match="no episode"):
        index.line(first)


def test_a_reply_that_ends_in_half_a_surrogate_is_a_row(runs: dict[str, Path], index: EpisodeIndex):
    half = replace(episode(9, 1, True), question="caf\ud83d", answer="\ud83d")
    append_line(runs["good"] / JOURNAL, half.to_json())
    assert index.refresh() == 1
    assert select(index, words="caf") == [("good", "task-009")]


def test_two_runs_are_paired_by_question_and_attempt(index: EpisodeIndex):
    pairs = index.pairs("good", "bad")
    assert [(it["outcome_a"], it["outcome_b"]) for it in pairs] == [
        ("right", "wrong"),
        ("right", "right"),
        ("right", "wrong"),
        ("wrong", "wrong"),
    ]
