"""Controls are named wherever a run is read, so that nobody takes their results for results."""

import json

from support.finished_runs import write_eval

from experiments.analysis.build_report import build_report
from experiments.analysis.load_runs import load_run
from experiments.report.report import ReportRun, main
from experiments.runs.read_run import CONFIG, read_json
from experiments.runs.run_dir import write_json
from experiments.settings.controls import (
    SHUFFLED_FRAMES,
    SHUFFLED_REWARDS,
    controls_record,
    model_controls,
    named_as_control,
    save_controls,
)
from experiments.view.viewer import Viewer


def as_control(folder, *controls):
    write_json(folder / CONFIG, {**read_json(folder / CONFIG), **controls_record(controls)})
    return folder


def test_a_model_says_what_it_is_a_control_of(tmp_path):
    save_controls([SHUFFLED_REWARDS], tmp_path)
    assert model_controls(str(tmp_path)) == [SHUFFLED_REWARDS]
    assert model_controls(None) == model_controls("org/name") == model_controls(str(tmp_path / "other")) == []
    (tmp_path / "other").mkdir()
    save_controls([], tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


def test_names_of_runs_that_are_no_control_stay_what_they_are():
    assert named_as_control("sft", []) == "sft" and controls_record([]) == {}
    assert named_as_control("sft", [SHUFFLED_FRAMES]) == "sft (control: shuffled frames)"


def test_a_report_and_the_viewer_name_controls_and_compare_no_baseline_with_them(tmp_path):
    write_eval(tmp_path / "base", "base", [n % 4 == 0 for n in range(24)])
    write_eval(tmp_path / "sft", "sft", [n % 2 == 0 for n in range(24)])
    as_control(write_eval(tmp_path / "shuffled", "sft", [n % 4 == 1 for n in range(24)]), SHUFFLED_FRAMES)
    main(ReportRun((tmp_path,)))
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["policy"] for row in report["rows"]] == ["base", "sft", "sft (control: shuffled frames)"]
    assert [(pair["a"], pair["b"]) for pair in report["pairs"]] == [("sft", "base")]
    page = (tmp_path / "report.md").read_text()
    assert "| sft (control: shuffled frames) |" in page
    assert "* `shuffled`: sft on world/test (control: shuffled frames)" in page
    assert load_run(tmp_path / "shuffled").name == "sft (control: shuffled frames)"
    runs = Viewer({path.name: path for path in (tmp_path / "sft", tmp_path / "shuffled")}).describe_runs()["runs"]
    assert [it["agent"] for it in runs] == ["sft", "sft (control: shuffled frames)"]


def test_a_training_on_shuffled_rewards_is_no_grpo_of_the_report(tmp_path):
    for name, controls in (("grpo", ()), ("shuffled", (SHUFFLED_REWARDS,))):
        folder = write_eval(tmp_path / name, "sft", [])
        write_json(folder / CONFIG, {"run": "grpo", "seed": 0, **controls_record(controls)})
    report = build_report([tmp_path])
    assert set(report.training) == {"grpo (grpo)", "grpo (shuffled) (control: shuffled rewards)"}
    assert report.grpo is not None
    assert build_report([tmp_path / "shuffled"]).grpo is None
