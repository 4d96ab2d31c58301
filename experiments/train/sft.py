"""Train a model on trajectories: `vt-env sft --trajectories runs/synth/dataset --out runs/sft`.

Only what the policy wrote is trained on. Small models forget what is not in the mixture, so a share of the rows can be
the tiny base model's own skills. Interrupted, it goes on from its last checkpoint and ends with the weights of an
unbroken run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from experiments.runs.run_dir import Run
from experiments.settings.policies import BASE_MODEL
from experiments.settings.token_budget import check_frame_size
from experiments.train.callbacks import add_callbacks, check_trackers, trackers_of
from experiments.train.common import (
    CHECKPOINTS_FOLDER,
    MODEL_FOLDER,
    TrainerConfig,
    load_model,
    lora_config,
    open_training,
    process_count,
    save_trained,
    train_from_last_checkpoint,
    trained_dtype,
)
from experiments.train.sft_mixture import MixedRows, RepeatedRows, SkillRows, order_of_rows
from experiments.train.sft_rows import ConversationCollator, TrajectoryRows, load_trajectories
from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, DataError
from vt_env.integrations.trl import keep_tower_in_step
from vt_env.task_sources import load_tasks

SHOWN = {"loss": "loss", "accuracy": "mean_token_accuracy"}
"""What the progress bar shows, by the trainer's own names."""


@dataclass(frozen=True, kw_only=True)
class SFTSettings(TrainerConfig):
    """How a model is trained on conversations, wherever they come from."""

    model: str = str(BASE_MODEL)
    """Checkpoint folder or hub name to start from; by default the shipped base model."""
    skills_share: float = 0.0
    """Share of the rows that are skills of the tiny base model, never the same twice, 0 to below 1; for the tiny model
    alone."""
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    """How often a pass holds each trajectory of a question family, by its name: `ordering 4 subtitle 0.3`; once where
    the family is not named. Filtering leaves few trajectories of families that the teacher mostly fails."""
    epochs: float = 1.0
    """Passes over the trajectories."""
    steps: int | None = None
    """Optimiser steps; by default what `epochs` takes."""
    batch_size: int = 16
    """Rows that a process holds at once."""
    accumulation: int = 1
    """Batches a step; a step takes `batch_size * accumulation` rows in each process."""
    lr: float = 3e-4
    """Peak learning rate; linear warm-up over 5 % of the steps, then cosine to 0."""
    max_length: int | None = None
    """Tokens of the longest row allowed; by default what the model has positions for."""
    save_steps: int = 100
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.skills_share < 1:
            raise ConfigError(f"skills_share={self.skills_share}: need 0 to below 1")
        for family, weight in self.weights.items():
            if weight < 0:
                raise ConfigError(f"weights {family}={weight}: need 0 or more")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps={self.steps}: need 1 or more, or none for what --epochs takes")
        if self.batch_size < 1 or self.accumulation < 1 or self.epochs <= 0:
            raise ConfigError(
                f"batch_size={self.batch_size}, accumulation={self.accumulation}, epochs={self.epochs}: need 1 or more "
                "rows and batches, and epochs above 0"
            )


@dataclass(frozen=True, kw_only=True)
class SFTRun(SFTSettings):
    """How a model is trained on trajectories."""

    preset: Literal["tiny", "paper-7b"] = "tiny"
    """Where the other settings come from, unless they are given: `experiments.train.sft.PRESETS`."""
    out: Path = Path("runs/sft")
    """Run directory; the model lands in its `model` folder, and an interrupted run goes on there."""
    trajectories: tuple[Path, ...] = (Path("runs/synth/dataset"),)
    """Folders of data sets, or JSONL files, taken together. `tasks` are those they were made from, which know where the
    videos lie."""


PRESETS: Mapping[str, SFTRun] = {
    "tiny": SFTRun(),
    "paper-7b": SFTRun(
        preset="paper-7b",
        model="Qwen/Qwen2.5-VL-7B-Instruct",
        tools="paper",
        media=MediaConfig(frame_px=448),
        lora=64,
        lora_alpha=16,
        epochs=3,
        max_length=200_000,
        lr=1e-4,
        batch_size=1,
        accumulation=2,
    ),
}
"""`paper-7b` is VideoThinker's recipe (arXiv 2601.15724). What readings of the paper agree on: the base model, LoRA
with the vision tower frozen, 3 epochs, 200,000 tokens. Unsettled, since one reading takes them from a script in the
appendix and another says that they are not disclosed: rank 64, scale 16, all linear layers, learning rate 1e-4, one row
at a time, accumulation over 2. Not stated, so our choice: tool results are masked, frames have 448 pixels (256 tokens).
Its trainer was MS-Swift on up to four H200; here it is TRL."""


