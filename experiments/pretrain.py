"""Train the tiny base model on its skills: `vt-env pretrain --out runs/base`.

About an hour on two CPU cores; the result ships in `experiments/tiny/base`. It resumes where it was interrupted.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from experiments.tiny.batches import ExchangeCollator, Exchanges
from experiments.tiny.model import build_model
from experiments.tiny.processor import build_processor
from experiments.tiny.skills import Exchange


@dataclass(frozen=True)
class PretrainRun:
    """How the base model is trained."""

    out: Path = Path("runs/base")
    """Run directory; the finished model lands in its `model` folder."""
    steps: int = 4500
    """Optimiser steps."""
    batch_size: int = 32
    """Exchanges a step."""
    lr: float = 1.5e-3
    """Peak learning rate; linear warm-up over 200 steps, then cosine to 0."""
    seed: int = 1
    """Seed of the weights and of the exchanges; the probes use another one."""
    threads: int = 2
    """CPU threads of PyTorch."""
    workers: int = 1
    """Processes that paint and tokenise."""


def main(run: PretrainRun) -> Path:
    """Train, save and return the model's folder."""
    torch.set_num_threads(run.threads)
    processor = build_processor()
    model = build_model(processor.tokenizer, run.seed)
    trainer = InOrderTrainer(
        model=model,
        args=_arguments(run),
        train_dataset=Exchanges(run.seed, run.steps, run.batch_size),
        data_collator=ExchangeCollator(processor),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(run.out)) if run.out.is_dir() else None)
    folder = run.out / "model"
    trainer.save_model(str(folder))
    processor.save_pretrained(folder)
    return folder


class InOrderTrainer(Trainer):
    """Takes the exchanges in their order: they are drawn at random already, and batches must stay together."""

    def _get_train_sampler(self, train_dataset: Dataset[Exchange] | None = None) -> SequentialSampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)


def _arguments(run: PretrainRun) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(run.out),
        max_steps=run.steps,
        per_device_train_batch_size=run.batch_size,
        learning_rate=run.lr,
        lr_scheduler_type="cosine",
        warmup_steps=200,
        weight_decay=0.01,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        dataloader_num_workers=run.workers,
        remove_unused_columns=False,
        use_cpu=True,
        logging_steps=50,
        save_steps=250,
        save_total_limit=1,
        seed=run.seed,
        report_to="none",
    )
