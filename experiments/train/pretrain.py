"""Train the tiny base model: `vt-env pretrain --out runs/base`.

    vision tower with classification heads, on frames, then on crops ──► language model, with the tower frozen:
                      comparing names, all texts, comparisons again, describing pictures, all skills, complete searches
                                ──► both together: crops and complete searches, on new pictures

Takes about three hours on two CPU cores; the result is in `experiments/tiny_model/base`. An interrupted run resumes if
its settings are unchanged. Each stage depends on the seed and on the earlier stages.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor, Trainer, TrainingArguments

from experiments.runs.run_dir import open_run
from experiments.settings.prompts import PROMPTS_FILE
from experiments.tiny_model.batches import ExchangeCollator, Exchanges
from experiments.tiny_model.feature_pool import PooledCollator, PooledTower, ScenePool, pool_features
from experiments.tiny_model.model import build_model
from experiments.tiny_model.muon_adamw import MuonAdamW
from experiments.tiny_model.processor import build_processor
from experiments.tiny_model.stage_mixtures import GROUPS, MARKING, MATCHING, READING, SEEKING, SIGHT, TEXTS, Group
from experiments.tiny_model.vision_pretraining import PictureCollator, Pictures, VisionClassifier
from vt_env.config import HOW_ONLY
from vt_env.integrations.trl.checked_trainer import CheckedTrainer
from vt_env.integrations.trl.checkpoints import newest_checkpoint
from vt_env.jsonl import replace_file
from vt_env.prompts import TINY, save_prompts


@dataclass(frozen=True)
class StageConfig:
    """Settings of one training stage."""

    steps: int
    """Optimiser steps."""
    batch_size: int
    """Examples per step."""
    lr: float
    """Peak learning rate, after a linear warm-up over 100 steps."""
    schedule: str = "cosine"
    """Learning-rate schedule: `cosine` decay to 0, or `constant_with_warmup`."""


@dataclass(frozen=True)
class PretrainRun:
    """Settings of the base model's training."""

    out: Path = Path("runs/base")
    """Run directory; the model is written to its `model` folder."""
    vision: StageConfig = StageConfig(steps=1800, batch_size=64, lr=2e-3)
    """Vision tower, on single pictures, a quarter of them crops."""
    close: StageConfig = StageConfig(steps=2400, batch_size=64, lr=1e-3)
    """Vision tower again, mostly on crops: after the first stage it reads large digits but not small ones."""
    matching: StageConfig = StageConfig(steps=250, batch_size=32, lr=1.5e-3, schedule="constant_with_warmup")
    """Language model, on comparing two names only. Within the mixture of all texts it marked most names "yes" after
    1000 steps, 120 of them on this skill; alone, .97 of the exchanges are exact after 240."""
    texts: StageConfig = StageConfig(steps=1400, batch_size=32, lr=1.5e-3, schedule="constant_with_warmup")
    """Language model, on all text-only skills."""
    marking: StageConfig = StageConfig(steps=400, batch_size=32, lr=1e-3, schedule="constant_with_warmup")
    """Language model, mostly on comparisons again: learning to copy degrades the comparison of shapes (40 of 46 "near"
    were "yes" after 750 steps), and captions are not compared yet."""
    reading: StageConfig = StageConfig(steps=500, batch_size=64, lr=1e-3, schedule="constant_with_warmup")
    """Language model, on describing pictures only: within the mixture of all skills no number was read after 2600 steps
    (.04 of captions exact), alone most were after 200."""
    skills: StageConfig = StageConfig(steps=1500, batch_size=32, lr=1.5e-3)
    """Language model, on all skills except complete searches."""
    seeking: StageConfig = StageConfig(steps=900, batch_size=16, lr=1e-3)
    """Language model, mostly on complete searches."""
    sight: StageConfig = StageConfig(steps=1300, batch_size=32, lr=7e-4)
    """Language model and vision tower together, on new pictures, nearly half of them crops: earlier stages reuse the
    pictures of the pool, and the tower was trained for heads that have been discarded."""
    scenes: int = 16_000
    """Number of scenes in the pool of the language stages; the tower encodes their pictures once."""
    seed: int = 1
    """Seed of weights and examples; the probes have another one."""
    threads: int = 2
    """CPU threads of PyTorch."""
    workers: int = field(default=1, metadata=HOW_ONLY)
    """Number of processes for rendering and tokenising."""


LANGUAGE_STAGES: Mapping[str, Sequence[tuple[float, Group]]] = {
    "matching": MATCHING,
    "texts": TEXTS,
    "marking": MARKING,
    "reading": READING,
    "skills": GROUPS,
    "seeking": SEEKING,
}
"""Skill mixtures of the language stages, in order."""


def main(run: PretrainRun) -> Path:
    """Train all stages, save the model and return its folder.

    Raises:
        ConfigError: The directory belongs to a run with other settings, or another process uses it.
    """
    with open_run(run.out, "pretrain", run):
        return _train_stages(run)


