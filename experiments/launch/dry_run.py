"""Dry run of a launch: the first optimiser steps at toy size, on the CPU and without a hub.

    python -m experiments.launch.dry_run --preset qwen3-vl-8b --method grpo
    torchrun --nproc-per-node 2 -m experiments.launch.dry_run --preset qwen3-vl-8b --method grpo

Class, processor, template, frame size, collator, masks, trainer and LoRA equal those of a real run of the preset. The
model's depth and width are small, the videos are synthetic, and GRPO's replies are scripted, so that tools are called
and return pictures. The report is written to `dry_run.json` in the run directory.
"""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from experiments.launch.small_models import CHECKPOINTS, write_small_checkpoint
from experiments.runs.run_dir import Stopwatch, write_json
from experiments.settings.token_budget import check_frame_size
from experiments.train.grpo import check_fit
from experiments.train.grpo_arguments import grpo_arguments
from experiments.train.grpo_config import PRESETS as GRPO_PRESETS
from experiments.train.sft import PRESETS as SFT_PRESETS
from experiments.train.sft import build_trainer as build_sft_trainer
from experiments.train.sft_rows import TrajectoryRows
from experiments.train.trainer_config import lora_config
from experiments.train.training_run import is_first_process, load_model, process_count, save_trained
from vt_env.config import BudgetConfig, EnvConfig
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import record_episode
from vt_env.errors import ConfigError
from vt_env.integrations.trl import environment_class, reward_functions, training_rows
from vt_env.prompts import DEFAULT
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks

BUDGET = BudgetConfig(max_calls=4, max_frames=4, frames_per_zoom=1, global_frames=1)
"""The paper's budget with fewer frames: some with the question, some from a tool call."""
_NATIVE_PX = (1080, 1080)
"""Size of the fake video, larger than any frame."""
_LOOK = 'Look.\n<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}\n</tool_call>'
_RIGHT, _WRONG = "It is 47.\n<answer>47</answer>", "It is 12.\n<answer>12</answer>"


@dataclass(frozen=True)
class DryRun:
    """Settings of a dry run."""

    preset: str = "qwen2.5-vl-7b"
    """Key of `experiments.launch.small_models.CHECKPOINTS`."""
    method: Literal["sft", "grpo"] = "sft"
    """Training method."""
    lora: bool = False
    """Train LoRA adapters instead of all weights."""
    out: Path = Path("runs/dry-run")
    """Run directory; overwritten."""

    def __post_init__(self) -> None:
        if self.preset not in CHECKPOINTS:
            raise ConfigError(f"preset={self.preset!r}: allowed are {', '.join(CHECKPOINTS)}")


def main(run: DryRun) -> dict[str, Any]:
    """Train one step (two in SFT, whose first has learning rate 0), save the model, and return the report.

    Raises:
        ConfigError: Settings, model and processor do not fit together.
    """
    from accelerate import PartialState

    # The process state is shared; create it as the trainers do.
    state = PartialState(cpu=not _has_gpu())
    checkpoint = run.out / "random"
    if is_first_process():
        shutil.rmtree(run.out, ignore_errors=True)
        write_small_checkpoint(run.preset, checkpoint)
    state.wait_for_everyone()
    watch = Stopwatch()
    trainer, config = _sft(run, checkpoint) if run.method == "sft" else _grpo(run, checkpoint)
    trainer.args.logging_steps = 1
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    batches = BatchCounts(trainer.model.config.image_token_id)
    trainer.batch_observers.append(batches.observe)
    trainer.train()
    # With sharded weights, each process compares its own shards.
    changed = [name for name, weight in trainer.model.named_parameters() if not before[name].equal(weight.detach())]
    save_trained(trainer, config, run.out, DEFAULT)
    step = next(line for line in trainer.state.log_history if "loss" in line)
    report = {
        "preset": run.preset,
        "method": run.method,
        "lora": run.lora,
        "class": type(load_model(str(run.out / "model"), freeze_vision=False)[0]).__name__,
        "launched": str(trainer.accelerator.distributed_type).rpartition(".")[2],
        "processes": process_count(),
        **batches.seen,
        "loss": step["loss"],
        "grad_norm": step["grad_norm"],
        "changed": len(changed),
        "changed_in_vision": sum("visual" in name for name in changed),
        "seconds": round(watch.elapsed_s, 1),
    }
    if is_first_process():
        write_json(run.out / "dry_run.json", report)
        print(json.dumps(report))
    return report


