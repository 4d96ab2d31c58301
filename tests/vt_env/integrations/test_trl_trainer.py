"""`EpisodeGRPOTrainer` without a sampler: replies are scripted, everything else is TRL's and ours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the train extra")

import torch
from support.scripted_training import LOOK, RIGHT, SEARCH, WRONG, build_scripted, equal_weights, weights_of

from experiments.launch.scripted_trainer import ScriptedTrainer
from vt_env.errors import ConfigError
from vt_env.integrations.trl import EpisodeTrainerConfig

pytestmark = pytest.mark.slow

NUMBERS = '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": 320, "end_s": 330.5}}\n</tool_call>'
NO_OBJECT = '<tool_call>\n{"name": "frame_zoom", "arguments": "05:20"}\n</tool_call>'


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    trainer = build_scripted(tmp_path_factory.mktemp("unbroken"))
    before = weights_of(trainer)
    trainer.train()
    assert not equal_weights(before, weights_of(trainer))
    return trainer


@pytest.mark.parametrize("way", ["path", "newest", "argument"])
def test_resuming_as_trl_does_it_ends_with_the_weights_of_an_unbroken_run(unbroken, tmp_path, way):
    checkpoint = tmp_path / "checkpoint-1"
    checkpoint.symlink_to(Path(unbroken.args.output_dir) / "checkpoint-1")
    if way == "newest":
        # A process that was killed while it saved leaves half a checkpoint.
        (tmp_path / "checkpoint-7").mkdir()
    trainer = build_scripted(tmp_path, **({"resume_from_checkpoint": str(checkpoint)} if way == "argument" else {}))
    trainer.train(resume_from_checkpoint={"path": str(checkpoint), "newest": True, "argument": None}[way])
    assert trainer.state.global_step == 2
    assert equal_weights(weights_of(unbroken), weights_of(trainer))


def test_training_again_in_the_same_process_begins_with_new_rollouts(tmp_path):
    trainer = build_scripted(tmp_path, max_steps=1, num_iterations=2)
    for _ in range(2):
        trainer.train()
        assert trainer.state.log_history[0]["tools/call_frequency"] == 0.75


def test_completions_with_pictures_and_arguments_of_several_types_are_logged(tmp_path):
    pandas = pytest.importorskip("pandas")
    turns = ((LOOK, NUMBERS, NO_OBJECT, SEARCH), (RIGHT, WRONG))
    trainer = build_scripted(tmp_path, turns, max_steps=2, save_steps=5, log_completions=True)
    trainer.train()
    table = pandas.read_parquet(tmp_path / "completions" / "completions_00002.parquet")
    assert len(table) == 8
    call, result, answer = table["completion"][1]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"start_s": 320, "end_s": 330.5}
    assert {block["type"] for block in result["content"]} == {"image", "text"} and answer["role"] == "assistant"


def test_order_and_padding_of_passes_do_not_change_what_is_learned(unbroken, tmp_path):
    plain = build_scripted(tmp_path, config=EpisodeTrainerConfig(group_by_length=False, tool_threads=1))
    plain.train()
    for name, weight in weights_of(plain).items():
        other = unbroken.model.get_parameter(name)
        torch.testing.assert_close(weight, other, rtol=1e-3, atol=2e-4)
        # Adam's first steps enlarge the rounding of a gradient near 0, so a few weights differ by more.
        assert torch.isclose(weight, other, rtol=1e-3, atol=2e-5).float().mean() > 0.9999


def test_a_batch_observer_sees_the_batches_of_updates(tmp_path):
    trainer = build_scripted(tmp_path, max_steps=1, save_steps=5)
    rows: list[int] = []
    trainer.batch_observers.append(lambda batch: rows.append(len(batch["completion_ids"])))
    trainer.train()
    assert rows == [2] * 4


def test_environments_of_another_kind_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="need a class from environment_class"):
        ScriptedTrainer("model", environment_factory=object, turns=())


def test_a_run_that_hides_a_broken_sampler_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="leave it on"):
        build_scripted(tmp_path, use_vllm=True, vllm_importance_sampling_correction=False)


def test_the_package_loads_neither_trl_nor_torch_before_the_trainer_is_asked_for():
    code = (
        "import sys, vt_env.integrations.trl as it; assert not {'torch', 'trl', 'transformers'} & set(sys.modules); "
        "it.EpisodeGRPOTrainer; assert 'trl' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
