"""A training run that is killed and resumed ends with the weights of an uninterrupted run."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the train extra")

from support.small_training import write_training_folder

from experiments.runs.read_run import read_metrics
from experiments.train.sft import SFTRun
from experiments.train.sft import main as sft
from experiments.train.training_run import last_checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    write_training_folder(folder)
    return SFTRun(
        out=folder / "unbroken",
        trajectories=(folder / "trajectories.jsonl",),
        model=str(folder / "random"),
        tasks=str(folder / "tasks.jsonl"),
        profile="world",
        skills_share=0.3,
        steps=8,
        batch_size=2,
        accumulation=2,
        save_steps=2,
        threads=1,
    )


def flags(run: SFTRun) -> list[str]:
    given = (
        "out",
        "model",
        "tasks",
        "profile",
        "skills_share",
        "steps",
        "batch_size",
        "accumulation",
        "save_steps",
        "threads",
    )
    words = [word for name in given for word in (f"--{name.replace('_', '-')}", str(getattr(run, name)))]
    return [*words, "--trajectories", *map(str, run.trajectories)]


def kill_while_it_saves(run: SFTRun, step: int) -> None:
    """Start the training in another process and kill it as soon as a checkpoint begins to be written."""
    command = [sys.executable, "-m", "experiments.cli", "sft", *flags(run)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    try:
        while not (run.out / "checkpoints" / f"checkpoint-{step}").exists():
            assert process.poll() is None, "the training ended before it could be killed"
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_sft_that_was_killed_ends_with_the_weights_of_an_unbroken_run(run):
    sft(run)
    broken = replace(run, out=run.out.parent / "broken")
    kill_while_it_saves(broken, step=4)
    assert not (broken.out / "model").exists() and last_checkpoint(broken.out)
    sft(broken)
    weights = [(it.out / "model" / "model.safetensors").read_bytes() for it in (run, broken)]
    assert weights[0] == weights[1]
    openings = [line for line in read_metrics(broken.out) if line.get("event") == "opened"]
    assert len(openings) == 2


def test_what_is_learned_is_counted_and_drawn(run):
    sft(run)
    lines = [line for line in read_metrics(run.out) if "trained_tokens" in line]
    assert sum(line["trained_tokens"] for line in lines) > 8 * 4 * 50
    assert list((run.out / "tensorboard").glob("events.out.tfevents.*"))


def test_half_a_checkpoint_is_not_resumed_from(tmp_path):
    for name, state in (("checkpoint-2", "{}"), ("checkpoint-10", '{"global_st')):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoints" / "checkpoint-12").mkdir()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoints" / "checkpoint-2")
