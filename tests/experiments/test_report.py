"""A report repeats what the journals say, in the schema that tools read, and names what was not run."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image
from support.finished_runs import episode, write_eval

from experiments.analysis.build_report import build_report
from experiments.evaluate.eval import EvalRun
from experiments.report.plots import moving_mean
from experiments.report.report import ReportRun, main
from experiments.report.report_page import render_report
from experiments.runs.read_run import METRICS
from experiments.runs.run_dir import open_run
from experiments.view.tags import write_tags
from vt_env.errors import ConfigError


def write_grpo(folder: Path) -> Path:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Config:
        seed: int = 4

    with open_run(folder, "grpo", Config()) as run:
        for step in (1, 2, 2, 3):
            seconds = {"generation": 1.5, "environment": 0.2, "logprobs": 1.0, "update": 2.0, "sync": 0.1}
            terms = {"accuracy": step / 4, "format": 1.0}
            difference = {1: 1e-7, 2: 4e-7, 3: 2e-7}[step]
            run.metric(
                {
                    "step": step,
                    "reward": step / 4,
                    "terms": terms,
                    "logp_difference": difference,
                    "logp_difference_token": 1e-5,
                    "seconds": seconds,
                }
            )
        for step, accuracy in ((0, 0.25), (3, 0.4), (3, 0.5)):
            run.metric({"step": step, "eval": {"accuracy": accuracy, "rollouts": 48 * step, "kl": 0.0123}})
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The report of a folder with four evaluations and a GRPO run."""
    folder = tmp_path_factory.mktemp("runs")
    write_eval(folder / "eval-base", "base", [n % 4 == 0 for n in range(24)])
    write_eval(folder / "eval-sft", "sft", [n % 2 == 0 for n in range(24)])
    write_eval(folder / "eval-oracle", "oracle", [True] * 24)
    write_eval(folder / "eval-grpo", "sft+grpo", [n % 4 != 1 for n in range(24)])
    write_grpo(folder / "grpo")
    main(ReportRun((folder,)))
    return folder


def test_report_json_has_the_schema_that_tools_read(report):
    value = json.loads((report / "report.json").read_text())
    assert value["schema"] == 1 and value["machine"]["cpu"] >= 1 and set(value["wall_s"]) == {"eval", "grpo"}
    row = next(row for row in value["rows"] if row["policy"] == "sft")
    for name in ("n", "videos", "accuracy", "ci95", "calls", "frames", "invalid_rate", "no_answer_rate", "status"):
        assert name in row
    assert (row["n"], row["videos"], row["accuracy"], row["status"]) == (24, 6, 0.5, {"ok": 24})
    assert row["ci95"][0] <= 0.5 <= row["ci95"][1]


def test_rows_stand_in_the_order_of_the_table_and_pairs_compare_what_is_built_on_what(report):
    value = json.loads((report / "report.json").read_text())
    assert [row["policy"] for row in value["rows"]] == ["base", "sft", "sft+grpo", "oracle"]
    assert [(pair["a"], pair["b"]) for pair in value["pairs"]] == [
        ("sft+grpo", "sft"),
        ("sft+grpo", "base"),
        ("sft", "base"),
    ]
    assert value["pairs"][0]["difference"] == pytest.approx(0.25)
    assert 0 <= value["pairs"][0]["p_mcnemar"] <= 1


def test_the_log_of_grpo_counts_a_repeated_step_once(report):
    grpo = json.loads((report / "report.json").read_text())["grpo"]
    assert (grpo["steps"], grpo["reward"], grpo["logp_difference_max"]) == (3, [0.25, 0.5, 0.75], 4e-7)
    assert grpo["logp_difference_token_max"] == 1e-5
    assert grpo["seconds"]["update"] == [2.0, 2.0, 2.0]


def test_evaluations_during_training_are_in_the_report_and_in_the_series(report):
    grpo = json.loads((report / "report.json").read_text())["grpo"]
    assert [(it["step"], it["rollouts"], it["accuracy"]) for it in grpo["evaluations"]] == [(0, 0, 0.25), (3, 144, 0.5)]
    assert "| 3 | 144 | 0.5 | - | - | - | - | 0.0123 |" in (report / "report.md").read_text()
    plots = {it["title"]: it for it in json.loads((report / "plots" / "series.json").read_text())}
    assert plots["eval.accuracy"]["series"][0]["y"] == [0.25, 0.5] and plots["eval.kl"]["is_main"]


def test_the_page_names_seeds_machine_and_what_was_not_run(report):
    page = (report / "report.md").read_text()
    assert "| sft | 0.50 |" in page and "CPU cores" in page and "seed 4" in page
    assert "not run: random, constant, blind, uniform, retrieval-only, scripted, subtitles" in page


