"""Two runs are compared question by question or refused in one line; spending is drawn from journals alone."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from PIL import Image
from support.finished_runs import ANSWER_TURN, episode, write_eval

from experiments.analysis.budget_curves import UNITS, Point, area_over_log, curves_of, within_curve
from experiments.analysis.episode_facts import facts_of, read_facts
from experiments.analysis.paired_comparison import compare_runs
from experiments.cli import run
from experiments.runs.read_run import JOURNAL, PROVENANCE, read_json
from experiments.runs.run_dir import write_json
from vt_env.episode.trajectory import CallRecord, FrameRef, ReplyRecord, TurnRecord
from vt_env.errors import ConfigError, DataError

LOOK = TurnRecord("look", CallRecord("frame_zoom", {}), "", frames=(FrameRef("v", 1.0, None, (112, 112)),))


def facts(outcomes: str, **changes):
    return [
        facts_of(episode(n, n % 4, it == "1", family="even" if n % 2 == 0 else "odd", **changes))
        for n, it in enumerate(outcomes)
    ]


def spending(looks: int, right: bool, n: int = 0):
    return facts_of(episode(n, n, right, turns=(*[LOOK] * looks, ANSWER_TURN)))


def with_hash(folder: Path, value: str) -> Path:
    provenance = read_json(folder / PROVENANCE)
    write_json(folder / PROVENANCE, {**provenance, "origins": {"x": {"annotation_hash": value}}})
    return folder


def test_discordant_questions_are_named_by_kind():
    found = compare_runs(facts("110011"), facts("100110"), ("a", "b"))
    assert (found.overall.n, found.overall.both_right, found.overall.both_wrong) == (6, 2, 1)
    assert found.overall.only_a == ("task-001", "task-005") and found.overall.only_b == ("task-003",)
    assert (found.families["even"].only_a, found.families["odd"].only_a) == ((), ("task-001", "task-005"))
    assert found.overall.difference.mean == pytest.approx(1 / 6)
    assert found.overall.p_mcnemar == 1.0


def test_what_was_gained_stands_beside_what_it_took():
    a = [spending(3, True, 0), spending(1, True, 1), spending(2, False, 2)]
    b = [spending(1, False, 0), spending(1, True, 1), spending(2, False, 2)]
    found = compare_runs(a, b, ("a", "b"))
    assert found.spending["frames"].mean == pytest.approx(2 / 3)
    assert found.spending_by_outcome["only a"] == {"calls": 2.0, "frames": 2.0}
    assert found.spending_by_outcome["both right"] == {"calls": 0.0, "frames": 0.0}
    assert found.spending_by_outcome["only b"] == {}
    assert "tokens read" not in found.spending


def test_episodes_without_a_partner_are_counted_and_left_out():
    found = compare_runs(facts("1111"), facts("11"), ("a", "b"))
    assert (found.overall.n, found.left_out_a, found.left_out_b) == (2, 2, 0)


def test_an_id_with_another_question_is_refused():
    other = facts("11", question="Another question?")
    with pytest.raises(ConfigError, match="2 tasks, first 'task-000', have another question"):
        compare_runs(facts("11"), other, ("a", "b"))


def test_the_command_prints_and_writes_the_comparison(tmp_path, capsys):
    a = write_eval(tmp_path / "a", "sft", [n % 2 == 0 for n in range(24)])
    b = write_eval(tmp_path / "b", "base", [n % 4 == 0 for n in range(24)])
    assert run(["compare", str(a), str(b), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "a - b = +0.250" in text and "needle, only a right: task-002" in text
    value = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert (value["overall"]["n"], value["overall"]["difference"]["mean"]) == (24, 0.25)
    assert (tmp_path / "out" / "compare.md").read_text().count("![") == 1
    with Image.open(tmp_path / "out" / "plots" / "compare.png") as picture:
        assert picture.width > 500
    assert {path.name for path in a.iterdir()} == {"config.json", "provenance.json", "journal.jsonl", "metrics.jsonl"}


def test_runs_on_other_tasks_or_annotations_are_refused_in_one_line(tmp_path, capsys):
    a = with_hash(write_eval(tmp_path / "a", "sft", [True]), "one")
    b = with_hash(write_eval(tmp_path / "b", "base", [True]), "other")
    c = write_eval(tmp_path / "c", "base", [True], tasks="world/needle")
    d = write_eval(tmp_path / "d", "base", [True], split="val")
    for other, message in (
        (b, "has annotation hash one"),
        (c, "compare runs on the same tasks"),
        (d, "has split='val'"),
        (tmp_path / "nowhere", "is this a run directory?"),
    ):
        assert run(["compare", str(a), str(other)]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert run(["compare", str(a), str(b), "--shared"]) == 0
    spelt = with_hash(write_eval(tmp_path / "spelt", "base", [True], tasks="./world"), "one")
    assert run(["compare", str(a), str(spelt)]) == 0


def test_within_a_budget_is_right_what_did_not_go_beyond():
    runs = [spending(0, True, 0), spending(1, True, 1), spending(1, False, 2), spending(4, True, 3)]
    points = within_curve(runs, UNITS["frames"])
    assert [(it.spent, it.accuracy) for it in points] == [(0, 0.25), (1, 0.5), (4, 0.75)]
    (curve,) = curves_of({"sft": {"r": runs}}, "frames")
    assert (curve.enough, curve.area, curve.runs[0].spent) == (4, None, 1.5)
    assert curves_of({"sft": {"r": runs}}, "tokens") == []


def test_several_budgets_make_one_line_and_an_area_over_the_logarithm():
    small, large = [spending(1, False, n) for n in range(4)], [spending(4, True, n) for n in range(4)]
    (curve,) = curves_of({"sft": {"large": large, "small": small}}, "frames")
    assert [(it.label, it.spent, it.accuracy) for it in curve.runs] == [("small", 1, 0), ("large", 4, 1)]
    assert curve.area == 0.5 and curve.within[-1].accuracy == 1
    points = [Point(at, accuracy, (0, 1), 1) for at, accuracy in ((0, 0.1), (1, 0.2), (2, 0.4), (4, 0.6))]
    assert area_over_log(points) == pytest.approx((0.3 + 0.5) / 2)


def test_the_budget_command_draws_frames_calls_and_tokens(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reply = ReplyRecord(prompt_tokens=100, completion_tokens=5)
    turns = (LOOK, replace(ANSWER_TURN, reply=reply))
    a = write_eval(tmp_path / "a", "sft", [True, False] * 6, turns=turns)
    assert run(["budget", str(a)]) == 0
    assert "| sft | a | 105.0 | 0.50 |" in capsys.readouterr().out
    assert {path.name for path in (a / "plots").iterdir()} == {
        "budget_frames.png",
        "budget_calls.png",
        "budget_tokens.png",
    }
    b = write_eval(tmp_path / "b", "base", [True] * 6)
    for flags, folder in (((), "runs/budget"), (("--out", "out"), "out")):
        assert run(["budget", str(a), str(b), *flags]) == 0
        assert json.loads((tmp_path / folder / "budget.json").read_text())["frames"][0]["policy"] == "sft"


def test_a_journal_cut_in_half_loses_its_torn_line_and_nothing_else(tmp_path):
    folder = write_eval(tmp_path, "sft", [True, False, True])
    journal = folder / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-40])
    assert [it.task_id for it in read_facts(folder)] == ["task-000", "task-001"]
    assert run(["report", str(folder)]) == 0


def test_no_attempt_counts_twice_and_no_damaged_line_is_passed_over(tmp_path, capsys):
    folder = write_eval(tmp_path, "sft", [True, False])
    lines = (folder / JOURNAL).read_text().splitlines(keepends=True)
    (folder / JOURNAL).write_text("".join([*lines, lines[0]]))
    with pytest.raises(DataError, match=r"journal\.jsonl:3: task-000 sample 0 repeats line 1"):
        read_facts(folder)
    assert run(["report", str(folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    again = json.dumps(asdict(episode(0, 0, True, sample=1))) + "\n"
    (folder / JOURNAL).write_text("".join([*lines, again]))
    assert len(read_facts(folder)) == 3
    (folder / JOURNAL).write_text("".join([lines[0], '{"schema": 1}\n', lines[1]]))
    with pytest.raises(DataError, match=r"journal\.jsonl:2: damaged trajectory"):
        read_facts(folder)