def main(config: SFTRun) -> Path:
    """Train, or go on training.

    Returns:
        The run directory; the model is its `model` folder.

    Raises:
        ConfigError: The configuration is impossible, or the directory belongs to another run.
        DataError: Trajectories or videos cannot be read, or none of them can be learned from.
        TrainingStopped: The loss is no number.
    """
    with open_training(config.out, "sft", config, config.trajectories) as run:
        if not (config.out / MODEL_FOLDER).exists():
            train(config, config.trajectories, config.out, run)
    return config.out


def train(config: SFTSettings, trajectories: Sequence[Path], out: Path, run: Run | None) -> None:
    """Train in an open run directory, from its last checkpoint if there is one, and save the model.

    Args:
        config: How.
        trajectories: Folders of data sets, or JSONL files.
        out: The run directory.
        run: Where metrics go; `None` in all processes but the first.
    """
    check_trackers(config.report_to)
    torch.set_num_threads(config.threads)
    # What is wrong with the data is found before a large model is loaded.
    learned = _learned(config, trajectories)
    model, processor = load_model(config.model, freeze_vision=config.freeze_vision, dtype=trained_dtype(config))
    check_frame_size(processor, config.media.frame_px)
    if run is not None:
        run.metric({"event": "rows", "rows": len(learned), "left_out": learned.left_out})
    trainer = build_trainer(config, model, processor, learned, out)
    add_callbacks(trainer, run, lambda step, logs: {"step": step, **logs}, SHOWN, out)
    train_from_last_checkpoint(trainer, config, out)
    save_trained(trainer, config, out)


def _learned(config: SFTSettings, trajectories: Sequence[Path]) -> TrajectoryRows:
    """Return the rows that trajectories are.

    Raises:
        DataError: None of them ends in an answer, none of the answers is right, or a weight is of no family.
    """
    named = ", ".join(map(str, trajectories))
    read = list(chain.from_iterable(map(load_trajectories, trajectories)))
    learned = TrajectoryRows(read, load_tasks(config.tasks, config.split), config.open_library(), config.tools)
    if not len(learned):
        raise DataError(f"{named}: of {len(read)} trajectories none ends in an answer; write others with vt-env synth")
    if not learned.right:
        raise DataError(
            f"{named}: all {len(learned)} answers are wrong, so there is nothing to learn; write others with "
            "vt-env synth, with a better teacher or more --samples"
        )
    learned.check_frame_size(config.media.frame_px)
    learned.weights(config.weights)
    return learned


def _passes(config: SFTSettings, rows_a_pass: float) -> float:
    """Tell how often a trajectory of weight 1 is seen."""
    if config.steps is None:
        return config.epochs
    rows_a_step = config.batch_size * config.accumulation * process_count()
    return config.steps * rows_a_step * (1 - config.skills_share) / rows_a_pass


def build_trainer(config: SFTSettings, model: Any, processor: Any, learned: TrajectoryRows, out: Path) -> Any:
    """Build the trainer of rows that are to be learned, mixed with skills.

    Args:
        config: How.
        model: As `load_model` returns it.
        processor: Its processor.
        learned: Conversations to learn from.
        out: The run directory.

    Raises:
        DataError: `config.weights` names a family that no trajectory is of, or leaves nothing.
    """
    from datasets import Dataset
    from trl import SFTTrainer

    if process_count() > 1:
        keep_tower_in_step(model)
    collate = ConversationCollator(
        processor, config.max_length or model.config.get_text_config().max_position_embeddings
    )
    rng = np.random.default_rng(config.seed)
    weights = learned.weights(config.weights)
    passes = _passes(config, sum(weights))
    # Trajectories come again in every pass; skills are made anew, since a few of them would be learned by heart.
    repeated = RepeatedRows(learned, [weight * ceil(passes) for weight in weights], rng)
    if not len(repeated):
        raise DataError(f"weights {dict(config.weights)}: they leave none of {len(learned)} trajectories; raise them")
    skills = round(len(repeated) * config.skills_share / (1 - config.skills_share))
    rows = MixedRows(repeated, SkillRows(config.seed, skills))
    order = order_of_rows(rows.lengths(), config.batch_size, rng)
    # The table holds numbers alone: rows are built when a batch needs them.
    table = Dataset.from_dict({"number": order})
    return SFTTrainer(
        model=model,
        args=_arguments(config, out, passes / ceil(passes)),
        train_dataset=table,
        data_collator=lambda examples: collate([rows[example["number"]] for example in examples]),
        processing_class=processor,
        peft_config=lora_config(config),
    )


def _arguments(config: SFTSettings, out: Path, epochs: float) -> Any:
    from trl import SFTConfig

    on_gpu = torch.cuda.is_available()
    return SFTConfig(
        output_dir=str(out / CHECKPOINTS_FOLDER),
        num_train_epochs=epochs,
        max_steps=-1 if config.steps is None else config.steps,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
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
        logging_nan_inf_filter=False,
        report_to=trackers_of(config.report_to, out),
    )