def _sft(run: DryRun, checkpoint: Path) -> tuple[Any, Any]:
    adapters = {} if run.lora else {"lora": None, "lora_alpha": None}
    config = replace(
        SFT_PRESETS["paper-7b"],
        model=str(checkpoint),
        media=GRPO_PRESETS[run.preset].media,
        out=run.out,
        # The learning rate of the first step is 0, by warm-up.
        steps=2,
        threads=1,
        report_to=(),
        **adapters,
    )
    library, tasks = FakeLibrary((FakeVideo(frame_px=config.chosen.media.frame_size_px(_NATIVE_PX)[0]),)), fake_tasks()
    trajectories = []
    for task in tasks:
        episode = make_episode(task, library, EnvConfig("frames", BUDGET))
        episode.start()
        for text in (_LOOK, _RIGHT):
            episode.apply(*episode.actions(text))
        trajectories.append(record_episode(episode, (_LOOK, _RIGHT)))
    model, processor = load_model(config.model, freeze_vision=config.freeze_vision)
    check_frame_size(processor, config.chosen.media)
    rows = TrajectoryRows(trajectories * 4, tasks, library, config.offered)
    return build_sft_trainer(config, model, processor, rows, run.out), config


def _grpo(run: DryRun, checkpoint: Path) -> tuple[Any, Any]:
    from experiments.launch.scripted_trainer import ScriptedTrainer

    config = replace(
        GRPO_PRESETS[run.preset],
        model=str(checkpoint),
        out=run.out,
        budget=BUDGET,
        steps=1,
        prompts_per_step=2,
        group_size=2,
        lr=1e-3,
        lora=8 if run.lora else None,
        sleep=False,
        threads=1,
        report_to=(),
    )
    library = FakeLibrary((FakeVideo(frame_px=config.chosen.media.frame_size_px(_NATIVE_PX)[0]),))
    environment = environment_class(fake_tasks(), budget=BUDGET, tools=config.offered, library=library)
    model, processor = load_model(config.model, freeze_vision=config.freeze_vision)
    check_fit(config, environment, processor)
    arguments = grpo_arguments(config)
    arguments.use_vllm = False
    trainer = ScriptedTrainer(
        model,
        reward_functions(),
        arguments,
        environment_factory=environment,
        processing_class=processor,
        train_dataset=training_rows(environment),
        peft_config=lora_config(config),
        # Every rollout looks once and then answers, every other one rightly.
        turns=((_LOOK,), (_RIGHT, _WRONG)),
    )
    return trainer, config


class BatchCounts:
    """Counts of what the updates of this process read, in `seen`.

    Args:
        image_token_id: The token that stands for a part of an image.
    """

    def __init__(self, image_token_id: int) -> None:
        self._image_token_id = image_token_id
        self.seen = dict.fromkeys(
            ("rows", "tokens", "images", "image_tokens", "trained_tokens", "trained_image_tokens"), 0
        )

    def observe(self, inputs: Mapping[str, Any]) -> None:
        """Count a batch, of SFT or of GRPO."""
        import torch

        if "labels" in inputs:
            ids, trained, real = inputs["input_ids"], inputs["labels"] != -100, inputs["attention_mask"].bool()
        else:
            ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
            real = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1).bool()
            own = inputs["completion_mask"] * inputs["tool_mask"]
            trained = torch.cat([torch.zeros_like(inputs["prompt_mask"]), own], dim=1).bool()
        is_image = (ids == self._image_token_id) & real
        self.seen["rows"] += len(ids)
        self.seen["tokens"] += int(real.sum())
        self.seen["images"] += len(inputs["image_grid_thw"])
        self.seen["image_tokens"] += int(is_image.sum())
        self.seen["trained_tokens"] += int(trained.sum())
        self.seen["trained_image_tokens"] += int((trained & is_image).sum())


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    import tyro

    try:
        main(tyro.cli(DryRun))
    except ConfigError as error:
        sys.exit(f"dry_run: {error}")
