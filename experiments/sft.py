"""Train a model on trajectories: `vt-env sft --trajectories runs/synth/dataset --out runs/sft`.

Only what the policy wrote is trained on. Small models forget what is not in the mixture, so a share of the rows can be
the tiny base model's own skills. Interrupted, it goes on from its last checkpoint.
"""

from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from experiments.policies import BASE_MODEL
from experiments.runs import open_run
from experiments.sft_data import ConversationCollator, Rows, TrajectoryRows, load_trajectories
from experiments.sft_mixture import MixedRows, SkillRows, order_of_rows
from experiments.training import (
    CHECKPOINTS_FOLDER,
    MODEL_FOLDER,
    last_checkpoint,
    load_model,
    metrics_callback,
    save_model,
)
from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, DataError
from vt_env.media.video import VideoLibrary
from vt_env.tasks import load_tasks


@dataclass(frozen=True)
class SFTRun:
    """How a model is trained on trajectories."""

    out: Path = Path("runs/sft")
    """Run directory; the model lands in its `model` folder, and an interrupted run goes on there."""
    trajectories: Path = Path("runs/synth/dataset")
    """Folder of a data set, or a JSONL file."""
    model: str = str(BASE_MODEL)
    """Checkpoint folder or hub name to start from; by default the shipped base model."""
    tasks: str = "world"
    """The tasks that the trajectories were made from; they know where the videos lie."""
    split: str = "train"
    """Split of the tasks."""
    tools: Literal["default", "paper"] = "default"
    """The tools that the model is offered."""
    media: MediaConfig = field(default_factory=MediaConfig)
    """How the videos are stored; frames must be as large as those that were shown."""
    skills_share: float = 0.0
    """Share of the rows that are skills of the tiny base model, never the same twice, 0 to below 1; for the tiny model
    alone."""
    epochs: float = 1.0
    """Passes over the trajectories."""
    steps: int | None = None
    """Optimiser steps; by default what `epochs` takes."""
    batch_size: int = 16
    """Rows a step."""
    lr: float = 3e-4
    """Peak learning rate; linear warm-up over 5 % of the steps, then cosine to 0."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm."""
    seed: int = 0
    """Seed of the order of rows and of the skills."""
    freeze_vision: bool = True
    """Leave the vision tower as it is."""
    lora: int | None = None
    """Rank of LoRA adapters on all linear layers, merged at the end; by default all weights are trained."""
    save_steps: int = 100
    """Steps between checkpoints."""
    threads: int = 2
    """CPU threads of PyTorch."""

    def __post_init__(self) -> None:
        if not 0 <= self.skills_share < 1:
            raise ConfigError(f"skills_share={self.skills_share}: need 0 to below 1")


def main(config: SFTRun) -> Path:
    """Train, or go on training.

    Returns:
        The run directory; the model is its `model` folder.

    Raises:
        ConfigError: The configuration is impossible, or the directory belongs to another run.
        DataError: Trajectories or videos cannot be read.
    """
    folder = config.out / MODEL_FOLDER
    with open_run(config.out, "sft", config) as run:
        if folder.exists():
            return config.out
        torch.set_num_threads(config.threads)
        model, processor = load_model(config.model, freeze_vision=config.freeze_vision)
        learned = _learned(config)
        run.metric({"event": "rows", "rows": len(learned), "left_out": learned.left_out})
        trainer = _trainer(config, model, processor, learned)
        trainer.add_callback(metrics_callback(run, lambda step, logs: {"step": step, **logs}))
        trainer.train(resume_from_checkpoint=last_checkpoint(config.out))
        save_model(trainer.model.merge_and_unload() if config.lora else trainer.model, processor, folder)
    return config.out


def _learned(config: SFTRun) -> TrajectoryRows:
    """Return the rows that trajectories are."""
    learned = TrajectoryRows(
        list(load_trajectories(config.trajectories)),
        load_tasks(config.tasks, config.split),
        VideoLibrary(config.media),
        config.tools,
    )
    if not len(learned):
        raise DataError(f"{config.trajectories}: no trajectory ends in an answer; write others with vt-env synth")
    return learned


def _passes(config: SFTRun, trajectories: int) -> float:
    """Tell how often every trajectory is seen."""
    if config.steps is None:
        return config.epochs
    return config.steps * config.batch_size * (1 - config.skills_share) / trajectories


def _trainer(config: SFTRun, model: Any, processor: Any, learned: Rows) -> Any:
    from datasets import Dataset
    from trl import SFTTrainer

    collate = ConversationCollator(processor)
    passes = _passes(config, len(learned))
    # Trajectories come again in every pass; skills are made anew, since a few of them would be learned by heart.
    repeats = ceil(passes)
    skills = round(repeats * len(learned) * config.skills_share / (1 - config.skills_share))
    rows = MixedRows(*[learned] * repeats, SkillRows(config.seed, skills))
    order = order_of_rows(rows.lengths(), config.batch_size, np.random.default_rng(config.seed))
    # The table holds numbers alone: rows are built when a batch needs them.
    table = Dataset.from_dict({"number": order})
    return SFTTrainer(
        model=model,
        args=_arguments(config, passes / repeats),
        train_dataset=table,
        data_collator=lambda examples: collate([rows[example["number"]] for example in examples]),
        processing_class=processor,
        peft_config=_lora(config),
    )


def _arguments(config: SFTRun, epochs: float) -> Any:
    from trl import SFTConfig

    on_gpu = torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(config.out / CHECKPOINTS_FOLDER),
        num_train_epochs=epochs,
        max_steps=config.steps or -1,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.lr,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        bf16=on_gpu,
        use_cpu=not on_gpu,
        gradient_checkpointing=on_gpu,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        train_sampling_strategy="sequential",
        save_steps=config.save_steps,
        save_total_limit=1,
        logging_steps=10,
        report_to="none",
    )


def _lora(config: SFTRun) -> Any:
    if config.lora is None:
        return None
    from peft import LoraConfig

    kept = r".*visual.*" if config.freeze_vision else None
    return LoraConfig(r=config.lora, lora_alpha=2 * config.lora, target_modules="all-linear", exclude_modules=kept)
