"""Supervised fine-tuning on trajectories: `vt-env sft --trajectories runs/synth/dataset --out runs/sft`.

The loss covers only the policy's tokens. Small models forget skills outside the mixture, so a share of the rows can
rehearse the tiny base model's skills. An interrupted run resumes from its last checkpoint, with the same final weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from experiments.runs.run_dir import Run
from experiments.settings.policies import BASE_MODEL
from experiments.settings.profile import MediaFlags
from experiments.settings.prompts import trajectory_prompts
from experiments.settings.tags import TagConfig
from experiments.settings.token_budget import check_frame_size
from experiments.settings.world_version import check_world
from experiments.train.callbacks import add_callbacks, check_trackers, trackers_of
from experiments.train.sft_mixture import MixedRows, RepeatedRows, SkillRows, order_of_rows
from experiments.train.sft_rows import ConversationCollator, TrajectoryRows, load_trajectories
from experiments.train.trainer_config import TrainerConfig, lora_config, trained_dtype
from experiments.train.training_run import (
    CHECKPOINTS_FOLDER,
    MODEL_FOLDER,
    last_checkpoint,
    load_model,
    open_training,
    process_count,
    save_trained,
)
from vt_env.config import at_least
from vt_env.errors import ConfigError, DataError
from vt_env.integrations.trl.sharded_vision import keep_tower_in_step
from vt_env.task_sources import load_tasks

PROGRESS_METRICS = {"loss": "loss", "accuracy": "mean_token_accuracy"}
"""Labels of the progress bar, with the trainer's names of the metrics."""


@dataclass(frozen=True, kw_only=True)
class SFTSettings(TrainerConfig):
    """Settings of supervised fine-tuning, for any source of conversations."""

    model: str = str(BASE_MODEL)
    """Checkpoint folder or hub name to start from; by default the packaged base model."""
    skills_share: float = 0.0
    """Share of rehearsal rows with skills of the tiny base model, always new, 0 to below 1; only for the tiny model."""
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    """Repeats per epoch of the trajectories of a question family, by name: `ordering 4 subtitle 0.3`; 1 for the others.
    Filtering leaves few trajectories of families that the teacher mostly fails."""
    epochs: float = 1.0
    """Epochs over the trajectories."""
    steps: int | None = None
    """Optimiser steps; by default as many as `epochs` requires."""
    batch_size: int = 16
    """Rows per batch and process."""
    accumulation: int = 1
    """Gradient accumulation: a step has `batch_size * accumulation` rows per process."""
    lr: float = 3e-4
    """Peak learning rate; linear warm-up over 5 % of the steps, then cosine decay to 0."""
    max_length: int | None = None
    """Maximum tokens of a row; by default the model's maximum position."""
    save_steps: int = 100
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.skills_share < 1:
            raise ConfigError(f"skills_share={self.skills_share}: need 0 to below 1")
        for family, weight in self.weights.items():
            if weight < 0:
                raise ConfigError(f"weights {family}={weight}: need 0 or more")
        for name in ("steps", "batch_size", "accumulation"):
            at_least(self, name, 1)
        if self.epochs <= 0:
            raise ConfigError(f"epochs={self.epochs}: need more than 0")


@dataclass(frozen=True, kw_only=True)
class SFTRun(TagConfig, SFTSettings):
    """Settings of supervised fine-tuning on trajectories."""

    preset: Literal["tiny", "paper-7b"] = "tiny"
    """Preset of all settings that are not given, from `experiments.train.sft.PRESETS`."""
    out: Path = Path("runs/sft")
    """Run directory; the model is written to its `model` folder. An interrupted run resumes."""
    trajectories: tuple[Path, ...] = (Path("runs/synth/dataset"),)
    """Data set folders or JSONL files, concatenated. `tasks` must include their tasks, which locate the videos."""


PRESETS: Mapping[str, SFTRun] = {
    "tiny": SFTRun(),
    "paper-7b": SFTRun(
        preset="paper-7b",
        model="Qwen/Qwen2.5-VL-7B-Instruct",
        tools="paper",
        media=MediaFlags(max_pixels=448 * 448),
        lora=64,
        lora_alpha=16,
        epochs=3,
        max_length=200_000,
        lr=1e-4,
        batch_size=1,
        accumulation=2,
    ),
}
"""`paper-7b` is VideoThinker's recipe (arXiv 2601.15724). Undisputed readings of the paper: the base model, LoRA
with the vision tower frozen, 3 epochs, 200,000 tokens. Unsettled, since one reading takes them from a script in the
appendix and another says that they are not disclosed: rank 64, scale 16, all linear layers, learning rate 1e-4, one row
at a time, accumulation over 2. Not stated, so our choice: tool results are masked, frames have 448 x 448 pixels
at most (256 tokens).
Its trainer was MS-Swift on up to four H200; here it is TRL."""


