"""The launch files are read by accelerate, and one step of every class that they are for goes through."""

from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the train extra")

from accelerate.commands.config.config_args import load_config_from_file

from experiments.launch.dry_run import DryRun, main
from experiments.launch.small_models import CHECKPOINTS
from experiments.train.grpo_config import PRESETS
from experiments.train.sft import PRESETS as SFT_PRESETS
from vt_env.errors import ConfigError

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "experiments" / "launch"
FRAME_TOKENS = {"qwen2_5_vl": 256, "qwen3_vl": 196}


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_launch_files_are_whole(name):
    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))
    assert config.num_processes == 8


def test_gradients_are_clipped_by_the_trainer_alone():
    assert "gradient_clipping" not in load_config_from_file(str(FOLDER / "zero3.yaml")).deepspeed_config


def test_presets_name_the_checkpoints_that_are_dry_run():
    assert set(PRESETS) == {"tiny", *CHECKPOINTS}
    assert all(PRESETS[name].model == it.name for name, it in CHECKPOINTS.items())
    assert SFT_PRESETS["paper-7b"].model == CHECKPOINTS["qwen2.5-vl-7b"].name
    for processes in (1, 2, 3, 4, 6, 8):
        PRESETS["qwen3-vl-8b"].check_processes(processes)


@pytest.mark.parametrize(
    ("preset", "method", "lora"),
    [
        ("qwen2.5-vl-3b", "grpo", False),
        ("qwen2.5-vl-7b", "sft", True),
        ("qwen3-vl-4b", "sft", False),
        ("qwen3-vl-8b", "grpo", True),
    ],
)
def test_one_step_of_a_few_layer_model_of_the_class(preset, method, lora, tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    seen = main(DryRun(preset=preset, method=method, lora=lora, out=tmp_path))
    frame_tokens = FRAME_TOKENS[CHECKPOINTS[preset].family]
    # Each row holds one frame with the question and one from a look.
    assert seen["images"] == 2 * seen["rows"] and seen["image_tokens"] == frame_tokens * seen["images"]
    assert seen["trained_tokens"] > 0 == seen["trained_image_tokens"]
    assert seen["changed"] > 0 == seen["changed_in_vision"] and seen["grad_norm"] > 0
    assert (tmp_path / "model" / "model.safetensors").exists() and seen["class"].startswith(("Qwen2_5_VL", "Qwen3VL"))


def test_a_preset_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="preset='qwen9'"):
        DryRun(preset="qwen9")
