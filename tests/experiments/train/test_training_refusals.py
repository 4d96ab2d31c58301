"""Untrainable models, data and settings raise one line with the remedy, before or at the first step."""

import json
import shutil
import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("trl", reason="needs the train extra")

import torch
from safetensors.torch import load_file, save_file
from support.small_training import write_training_folder

from experiments.runs.run_dir import open_run
from experiments.settings.profile import MediaFlags
from experiments.settings.token_budget import check_frame_size, check_token_budget, measure_tokens
from experiments.tiny_model.processor import build_processor
from experiments.train.callbacks import (
    SILENT_STEPS,
    check_trackers,
    progress_callback,
    stop_without_variance,
)
from experiments.train.grpo import GRPORun, build_trainer
from experiments.train.grpo_arguments import grpo_arguments
from experiments.train.grpo_metrics import step_record
from experiments.train.grpo_step_times import StepTimes
from experiments.train.sft import SFTRun
from experiments.train.sft import main as sft
from experiments.train.trainer_config import TrainerConfig, trained_dtype
from experiments.train.training_run import load_model
from experiments.view.tags import write_tags
from vt_env.config import BudgetConfig, MediaConfig, tiny_budget
from vt_env.episode.trajectory import read_trajectories
from vt_env.errors import ConfigError, DataError
from vt_env.integrations.trl.checked_trainer import CheckedTrainer, TrainingStopped
from vt_env.integrations.trl.sampler_errors import SamplerLost, lost_sampler_named
from vt_env.integrations.trl.zero_advantage import SILENT_GROUPS
from vt_env.testing import fake_tasks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refusals")
    # Every answer is wrong.
    write_training_folder(folder, wrong_by=(1,))
    return folder


def sft_run(folder, **changes) -> SFTRun:
    run = SFTRun(
        out=folder / "sft",
        trajectories=(folder / "trajectories.jsonl",),
        model=str(folder / "random"),
        tasks=str(folder / "tasks.jsonl"),
        profile="world",
        steps=3,
        batch_size=2,
        threads=1,
        report_to=(),
    )
    return replace(run, **changes)


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_data_set_of_wrong_answers_is_refused(folder):
    with pytest.raises(DataError) as error:
        sft(sft_run(folder))
    assert "all 4 answers are wrong" in one_line(error)


def test_an_empty_data_set_is_refused(folder, tmp_path):
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(DataError) as error:
        sft(sft_run(folder, out=tmp_path / "run", trajectories=(tmp_path / "none.jsonl",)))
    assert "of 0 trajectories none ends in an answer" in one_line(error)


def test_trajectories_with_an_excluded_tag_are_left_out_and_a_tag_of_none_is_refused(folder, tmp_path):
    with pytest.raises(ConfigError) as error:
        sft(sft_run(folder, out=tmp_path / "run", exclude_tags=("misread",)))
    assert "no attempt has it" in one_line(error)
    tagged = tmp_path / "tagged.jsonl"
    shutil.copy(folder / "trajectories.jsonl", tagged)
    for it in read_trajectories(tagged):
        write_tags(tagged, (it.task_id, it.sample), ["misread"])
    with pytest.raises(DataError) as error:
        sft(sft_run(folder, out=tmp_path / "run", trajectories=(tagged,), exclude_tags=("misread",)))
    assert "of 0 trajectories none ends in an answer" in one_line(error)


@pytest.mark.parametrize("changes", [{"max_pixels": 196 * 196}, {"patch_px": 32}, {"min_pixels": 100}])
def test_frames_that_the_processor_would_resize_are_refused(changes):
    check_frame_size(build_processor(), MediaConfig())
    with pytest.raises(ConfigError) as error:
        check_frame_size(build_processor(), replace(MediaConfig(), **changes))
    assert "takes frames of 784 to 12544 pixels in patches of 28 as they are" in one_line(error)
    assert "such as --media.max-pixels 12544 --media.min-pixels 784 --media.patch-px 28" in one_line(error)


