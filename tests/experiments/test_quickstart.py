"""The quickstart goes on where it was stopped, leaves nothing running, and says which of its commands failed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from experiments.pipelines.quickstart import EVALUATED, QuickstartRun, plan
from experiments.runs.pipeline import Step, StepFailed, run_steps
from experiments.runs.run_dir import open_run
from experiments.settings.policies import BASE_MODEL
from vt_env.episode.trajectory import read_trajectories

HERE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Toy:
    seed: int = 0


def test_a_failed_step_stops_the_pipeline_and_the_next_start_resumes_there(tmp_path, capsys):
    did: list[str] = []
    codes = iter([3, 0])

    def step(name: str) -> Step:
        return Step(name, lambda: did.append(name) or (next(codes) if name == "b" else 0))

    steps = [step(name) for name in "abc"]
    with pytest.raises(StepFailed, match="b failed") as failure, open_run(tmp_path, "quickstart", Toy()) as run:
        run_steps(steps, run)
    assert failure.value.code == 3 and did == ["a", "b"]
    with open_run(tmp_path, "quickstart", Toy()) as run:
        run_steps(steps, run)
    assert did == ["a", "b", "b", "c"]
    lines = [line.split()[1:3] for line in capsys.readouterr().out.splitlines()]
    assert [line[-1] for line in lines] == ["a", "a", "b", "c"]


def test_the_plan_trains_and_evaluates_every_policy_of_the_table(tmp_path):
    names = [step.name for step in plan(QuickstartRun(out=tmp_path, preset="smoke"))]
    assert names == ["world", "index", "synth", "sft", "grpo", *(f"eval {name}" for name in EVALUATED)]


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_command_does_not_outlive_the_quickstart(sent):
    code = "from experiments.runs.pipeline import run_command; run_command(['doctor'])"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=HERE, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    while not (found := children.read_text().split()):
        time.sleep(0.02)
    os.kill(parent.pid, sent)
    parent.wait()
    while Path(f"/proc/{found[0]}").exists() and "Z" not in Path(f"/proc/{found[0]}/stat").read_text().split()[2]:
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not BASE_MODEL.is_dir(), reason="the base model is not there")
def test_the_whole_pipeline_runs_at_toy_size_and_survives_a_kill(tmp_path):
    command = [sys.executable, "-m", "experiments.cli", "quickstart", "--preset", "smoke", "--out", str(tmp_path)]
    environment = {**os.environ, "VT_ENV_CACHE": os.environ.get("VT_ENV_CACHE", str(tmp_path / "cache"))}
    first = subprocess.Popen(command, cwd=HERE, env=environment, stderr=subprocess.DEVNULL)
    while first.poll() is None and not (tmp_path / "sft" / "metrics.jsonl").exists():
        time.sleep(0.1)
    first.kill()
    first.wait()
    before = (tmp_path / "synth" / "journal.jsonl").read_bytes()
    subprocess.run(command, cwd=HERE, env=environment, check=True)
    assert (tmp_path / "synth" / "journal.jsonl").read_bytes() == before
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["policy"] for row in report["rows"]] == list(EVALUATED)
    assert {row["n"] for row in report["rows"]} == {3}
    assert report["grpo"]["steps"] == 1 and report["grpo"]["logp_difference_max"] < 1e-4
    rollouts = list(read_trajectories(tmp_path / "grpo" / "journal.jsonl"))
    grpo = json.loads((tmp_path / "grpo" / "config.json").read_text())
    assert [it.sample for it in rollouts] == list(range(grpo["prompts_per_step"] * grpo["group_size"]))
    assert np.mean([it.reward for it in rollouts]) == pytest.approx(report["grpo"]["reward"][0])
    assert {"world", "index", "synth", "sft", "grpo", "eval"} <= set(report["wall_s"])
    for name in ("report.md", "plots/accuracy.png", "plots/reward.png"):
        assert (tmp_path / name).stat().st_size > 0
