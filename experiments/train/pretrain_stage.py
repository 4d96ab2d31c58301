"""One stage of the base model's training: its trainer, checkpoints by the clock, and the time that is left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.utils.data import Dataset, SequentialSampler
from tqdm import tqdm
from transformers import (
    PrinterCallback,
    ProgressCallback,
    Qwen2_5_VLForConditionalGeneration,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from experiments.runs.run_dir import Run, Stopwatch
from experiments.tiny_model.muon_adamw import MuonAdamW
from experiments.tiny_model.recipe import Recipe, Stage
from vt_env.integrations.trl.checked_trainer import CheckedTrainer
from vt_env.integrations.trl.checkpoints import newest_checkpoint
from vt_env.media.terminal import progress_bar

SAVE_EVERY_S = 240.0
"""Seconds between two checkpoints, so that a killed run repeats less than five minutes."""
LOG_EVERY = 50
"""Steps between two lines of metrics."""


class InOrderTrainer(CheckedTrainer, Trainer):
    """Trainer with a sequential sampler: examples are random already, and batches must stay together."""

    def _get_train_sampler(self, train_dataset: Dataset[object] | None = None) -> SequentialSampler:
        dataset: Any = train_dataset if train_dataset is not None else self.train_dataset
        return SequentialSampler(dataset)


@dataclass(frozen=True)
class StageData:
    """Examples of a stage and their collator."""

    examples: Dataset[Any]
    collate: Callable[[Sequence[Any]], dict[str, Any]]


def train_stage(
    run: Run, recipe: Recipe, stage: Stage, model: nn.Module, data: StageData, *, seed: int, workers: int
) -> None:
    """Run one stage from its last checkpoint, if there is one.

    Args:
        run: The open run; checkpoints go to its folder of the stage's name.
        recipe: All stages, for the time left.
        stage: The stage.
        model: What is trained; a language model by `MuonAdamW`, a classifier by AdamW.
        data: Its examples.
        seed: Seed of the run.
        workers: Processes for rendering and tokenising.
    """
    folder = run.path / stage.name
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=stage.steps,
        per_device_train_batch_size=stage.batch_size,
        learning_rate=stage.lr,
        lr_scheduler_type=stage.schedule,
        warmup_steps=stage.warmup,
        weight_decay=0.01,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        dataloader_num_workers=workers,
        remove_unused_columns=False,
        label_names=["labels"],
        use_cpu=True,
        logging_steps=min(LOG_EVERY, stage.steps),
        save_strategy="no",
        save_total_limit=1,
        seed=seed,
        report_to="none",
    )
    is_language = isinstance(model, Qwen2_5_VLForConditionalGeneration)
    betas = (arguments.adam_beta1, arguments.adam_beta2)
    optimizer = MuonAdamW(model, stage.lr, betas, arguments.weight_decay) if is_language else None
    trainer = InOrderTrainer(
        model=model,
        args=arguments,
        train_dataset=data.examples,
        data_collator=data.collate,
        optimizers=(optimizer, None),
    )
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StageProgress(run, recipe, stage))
    trainer.add_callback(SaveByClock())
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder))


class SaveByClock(TrainerCallback):
    """Saves a checkpoint every few minutes, however long steps are."""

    def __init__(self) -> None:
        self._watch = Stopwatch()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a checkpoint if the last one is too old; the end of a stage has a file of its own."""
        if self._watch.elapsed_s >= SAVE_EVERY_S and state.global_step < state.max_steps:
            control.should_save = True
            self._watch = Stopwatch()


class StageProgress(TrainerCallback):
    """One progress bar for a stage, with the loss and the time left of all stages; writes the loss to the metrics."""

    def __init__(self, run: Run, recipe: Recipe, stage: Stage) -> None:
        place = recipe.stages.index(stage)
        self._run, self._stage = run, stage
        self._label = f"{run.path} {stage.name} ({place + 1} of {len(recipe.stages)})"
        self._later_s = sum(it.steps * it.step_s for it in recipe.stages[place + 1 :])

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar, at the step that was resumed from."""
        self._first, self._watch = state.global_step, Stopwatch()
        self._bar = progress_bar(self._label, state.max_steps, state.global_step, "step")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count a step."""
        self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Show the loss and the time left; later stages are expected to be off by as much as this one."""
        if "loss" not in logs:
            return
        step_s = self._watch.elapsed_s / max(1, state.global_step - self._first)
        left_s = step_s * (state.max_steps - state.global_step) + self._later_s * step_s / self._stage.step_s
        self._bar.set_postfix({"loss": f"{logs['loss']:.3g}", "all stages": f"{tqdm.format_interval(left_s)} left"})
        self._run.metric(
            {"stage": self._stage.name, "step": state.global_step, "loss": logs["loss"], "step_s": round(step_s, 3)}
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar."""
        self._bar.close()