def test_a_budget_of_pixels_that_holds_no_patch_is_refused():
    with pytest.raises(ConfigError, match="below one patch of 28 x 28 pixels; need 784 or more"):
        MediaConfig(max_pixels=100)


def test_a_budget_that_cannot_hold_one_zoom_is_refused():
    with pytest.raises(ConfigError, match="cannot hold global_frames=32 and one zoom"):
        BudgetConfig(max_frames=32, global_frames=32)
    measured = measure_tokens(build_processor(), fake_tasks(), tiny_budget(), MediaConfig())
    assert measured.frame == 16 and measured.look > 16
    check_token_budget(measured, measured.answered, measured.prompt + measured.answered)
    with pytest.raises(ConfigError) as error:
        check_token_budget(measured, measured.answered - 1, 4096)
    assert f"cannot hold one look: {measured.look} tokens (16 a frame)" in one_line(error)
    with pytest.raises(ConfigError) as error:
        check_token_budget(measured, 768, measured.prompt)
    assert one_line(error).endswith(f"give {measured.prompt + measured.answered} or more")


def test_a_token_budget_is_checked_before_the_sampler_is_started(folder):
    run = GRPORun(
        out=folder / "g",
        model=str(folder / "random"),
        tasks=str(folder / "tasks.jsonl"),
        profile="world",
        max_completion_length=60,
        report_to=(),
    )
    with pytest.raises(ConfigError, match="max_completion_length=60 cannot hold one look"):
        build_trainer(run)


def test_weights_of_another_architecture_are_refused(folder, tmp_path):
    for file in (folder / "random").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    name = next(name for name in weights if name.endswith("q_proj.weight"))
    weights[name] = torch.zeros(3, 3)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError) as error:
        load_model(str(tmp_path), freeze_vision=True)
    assert "another architecture than its config.json: 1 of" in one_line(error)
    del weights[name]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match="another architecture"):
        load_model(str(tmp_path), freeze_vision=True)


def test_a_language_model_without_eyes_is_refused(folder, tmp_path):
    for file in (folder / "random").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}))
    with pytest.raises(ConfigError) as error:
        load_model(str(tmp_path), freeze_vision=True)
    assert "no vision-language checkpoint" in one_line(error) and "take Qwen2.5-VL or Qwen3-VL" in str(error.value)


def test_a_loss_that_is_no_number_stops_before_the_update(folder, tmp_path):
    for file in (folder / "random").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    weights["lm_head.weight"][0, 0] = float("nan")
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "right").mkdir()
    write_training_folder(tmp_path / "right", wrong_by=(0,))
    run = sft_run(tmp_path / "right", model=str(tmp_path))
    with pytest.raises(TrainingStopped) as error:
        sft(run)
    assert one_line(error).startswith("step 0: the loss is not a finite number")


@pytest.mark.parametrize("norm", [float("inf"), torch.tensor(float("nan"))])
def test_a_gradient_that_is_no_number_stops_before_the_update(norm):
    class Trained:
        state = SimpleNamespace(global_step=3)

        def training_step(self) -> float:
            return 0.5

        def _get_grad_norm(self, model):
            return norm

    class Checked(CheckedTrainer, Trained): ...

    trainer = Checked()
    assert trainer.training_step() == 0.5
    with pytest.raises(TrainingStopped, match="step 3: the gradient is not a finite number"):
        trainer._get_grad_norm(None)


def test_a_step_whose_videos_all_failed_is_told_and_not_a_crash_of_the_bar():
    bar = progress_callback({"reward": "reward"}, "grpo")
    state = SimpleNamespace(max_steps=2, global_step=1)
    bar.on_train_begin(None, state, None)
    bar.on_log(None, state, None, logs={"reward": None, "episode/invalid": 1.0})
    bar.on_train_end(None, state, None)
    assert step_record(1, {"reward": None, "episode/invalid": 1.0}, StepTimes(), GRPORun()) is None


