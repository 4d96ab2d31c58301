"""`EpisodeGRPOTrainer` without a sampler: replies are scripted, everything else is TRL's and ours."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the train extra")

import torch
from trl import GRPOConfig

from experiments.launch.scripted_trainer import ScriptedTrainer
from experiments.tiny_model.model import build_model
from experiments.tiny_model.processor import build_processor
from vt_env.errors import ConfigError
from vt_env.integrations.trl import EpisodeTrainerConfig, environment_class, reward_functions, training_rows
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks

pytestmark = pytest.mark.slow

LOOK = '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}\n</tool_call>'
SEARCH = '<tool_call>\n{"name": "clip_retrieval", "arguments": {"query": "red", "top_k": 2}}\n</tool_call>'
NUMBERS = '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": 320, "end_s": 330.5}}\n</tool_call>'
NO_OBJECT = '<tool_call>\n{"name": "frame_zoom", "arguments": "05:20"}\n</tool_call>'
ANSWERS = ("<answer>47</answer>", "It is perhaps 12, I believe.\n<answer>12</answer>")
TURNS = ((LOOK, LOOK, SEARCH, ANSWERS[1]), ANSWERS)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(out: Path, turns=TURNS, config: EpisodeTrainerConfig | None = None, **changes) -> ScriptedTrainer:
    """Build a trainer of a random tiny model; every call makes the same one."""
    library = FakeLibrary((FakeVideo(frame_px=112),))
    environment = environment_class(fake_tasks(2), library=library, budget="tiny")
    processor = build_processor()
    settings = {
        "max_steps": 2, "save_steps": 1, "num_generations": 4, "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4, "learning_rate": 1e-3, "max_completion_length": 600, "report_to": "none",
        "use_cpu": True, "bf16": False, "logging_steps": 1, "disable_tqdm": True, **changes,
    }  # fmt: skip
    return ScriptedTrainer(
        build_model(processor.tokenizer, seed=0),
        reward_functions("default"),
        GRPOConfig(str(out), **settings),
        environment_factory=environment,
        config=config or EpisodeTrainerConfig(),
        processing_class=processor,
        train_dataset=training_rows(environment),
        turns=turns,
    )


def weights_of(trainer) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def equal(one, other) -> bool:
    return all(torch.equal(weight, other[name]) for name, weight in one.items())


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    trainer = build(tmp_path_factory.mktemp("unbroken"))
    before = weights_of(trainer)
    trainer.train()
    assert not equal(before, weights_of(trainer))
    return trainer


@pytest.mark.parametrize("way", ["path", "newest", "argument"])
def test_resuming_as_trl_does_it_ends_with_the_weights_of_an_unbroken_run(unbroken, tmp_path, way):
    checkpoint = tmp_path / "checkpoint-1"
    checkpoint.symlink_to(Path(unbroken.args.output_dir) / "checkpoint-1")
    if way == "newest":
        # A process that was killed while it saved leaves half a checkpoint.
        (tmp_path / "checkpoint-7").mkdir()
    trainer = build(tmp_path, **({"resume_from_checkpoint": str(checkpoint)} if way == "argument" else {}))
    trainer.train(resume_from_checkpoint={"path": str(checkpoint), "newest": True, "argument": None}[way])
    assert trainer.state.global_step == 2
    assert equal(weights_of(unbroken), weights_of(trainer))


def test_training_again_in_the_same_process_begins_with_new_rollouts(tmp_path):
    trainer = build(tmp_path, max_steps=1, num_iterations=2)
    for _ in range(2):
        trainer.train()
        assert trainer.state.log_history[0]["tools/call_frequency"] == 0.75


def test_completions_with_pictures_and_arguments_of_several_types_are_logged(tmp_path):
    pandas = pytest.importorskip("pandas")
    turns = ((LOOK, NUMBERS, NO_OBJECT, SEARCH), ANSWERS)
    trainer = build(tmp_path, turns, max_steps=2, save_steps=5, log_completions=True)
    trainer.train()
    table = pandas.read_parquet(tmp_path / "completions" / "completions_00002.parquet")
    assert len(table) == 8
    call, result, answer = table["completion"][1]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"start_s": 320, "end_s": 330.5}
    assert {block["type"] for block in result["content"]} == {"image", "text"} and answer["role"] == "assistant"


def test_order_and_padding_of_passes_do_not_change_what_is_learned(unbroken, tmp_path):
    plain = build(tmp_path, config=EpisodeTrainerConfig(group_by_length=False, tool_threads=1))
    plain.train()
    for name, weight in weights_of(plain).items():
        other = unbroken.model.get_parameter(name)
        torch.testing.assert_close(weight, other, rtol=1e-3, atol=2e-4)
        # Adam's first steps enlarge the rounding of a gradient near 0, so a few weights differ by more.
        assert torch.isclose(weight, other, rtol=1e-3, atol=2e-5).float().mean() > 0.9999


def test_a_batch_observer_sees_the_batches_of_updates(tmp_path):
    trainer = build(tmp_path, max_steps=1, save_steps=5)
    rows: list[int] = []
    trainer.batch_observers.append(lambda batch: rows.append(len(batch["completion_ids"])))
    trainer.train()
    assert rows == [2] * 4


def test_environments_of_another_kind_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="need a class from environment_class"):
        ScriptedTrainer("model", environment_factory=object, turns=())


def test_a_run_that_hides_a_broken_sampler_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="leave it on"):
        build(tmp_path, use_vllm=True, vllm_importance_sampling_correction=False)


def test_the_package_loads_neither_trl_nor_torch_before_the_trainer_is_asked_for():
    code = (
        "import sys, vt_env.integrations.trl as it; assert not {'torch', 'trl', 'transformers'} & set(sys.modules); "
        "it.EpisodeGRPOTrainer; assert 'trl' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