def _train_stages(run: PretrainRun) -> Path:
    torch.set_num_threads(run.threads)
    processor = build_processor()
    vision = _stage_file(run, "vision", lambda model: _train_vision(run, model, processor), processor)
    close = _stage_file(run, "close", lambda model: _train_close(run, model, processor, vision), processor)
    weights: Path | None = None
    for name in LANGUAGE_STAGES:
        start = partial(_train_language, run, name, processor, weights, close)
        weights = _stage_file(run, name, start, processor)
    assert weights is not None
    sight = _stage_file(run, "sight", partial(_train_sight, run, processor, weights), processor)
    model = build_model(processor.tokenizer, run.seed)
    model.load_state_dict(load_file(sight))
    folder = run.out / "model"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    save_prompts(TINY, folder / PROMPTS_FILE)
    return folder


def _stage_file(
    run: PretrainRun,
    name: str,
    train: Callable[[Qwen2_5_VLForConditionalGeneration], nn.Module],
    processor: Qwen2_5_VLProcessor,
) -> Path:
    """Train a stage unless its weights exist, and return the weights file."""
    finished = run.out / f"{name}.safetensors"
    if not finished.is_file():
        weights = train(build_model(processor.tokenizer, run.seed)).state_dict()
        with replace_file(finished) as part:
            save_file({key: value.contiguous() for key, value in weights.items()}, part)
    return finished


def _train_vision(
    run: PretrainRun, model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor
) -> nn.Module:
    pictures = Pictures(run.seed, run.vision.steps * run.vision.batch_size, close_share=0.25)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        classifier = VisionClassifier(model)
    _train(run, "vision", run.vision, classifier, pictures, PictureCollator(processor))
    return classifier


def _train_close(
    run: PretrainRun, model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, vision: Path
) -> nn.Module:
    classifier = VisionClassifier(model)
    classifier.load_state_dict(load_file(vision))
    # Differs from the seed of the first stage, so that no picture repeats.
    pictures = Pictures(run.seed + 1, run.close.steps * run.close.batch_size, close_share=0.7)
    _train(run, "close", run.close, classifier, pictures, PictureCollator(processor))
    return classifier


def _train_language(
    run: PretrainRun,
    name: str,
    processor: Qwen2_5_VLProcessor,
    before: Path | None,
    close: Path,
    model: Qwen2_5_VLForConditionalGeneration,
) -> nn.Module:
    """Train the language model on cached features of the frozen vision tower."""
    stage: StageConfig = getattr(run, name)
    if before is not None:
        model.load_state_dict(load_file(before))
    VisionClassifier(model).load_state_dict(load_file(close))
    inner: Any = model.model
    tower, pool = inner.visual, ScenePool(run.seed, run.scenes)
    inner.visual = PooledTower(pool_features(tower, pool, processor, run.out / "pool.safetensors"))
    # A different seed per stage, so that no exchange repeats.
    seed = run.seed + 1 + list(LANGUAGE_STAGES).index(name)
    exchanges = Exchanges(seed, stage.steps, stage.batch_size, LANGUAGE_STAGES[name], pool)
    _train(run, name, stage, model, exchanges, PooledCollator(processor, pool))
    inner.visual = tower
    return model


def _train_sight(
    run: PretrainRun, processor: Qwen2_5_VLProcessor, before: Path, model: Qwen2_5_VLForConditionalGeneration
) -> nn.Module:
    """Train all weights, without cached features."""
    model.load_state_dict(load_file(before))
    seed = run.seed + 1 + len(LANGUAGE_STAGES)
    exchanges = Exchanges(seed, run.sight.steps, run.sight.batch_size, SIGHT)
    _train(run, "sight", run.sight, model, exchanges, ExchangeCollator(processor))
    return model


class InOrderTrainer(CheckedTrainer, Trainer):
    """Trainer with a sequential sampler: examples are random already, and batches must stay together."""

    def _get_train_sampler(self, train_dataset: Dataset[object] | None = None) -> SequentialSampler:
        dataset: Any = train_dataset if train_dataset is not None else self.train_dataset
        return SequentialSampler(dataset)


def _train(
    run: PretrainRun, name: str, stage: StageConfig, model: nn.Module, dataset: Dataset[object], collate: Callable
) -> None:
    """Run one stage from its last checkpoint, if there is one."""
    folder = run.out / name
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=stage.steps,
        per_device_train_batch_size=stage.batch_size,
        learning_rate=stage.lr,
        lr_scheduler_type=stage.schedule,
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
    is_language = isinstance(model, Qwen2_5_VLForConditionalGeneration)
    betas = (arguments.adam_beta1, arguments.adam_beta2)
    optimizer = MuonAdamW(model, stage.lr, betas, arguments.weight_decay) if is_language else None
    trainer = InOrderTrainer(
        model=model, args=arguments, train_dataset=dataset, data_collator=collate, optimizers=(optimizer, None)
    )
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder))
