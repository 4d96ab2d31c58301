"""Processes that share the weights of a model stay in step where one of them has no picture."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the train extra")

from experiments.launch.small_models import write_small_checkpoint

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_a_process_without_a_picture_gathers_the_weights_of_the_vision_tower_too(tmp_path):
    models = [tmp_path / preset for preset in ("qwen2.5-vl-3b", "qwen3-vl-4b")]
    for model in models:
        write_small_checkpoint(model.name, model)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    step = [str(ROOT / "tests/support/sharded_step.py"), str(tmp_path / "losses.json"), *map(str, models)]
    subprocess.run([*launch, *step], check=True, cwd=ROOT, timeout=240)
    losses = json.loads((tmp_path / "losses.json").read_text())
    assert len(losses) == 4
    for alone, together in losses:
        assert together == pytest.approx(alone, rel=1e-5)
