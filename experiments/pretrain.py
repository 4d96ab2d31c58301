"""Train the tiny base model: `vt-env pretrain --out runs/base`.

    vision tower with four classification heads ──► the language model, tower frozen: first texts alone, then all skills

Half an hour on two CPU cores; the result ships in `experiments/tiny/base`. It resumes where it was interrupted.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from experiments.tiny.batches import ExchangeCollator, Exchanges
from experiments.tiny.model import build_model
from experiments.tiny.processor import build_processor
from experiments.tiny.vision import SceneCollator, Scenes, VisionClassifier
from experiments.training import restore_weights


@dataclass(frozen=True)
class StageConfig:
    """One stage of training."""

    steps: int
    """Optimiser steps."""
    batch_size: int
    """Examples a step."""
    lr: float
    """Peak learning rate; linear warm-up over 100 steps, then cosine to 0."""


@dataclass(frozen=True)
class PretrainRun:
    """How the base model is trained."""

    out: Path = Path("runs/base")
    """Run directory; the finished model lands in its `model` folder."""
    vision: StageConfig = StageConfig(steps=2000, batch_size=64, lr=2e-3)
    """First stage: the vision tower, on single scenes."""
    skills: StageConfig = StageConfig(steps=3000, batch_size=32, lr=1.5e-3)
    """Second stage: everything but the vision tower, on exchanges."""
    text_steps: int = 800
    """Steps of the second stage before the first picture."""
    seed: int = 1
    """Seed of the weights and of the examples; the probes use another one."""
    threads: int = 2
    """CPU threads of PyTorch."""
    workers: int = 1
    """Processes that paint and tokenise."""


def main(run: PretrainRun) -> Path:
    """Train, save and return the model's folder."""
    torch.set_num_threads(run.threads)
    processor = build_processor()
    model = build_model(processor.tokenizer, run.seed)
    model.model.visual.load_state_dict(load_file(_vision(run, model, processor)))
    model.model.visual.requires_grad_(False)
    exchanges = Exchanges(run.seed, run.skills.steps, run.skills.batch_size, run.text_steps)
    trainer = _train(run, "skills", run.skills, model, exchanges, ExchangeCollator(processor))
    folder = run.out / "model"
    model.requires_grad_(True)
    trainer.save_model(str(folder))
    processor.save_pretrained(folder)
    return folder


def _vision(run: PretrainRun, model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor) -> Path:
    """Train the tower, unless an earlier process has, and return the file of its weights."""
    finished = run.out / "vision.safetensors"
    if not finished.is_file():
        scenes = Scenes(run.seed, run.vision.steps * run.vision.batch_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            classifier = VisionClassifier(model)
        _train(run, "vision", run.vision, classifier, scenes, SceneCollator(processor))
        unfinished = finished.with_suffix(".unfinished")
        save_file(model.model.visual.state_dict(), unfinished)
        os.replace(unfinished, finished)
    return finished


class InOrderTrainer(Trainer):
    """Takes the examples in their order: they are drawn at random already, and batches must stay together."""

    def _get_train_sampler(self, train_dataset: Dataset[object] | None = None) -> SequentialSampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)


def _train(
    run: PretrainRun, name: str, stage: StageConfig, model: nn.Module, dataset: Dataset[object], collate: Callable
) -> Trainer:
    """Run one stage from its last checkpoint, if there is one."""
    folder = run.out / name
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=stage.steps,
        per_device_train_batch_size=stage.batch_size,
        learning_rate=stage.lr,
        lr_scheduler_type="cosine",
        warmup_steps=100,
        weight_decay=0.01,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        dataloader_num_workers=run.workers,
        remove_unused_columns=False,
        label_names=["labels"],
        use_cpu=True,
        logging_steps=50,
        save_steps=250,
        save_total_limit=1,
        seed=run.seed,
        report_to="none",
    )
    trainer = InOrderTrainer(model=model, args=arguments, train_dataset=dataset, data_collator=collate)
    checkpoint = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    if checkpoint is not None and isinstance(model, Qwen2_5_VLForConditionalGeneration):
        restore_weights(model, checkpoint)
    trainer.train(resume_from_checkpoint=checkpoint)
    return trainer