def test_plots_are_pictures(report):
    for name in ("accuracy", "families", "reward"):
        with Image.open(report / "plots" / f"{name}.png") as picture:
            assert picture.width > 500 and len(picture.convert("L").getcolors()) > 20


def test_the_page_says_how_episodes_ended_what_was_done_and_what_it_took(report):
    page = (report / "report.md").read_text()
    for title in ("Status of episodes", "Tool use", "Costs", "By question family", "LaTeX rows"):
        assert f"\n## {title}\n" in page
    assert "Several attempts" not in page and "By video length" not in page
    assert "sft & 50.0 & " in page
    row = json.loads((report / "report.json").read_text())["rows"][0]
    assert row["behaviour"]["forced_answer_rate"] == 0 and row["spending"]["tokens"] == {}


def test_p_values_of_several_pairs_are_adjusted(report):
    pairs = json.loads((report / "report.json").read_text())["pairs"]
    assert all(pair["p_holm"] >= pair["p_mcnemar"] for pair in pairs)


def test_two_runs_of_one_policy_are_told_apart_by_their_folders(tmp_path):
    write_eval(tmp_path / "a", "sft", [True] * 6)
    write_eval(tmp_path / "b", "sft", [False] * 6)
    main(ReportRun((tmp_path / "a", tmp_path / "b"), out=tmp_path / "both"))
    rows = json.loads((tmp_path / "both" / "report.json").read_text())["rows"]
    assert [(row["policy"], row["accuracy"]) for row in rows] == [("sft (a)", 1.0), ("sft (b)", 0.0)]


def test_a_run_without_episodes_says_so(tmp_path):
    write_eval(tmp_path / "a", "sft", [])
    main(ReportRun((tmp_path / "a",)))
    assert "No policy was evaluated." in (tmp_path / "a" / "report.md").read_text()
    assert json.loads((tmp_path / "a" / "report.json").read_text())["grpo"] is None


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no run directory there"):
        main(ReportRun((tmp_path,)))


def test_the_report_of_several_runs_has_a_place_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_eval(tmp_path / "a", "sft", [True] * 6)
    write_eval(tmp_path / "b", "base", [False] * 6)
    main(ReportRun((tmp_path / "a", tmp_path / "b")))
    rows = json.loads((tmp_path / "runs" / "report" / "report.json").read_text())["rows"]
    assert [row["policy"] for row in rows] == ["base", "sft"]


def test_a_report_of_a_killed_run_counts_its_finished_lines(tmp_path):
    write_eval(tmp_path, "random", [True, False])
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"event": "opened", "elaps')
    main(ReportRun((tmp_path,)))
    assert json.loads((tmp_path / "report.json").read_text())["rows"][0]["n"] == 2


def test_names_of_families_may_hold_what_formulas_and_tables_are_made_of(tmp_path):
    with open_run(tmp_path, "eval", EvalRun(agent="random", out=tmp_path)) as run:
        for number, family in enumerate(["$\\x$", "a|b", "<img src=x>", "$", "\ud83d", "# one\ntwo", "\x1b[2J"]):
            run.journal(asdict(episode(number, number, True, family=family)))
    assert main(ReportRun((tmp_path,))) in (None, 0)
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    table = page[page.index("## By question family") :].split("\n\n")[1].splitlines()
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert "<img src" not in page and "\n# one" not in page and "\x1b" not in page


def test_a_moving_mean_looks_back_only():
    assert moving_mean([1, 2, 3, 4], 2) == [1, 1.5, 2.5, 3.5]


def test_the_cost_of_training_is_reported(tmp_path):
    with open_run(tmp_path / "sft", "sft", ReportRun(())) as run:
        run.metric({"step": 1, "trained_tokens": 700})
        run.metric({"step": 2, "trained_tokens": 500})
    report = build_report([tmp_path])
    assert report.to_json()["training"]["sft (sft)"]["trained_tokens"] == 1200
    assert "| sft (sft) | 0 | 0 | 1200 |" in render_report(report)


def test_a_report_of_nothing_asks_for_a_path():
    with pytest.raises(ConfigError, match="no path given: name run directories"):
        main(ReportRun(()))


def test_tags_of_readers_are_counted_by_policy(tmp_path):
    run = write_eval(tmp_path / "eval", "random", [True, False, False])
    for sample, tags in enumerate((["misread"], ["misread", "gave-up"])):
        write_tags(run, (f"task-{sample:03d}", 0), tags)
    write_tags(run, ("a task that was not played", 0), ["gave-up"])
    report = build_report([run])
    assert report.to_json()["tags"] == {"random": {"misread": 2, "gave-up": 1}}
    assert "| random | 2 | 1 |" in render_report(report)