class Callbacks(SimpleNamespace):
    def add_callback(self, callback) -> None:
        self.callback = callback


def test_rewards_that_never_differ_stop_the_run():
    trainer = Callbacks()
    stop_without_variance(trainer)
    state = SimpleNamespace(global_step=7)
    silent = {SILENT_GROUPS: 1.0, "reward": 0.0, "episode/invalid": 0.0}

    def log(**changes) -> None:
        trainer.callback.on_log(None, state, None, logs={**silent, **changes})

    for _ in range(SILENT_STEPS - 1):
        log()
    log(**{SILENT_GROUPS: 0.5})
    for _ in range(SILENT_STEPS - 1):
        log()
    with pytest.raises(TrainingStopped) as error:
        log()
    assert f"for {SILENT_STEPS} steps all rewards of every group were equal" in one_line(error)
    with pytest.raises(TrainingStopped, match="no video of the step could be read"):
        log(**{"episode/invalid": 1.0})


def test_a_server_that_is_not_there_is_named(folder):
    pytest.importorskip("vllm")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    run = GRPORun(
        out=folder / "g",
        model=str(folder / "random"),
        tasks=str(folder / "tasks.jsonl"),
        profile="world",
        vllm_mode="server",
        server_url=url,
        server_timeout_s=0.0,
        report_to=(),
    )
    with pytest.raises(ConfigError) as error:
        build_trainer(run)
    assert one_line(error).startswith(f"vllm_mode=server, {url}: ") and "--vllm-mode colocate" in str(error.value)


def test_a_sampler_that_dies_is_told_from_a_bug():
    pytest.importorskip("vllm")
    from vllm.v1.engine.exceptions import EngineDeadError

    with pytest.raises(SamplerLost) as error, lost_sampler_named("colocate", 3):
        raise EngineDeadError()
    assert one_line(error).startswith("step 3: vLLM (colocate) no longer answers")
    assert "another --gpu-memory-utilization" in str(error.value)
    with pytest.raises(KeyError), lost_sampler_named("colocate", 3):
        raise KeyError("a bug")


def test_a_server_that_refuses_a_request_is_not_taken_for_a_dead_one():
    pytest.importorskip("vllm")
    with (
        pytest.raises(SamplerLost, match="another --server-url if it has moved"),
        lost_sampler_named("server", 3),
    ):
        raise Exception("Request failed: 503, overloaded")
    with pytest.raises(Exception, match=r"^Request failed: 400"), lost_sampler_named("server", 3):
        raise Exception("Request failed: 400, too long")


def test_rollouts_that_a_server_would_refuse_are_refused_before(folder):
    run = GRPORun(
        out=folder / "g",
        model=str(folder / "random"),
        tasks=str(folder / "tasks.jsonl"),
        profile="world",
        vllm_mode="server",
        context_tokens=1280,
        max_completion_length=1200,
        report_to=(),
    )
    with pytest.raises(ConfigError) as error:
        build_trainer(run)
    assert one_line(error).startswith("context_tokens=1280 with vllm_mode=server: prompts of")


def test_a_run_goes_on_with_a_server_that_has_moved_and_not_with_another_rate(tmp_path):
    run = GRPORun(out=tmp_path, server_url="http://one:8000")
    with open_run(tmp_path, "grpo", run):
        pass
    with open_run(tmp_path, "grpo", replace(run, server_url="http://two:8000", gpu_memory_utilization=0.2)):
        pass
    with pytest.raises(ConfigError, match=r"now lr=0\.5"), open_run(tmp_path, "grpo", replace(run, lr=0.5)):
        pass