def main(config: SFTRun) -> Path:
    """Train in a run directory, resuming an interrupted run.

    Returns:
        The run directory; the model is in its `model` folder.

    Raises:
        ConfigError: The configuration is invalid, or the directory belongs to another run.
        DataError: Trajectories or videos cannot be read, or no trajectory is trainable.
        TrainingStopped: The loss or the gradient is not finite.
    """
    config = config.filled()
    with open_training(config.out, "sft", config, config.trajectories) as run:
        if not (config.out / MODEL_FOLDER).exists():
            train(config, config.trajectories, config.out, run, config)
    return config.out


def train(
    config: SFTSettings, trajectories: Sequence[Path], out: Path, run: Run | None, tags: TagConfig | None = None
) -> None:
    """Train in an open run directory, from its last checkpoint if there is one, and save the model.

    Args:
        config: Training settings.
        trajectories: Data set folders or JSONL files.
        out: The run directory.
        run: The open run, for metrics; `None` in all processes but the first.
        tags: Choice of trajectories by their tags; all by default.
    """
    check_trackers(config.report_to)
    torch.set_num_threads(config.threads)
    # Check the data before loading a large model.
    learned = _learned(config, trajectories, tags or TagConfig())
    model, processor = load_model(config.model, freeze_vision=config.freeze_vision, dtype=trained_dtype(config))
    check_frame_size(processor, config.chosen.media)
    if run is not None:
        run.metric({"event": "rows", "rows": len(learned), "left_out": learned.left_out})
    trainer = build_trainer(config, model, processor, learned, out)
    add_callbacks(trainer, run, lambda step, logs: {"step": step, **logs}, PROGRESS_METRICS, out)
    trainer.train(resume_from_checkpoint=last_checkpoint(out))
    save_trained(trainer, config, out, learned.prompts)


def _learned(config: SFTSettings, trajectories: Sequence[Path], tags: TagConfig) -> TrajectoryRows:
    """Load the training rows.

    Raises:
        ConfigError: No trajectory has one of the tags.
        DataError: No trajectory ends in an answer, no answer is right, or a weight names an unknown family.
    """
    named = ", ".join(map(str, trajectories))
    judges = tags.judges(trajectories)
    read = [
        it
        for path, judge in zip(trajectories, judges, strict=True)
        for it in load_trajectories(path)
        if judge(it.task_id, it.sample) is None
    ]
    prompts = trajectory_prompts((it.prompts for it in read), config.prompts, config.model) if read else None
    tasks = load_tasks(config.tasks, config.split)
    check_world(config.model, tasks)
    learned = TrajectoryRows(read, tasks, config.open_library(), config.offered, prompts)
    if not len(learned):
        raise DataError(f"{named}: of {len(read)} trajectories none ends in an answer; write others with vt-env synth")
    if not learned.right:
        raise DataError(
            f"{named}: all {len(learned)} answers are wrong, so there is nothing to learn; write others with "
            "vt-env synth, with a better teacher or more --samples"
        )
    learned.check_first_frames()
    learned.weights(config.weights)
    return learned


def _passes(config: SFTSettings, rows_a_pass: float) -> float:
    """Return the number of epochs over a trajectory of weight 1."""
    if config.steps is None:
        return config.epochs
    rows_a_step = config.batch_size * config.accumulation * process_count()
    return config.steps * rows_a_step * (1 - config.skills_share) / rows_a_pass


def build_trainer(config: SFTSettings, model: Any, processor: Any, learned: TrajectoryRows, out: Path) -> Any:
    """Build the trainer over trajectory rows, mixed with rehearsal rows.

    Args:
        config: Training settings.
        model: The model, from `load_model`.
        processor: The processor, from `load_model`.
        learned: Trajectory rows.
        out: The run directory.

    Raises:
        DataError: `config.weights` names an unknown family, or leaves no row.
    """
    from datasets import Dataset

    from experiments.train.sft_trainer import CheckedSFTTrainer

    if process_count() > 1:
        keep_tower_in_step(model)
    collate = ConversationCollator(
        processor, config.max_length or model.config.get_text_config().max_position_embeddings
    )
    rng = np.random.default_rng(config.seed)
    weights = learned.weights(config.weights)
    passes = _passes(config, sum(weights))
    # Trajectories repeat in every epoch; rehearsal rows are always new, since few of them would be memorised.
    repeated = RepeatedRows(learned, [weight * ceil(passes) for weight in weights], rng)
    if not len(repeated):
        raise DataError(f"weights {dict(config.weights)}: they leave none of {len(learned)} trajectories; raise them")
    skills = round(len(repeated) * config.skills_share / (1 - config.skills_share))
    rows = MixedRows(repeated, SkillRows(config.seed, skills))
    order = order_of_rows(rows.lengths(), config.batch_size, rng)
    # The table holds only row indexes: rows are built when a batch needs them.
    table = Dataset.from_dict({"number": order})
    return CheckedSFTTrainer(
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
