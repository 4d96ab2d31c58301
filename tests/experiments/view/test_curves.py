"""Plots of runs: intervals over training seeds, accuracy against cost, calibration; drawn twice, computed once."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from support.finished_runs import ANSWER_TURN, episode, write_eval

from experiments.analysis.attempts import RunNumbers
from experiments.analysis.load_runs import named_runs
from experiments.analysis.run_plots import run_plots
from experiments.analysis.seed_groups import seed_groups
from experiments.analysis.training_plots import training_plots
from experiments.cli import run
from experiments.report.series_plots import figure_of
from experiments.runs.read_run import CONFIG, JOURNAL, METRICS
from experiments.runs.run_dir import write_json
from experiments.view.viewer import Viewer
from vt_env.episode.reply_record import ReplyRecord
from vt_env.episode.trajectory import TurnRecord, write_trajectories
from vt_env.jsonl import append_line
from vt_env.stats import mean_ci95


def grpo(name: str, seed: int, rewards: list[float], **config) -> RunNumbers:
    settings = {"run": "grpo", "seed": seed, "out": name, "model": f"runs/seed-{seed}/sft/model"}
    metrics = [{"step": step, "reward": reward, "seconds": {"update": 2.0}} for step, reward in enumerate(rewards, 1)]
    return RunNumbers(name, settings | config, metrics)


def test_runs_that_differ_in_their_seed_alone_are_one_policy():
    configs = {it.name: it.config for it in (grpo("seed-0/grpo", 0, []), grpo("seed-1/grpo", 1, []))}
    assert seed_groups(configs) == {"seed-*/grpo (2 seeds)": ["seed-0/grpo", "seed-1/grpo"]}


@pytest.mark.parametrize(
    "other", [grpo("b", 1, [], lr=2.0), grpo("b", 0, []), grpo("b", 1, [], model="runs/seed-2/sft/model")]
)
def test_other_settings_another_start_and_the_same_seed_stand_alone(other: RunNumbers):
    first = grpo("a", 0, [])
    assert seed_groups({"a": first.config, "b": other.config}) == {"a": ["a"], "b": ["b"]}


def test_seeds_become_a_mean_with_student_s_interval_at_the_steps_that_all_have():
    plots = training_plots([grpo("s0", 0, [0.0, 0.2, 0.9]), grpo("s1", 1, [0.2, 0.4]), grpo("s2", 2, [0.4, 0.9])])
    joined, *single = next(plot for plot in plots if plot.title == "reward").series
    assert joined.x == (1.0, 2.0) and joined.n == (3, 3) and joined.y == pytest.approx((0.2, 0.5))
    half = 4.3027 * np.std([0.0, 0.2, 0.4], ddof=1) / np.sqrt(3)
    assert (joined.low[0], joined.high[0]) == pytest.approx((0.2 - half, 0.2 + half))
    assert [len(it.x) for it in single] == [3, 2, 2] and {it.part_of for it in single} == {joined.name}


@pytest.mark.parametrize(("n", "t"), [(2, 12.7062), (11, 2.2281), (12, 2.2010), (31, 2.0423), (1001, 1.9623)])
def test_the_interval_of_a_mean_has_the_quantile_of_student_s_t(n: int, t: float):
    values = np.random.default_rng(n).normal(size=n)
    low, high = mean_ci95([float(it) for it in values])
    assert (high - low) / 2 == pytest.approx(t * values.std(ddof=1) / np.sqrt(n), rel=1e-4)


def test_a_step_that_was_done_twice_and_values_that_are_no_number():
    metrics = [{"step": 1, "loss": 9.0}, {"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0, "kl": float("nan")}]
    (plot,) = training_plots([RunNumbers("a", {"run": "sft"}, metrics)])
    assert (plot.title, plot.series[0].x, plot.series[0].y) == ("loss", (1.0, 2.0), (1.0, 2.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two evaluations with confidences, and GRPO with rollouts over two seeds."""
    for agent, right in (("sft", [True, False, True, True]), ("base", [False, False, True])):
        sure = TurnRecord(ANSWER_TURN.text, None, "", reply=ReplyRecord(prompt_tokens=9, completion_tokens=3,
                          answer_logprob=-0.4))  # fmt: skip
        write_eval(tmp_path / agent, agent, right, turns=(sure,))
    for seed in (0, 1):
        path = tmp_path / f"seed-{seed}" / "grpo"
        path.mkdir(parents=True)
        write_json(path / CONFIG, {"run": "grpo", "seed": seed, "prompts_per_step": 1, "group_size": 2})
        write_json(path / "provenance.json", json.loads((tmp_path / "sft" / "provenance.json").read_text()))
        write_trajectories(path / JOURNAL, [episode(0, 0, n % 2 == seed, sample=n, reward=n / 4) for n in range(4)])
        for step in (1, 2):
            line = {"step": step, "loss": step / (seed + 1), "elapsed_s": 1.0}
            append_line(path / METRICS, json.dumps(line))
    return tmp_path


def test_the_viewer_and_the_files_draw_the_same_numbers(folder: Path):
    viewer = Viewer(named_runs([folder]))
    viewer.index.refresh()
    names = list(named_runs([folder]))
    shown = json.loads(json.dumps(viewer.plots(names)))
    assert run(["report", str(folder), "--out", str(folder / "report")]) == 0
    written = json.loads((folder / "report" / "plots" / "series.json").read_text())
    assert shown == written
    titles = {plot["title"] for plot in shown}
    assert {"loss", "rollouts.accuracy", "accuracy against tokens", "calibration of final answers"} <= titles
    assert {it.name for it in (folder / "report" / "plots").glob("*.png")} >= {
        "training.png", "cost.png", "calibration.png"}  # fmt: skip


def test_every_series_of_a_file_has_the_computed_points_and_intervals(folder: Path):
    viewer = Viewer(named_runs([folder]))
    viewer.index.refresh()
    numbers = [viewer.numbers_of(name) for name in viewer.index.runs]
    plots = run_plots(numbers)
    assert viewer.plots(list(viewer.index.runs)) == [asdict(plot) for plot in plots]
    for plot in plots:
        (axes,) = figure_of([plot]).axes
        lines = {line.get_label(): line for line in axes.lines}
        for it in plot.joined:
            assert lines[it.name].get_xdata().tolist() == list(it.x)
            assert lines[it.name].get_ydata().tolist() == list(it.y)
        bars = sum(len(it.x) for it in plot.joined if it.form == "points")
        assert sum(line.get_label() == "_interval" for line in axes.lines) == bars
        bands = [it for it in plot.joined if it.low and it.form != "points"]
        edges = [band.get_paths()[0].vertices[:, 1] for band in axes.collections]
        assert [(edge.min(), edge.max()) for edge in edges] == [(min(it.low), max(it.high)) for it in bands]


def test_calibration_pools_the_runs_of_a_policy_in_bins_of_confidence(folder: Path):
    viewer = Viewer(named_runs([folder]))
    viewer.index.refresh()
    plot = next(
        it
        for it in viewer.plots([name for name in viewer.index.runs if "seed" not in name])
        if it["group"] == "calibration"
    )
    sft = next(it for it in plot["series"] if it["name"] == "sft")
    assert (sft["n"], sft["y"]) == ((4,), (0.75,)) and sft["x"] == pytest.approx((np.exp(-0.4),))