def test_a_tracker_that_is_not_installed_is_refused():
    with pytest.raises(ConfigError, match="report_to=trackio: it is not installed"):
        check_trackers(["trackio"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainerConfig(model="m", lr=1.0, save_steps=1, lora=0), "lora=0"),
        (lambda: TrainerConfig(model="m", lr=1.0, save_steps=1, lora_alpha=4), "give --lora RANK too"),
        (lambda: GRPORun(micro_batch=5), "must be a multiple of micro_batch times 1"),
        (lambda: GRPORun(group_size=1), "group_size=1: need 2 or more"),
        (lambda: GRPORun().check_processes(2), "times 2 process"),
        (lambda: GRPORun(sleep=True).check_processes(2), "sleep=True with 2 processes"),
        (lambda: GRPORun(temperature=0), "a temperature above 0"),
        (lambda: SFTRun(accumulation=0), "accumulation=0"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_what_a_run_is_told_reaches_trl(tmp_path):
    told = GRPORun(
        out=tmp_path, lr_schedule="linear", beta=0.04, epsilon=0.1, epsilon_high=0.28, delta=4.0, loss_type="dr_grpo",
        scale_rewards="none", mask_truncated=True, num_iterations=2, prompts_per_step=4, group_size=4, micro_batch=8,
    )  # fmt: skip
    args = grpo_arguments(told)
    assert (args.lr_scheduler_type, args.beta, args.delta) == ("linear", 0.04, 4.0)
    assert (args.epsilon, args.epsilon_high, args.num_iterations) == (0.1, 0.28, 2)
    assert (args.loss_type, args.scale_rewards, args.mask_truncated_completions) == ("dr_grpo", "none", True)
    assert (args.num_generations, args.per_device_train_batch_size, args.gradient_accumulation_steps) == (4, 8, 2)


def test_cispo_is_not_held_at_the_clip_of_others(tmp_path):
    assert grpo_arguments(GRPORun(out=tmp_path, loss_type="cispo")).epsilon_high == 5.0


def test_weights_that_are_trained_are_held_in_fp32_unless_something_else_does(folder, monkeypatch):
    assert trained_dtype(sft_run(folder)) == "float32"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert trained_dtype(sft_run(folder)) == "float32"
    assert trained_dtype(sft_run(folder, lora=8)) == "auto"
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert trained_dtype(sft_run(folder)) == "auto"


def test_calls_of_tools_that_are_not_offered_are_refused(folder, tmp_path):
    (tmp_path / "right").mkdir()
    write_training_folder(tmp_path / "right", wrong_by=(0,))
    with pytest.raises(DataError) as error:
        sft(sft_run(tmp_path / "right", tools="none"))
    assert "which --tools none does not offer (nothing)" in one_line(error)


def test_frames_of_another_size_are_refused_before_a_model_is_loaded(folder, tmp_path):
    (tmp_path / "right").mkdir()
    write_training_folder(tmp_path / "right", wrong_by=(0,))
    with pytest.raises(DataError) as error:
        sft(sft_run(tmp_path / "right", model="nowhere/at/all", media=MediaFlags(max_pixels=448 * 448)))
    shown = "2 frames of 112 x 112 px were shown, 2 of 224 x 224 px are stored"
    assert f"{shown}; give the --media.max-pixels" in one_line(error)


def test_a_run_whose_model_or_data_were_replaced_does_not_go_on(folder, tmp_path, capsys):
    (tmp_path / "right").mkdir()
    write_training_folder(tmp_path / "right", wrong_by=(0,))
    run = sft_run(tmp_path / "right", steps=1)
    sft(run)
    assert "finished already" not in capsys.readouterr().out
    sft(run)
    assert f"{run.out / 'model'}: finished already" in capsys.readouterr().out
    (tmp_path / "right" / "random" / "more.txt").write_text("retrained")
    with pytest.raises(ConfigError, match="hashes"):
        sft(run)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"steps": -5}, {"limit": -3}, {"limit": 0}, {"max_completion_length": -1}, {"lora_alpha": -1}],
)
def test_sizes_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))}="):
        GRPORun(**({"lora": 4} if "lora_alpha" in wrong else {}), **wrong)
    if "steps" in wrong:
        with pytest.raises(ConfigError, match="steps="):
            SFTRun(**wrong)
