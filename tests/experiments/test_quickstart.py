"""The quickstart goes on where it was stopped, leaves nothing running, and says which of its commands failed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.browser import browser, needs_chromium, page, served

from experiments.analysis.load_runs import named_runs
from experiments.pipelines.quickstart import EVALUATED, QuickstartRun, plan
from experiments.runs.pipeline import Step, StepFailed, run_steps
from experiments.runs.run_dir import open_run
from experiments.settings.policies import BASE_MODEL
from experiments.view.export import export_site
from experiments.view.viewer import Viewer
from vt_env.episode.trajectory import read_trajectories

__all__ = ["browser", "page"]

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


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, bytes]]:
    """The quickstart at smoke size, killed once and started again; with the journal of synthesis before the kill."""
    if not BASE_MODEL.is_dir():
        pytest.skip("the base model is not there")
    folder = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VT_ENV_CACHE", os.environ.get("VT_ENV_CACHE", str(folder / "cache")))
        command = [sys.executable, "-m", "experiments.cli", "quickstart", "--preset", "smoke", "--out", str(folder)]
        first = subprocess.Popen(command, cwd=HERE, stderr=subprocess.DEVNULL)
        while first.poll() is None and not (folder / "sft" / "metrics.jsonl").exists():
            time.sleep(0.1)
        first.kill()
        first.wait()
        before = (folder / "synth" / "journal.jsonl").read_bytes()
        subprocess.run(command, cwd=HERE, check=True)
        yield folder, before


@pytest.mark.slow
def test_the_whole_pipeline_runs_at_toy_size_and_survives_a_kill(smoke: tuple[Path, bytes]):
    folder, before = smoke
    assert (folder / "synth" / "journal.jsonl").read_bytes() == before
    report = json.loads((folder / "report.json").read_text())
    assert [row["policy"] for row in report["rows"]] == list(EVALUATED)
    assert {row["n"] for row in report["rows"]} == {3}
    assert report["grpo"]["steps"] == 1 and report["grpo"]["logp_difference_max"] < 1e-4
    rollouts = list(read_trajectories(folder / "grpo" / "journal.jsonl"))
    grpo = json.loads((folder / "grpo" / "config.json").read_text())
    assert [it.sample for it in rollouts] == list(range(grpo["prompts_per_step"] * grpo["group_size"]))
    assert np.mean([it.reward for it in rollouts]) == pytest.approx(report["grpo"]["reward"][0])
    assert {"world", "index", "synth", "sft", "grpo", "eval"} <= set(report["wall_s"])
    for name in ("report.md", "plots/accuracy.png", "plots/reward.png"):
        assert (folder / name).stat().st_size > 0


@pytest.mark.slow
@needs_chromium
def test_the_viewer_walks_through_the_runs_of_the_smoke_preset(smoke: tuple[Path, bytes], page, tmp_path: Path):
    viewer = Viewer(named_runs([smoke[0]]))
    viewer.index.refresh()
    with served(viewer) as address:
        page.goto(f"{address}#/episodes?frames_min=1&sort=-frames")
        page.click("tbody tr >> nth=0 >> a")
        page.wait_for_selector("figure img")
        page.wait_for_function("() => [...document.querySelectorAll('figure img')].every((it) => it.naturalWidth > 0)")
        page.click("text=Show evidence and right option")
        page.wait_for_selector(".mark.gold")
        page.click("figure button >> nth=0")
        page.wait_for_function("() => document.querySelector('dialog img').naturalWidth > 0")
        page.keyboard.press("Escape")
        page.keyboard.press("2")
        page.wait_for_selector("button.tag[aria-pressed=true]")
        page.goto(f"{address}#/curves")
        page.wait_for_selector(".plot canvas")
        titles = {it.inner_text() for it in page.query_selector_all(".plot .u-title")}
        assert {"accuracy against frames", "accuracy against calls"} <= titles
    assert export_site(viewer, tmp_path / "site", 12) == 12
    page.context.set_offline(True)
    page.goto((tmp_path / "site" / "index.html").as_uri() + "#/episodes?frames_min=1")
    page.click("tbody tr >> nth=0 >> a")
    page.click("figure button >> nth=0")
    page.wait_for_function("() => document.querySelector('dialog img')?.naturalWidth > 0")
    assert "whole frame" in page.inner_text("dialog p >> nth=0")
