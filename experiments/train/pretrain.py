"""Train a tiny base model: `vt-env pretrain --out runs/base`, for the second world `vt-env pretrain --world 2`.

    vision tower with classification heads, on frames and crops ──► language model, with the tower frozen:
                texts, describing pictures, all skills ──► both together, on new pictures ──► probes of its skills

The recipes are `experiments.tiny_model.first_base` and `experiments.tiny_model.second_base`; each takes about three
hours on two CPU cores. An interrupted run resumes if its settings are unchanged. Each stage depends on the seed and on
the earlier stages.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.utils import logging

from experiments.runs.run_dir import Run, open_run
from experiments.settings.prompts import PROMPTS_FILE
from experiments.tiny_model.batches import ExchangeCollator, Exchanges
from experiments.tiny_model.feature_pool import PooledCollator, PooledTower, pool_features
from experiments.tiny_model.probe import WORLD_FIELD, ProbeRun
from experiments.tiny_model.probe import main as probe
from experiments.tiny_model.processor import build_processor
from experiments.tiny_model.recipe import Recipe, Stage
from experiments.tiny_model.recipes import RECIPES, World
from experiments.train.pretrain_stage import StageData, train_stage
from vt_env.config import HOW_ONLY
from vt_env.errors import ConfigError
from vt_env.jsonl import replace_file
from vt_env.prompts import TINY, save_prompts

PARAMETERS, FILE_BYTES = 7_500_000, 30_000_000
"""Largest base: parameters, and bytes of all its files."""
Model = Qwen2_5_VLForConditionalGeneration


@dataclass(frozen=True)
class PretrainRun:
    """Settings of a base model's training."""

    out: Path = Path("runs/base")
    """Run directory; the model is written to its `model` folder."""
    world: World = 1
    """Version of the generated world that the base is for."""
    hours: float | None = None
    """Scale the steps of every stage so that training takes about these hours on two CPU cores like those that the
    recipe was measured on; by default the recipe's own."""
    seed: int = 1
    """Seed of weights and examples; the probes have another one."""
    probe: int = 500
    """Replies per skill in the probes at the end; 0 for none."""
    threads: int = 2
    """CPU threads of PyTorch."""
    workers: int = field(default=1, metadata=HOW_ONLY)
    """Number of processes for rendering and tokenising."""

    def __post_init__(self) -> None:
        if self.hours is not None and not 0 < self.hours <= 1000:
            raise ConfigError(f"hours={self.hours}: need more than 0, 1000 at most")
        if self.probe < 0:
            raise ConfigError(f"probe={self.probe}: need 0 or more")


def main(run: PretrainRun) -> Path:
    """Train all stages, save the model, probe it and return its folder.

    Raises:
        ConfigError: The directory belongs to a run with other settings, or another process uses it.
    """
    recipe = RECIPES[run.world]
    folder = train(run, recipe if run.hours is None else recipe.within(run.hours))
    if run.probe:
        with _without_bars():
            probe(ProbeRun(folder, n=run.probe, threads=run.threads))
    return folder


def train(run: PretrainRun, recipe: Recipe) -> Path:
    """Train the stages of a recipe, save the model and return its folder.

    Raises:
        ConfigError: The directory belongs to a run with other settings or another recipe, or another process uses it;
            the model would be too large.
    """
    stages = {"stages": [asdict(it) for it in recipe.stages], "scenes": recipe.scenes}
    with open_run(run.out, "pretrain", run, stages) as opened, _without_bars():
        torch.set_num_threads(run.threads)
        return _Training(run, recipe, opened).save()


@contextmanager
def _without_bars() -> Iterator[None]:
    """Hide the bars that transformers shows for every file that it reads or writes."""
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


class _Training:
    """The stages of one run, each trained unless its weights exist."""

    def __init__(self, run: PretrainRun, recipe: Recipe, opened: Run) -> None:
        self._run, self._recipe, self._opened = run, recipe, opened
        self._processor = build_processor(recipe.build_tokenizer())
        size = sum(it.numel() for it in self._model().parameters())
        if size > PARAMETERS:
            raise ConfigError(f"the base would have {size} parameters: need {PARAMETERS} at most")

    def save(self) -> Path:
        """Train what is missing, write the model's folder and return it."""
        before: Path | None = None
        tower: Path | None = None
        for stage in self._recipe.stages:
            if stage.trains == "tower":
                tower = self._finished(stage, partial(self._train_tower, stage, tower))
            elif stage.trains == "language":
                before = self._finished(stage, partial(self._train_language, stage, before, tower))
            else:
                before = self._finished(stage, partial(self._train_all, stage, before))
        assert before is not None
        model = self._model()
        model.load_state_dict(load_file(before))
        setattr(model.config, WORLD_FIELD, self._recipe.world)
        folder = self._run.out / "model"
        model.save_pretrained(folder)
        self._processor.save_pretrained(folder)
        save_prompts(TINY, folder / PROMPTS_FILE)
        size = sum(it.stat().st_size for it in folder.iterdir())
        if size > FILE_BYTES:
            raise ConfigError(f"{folder} has {size} bytes: need {FILE_BYTES} at most")
        return folder

    def _model(self) -> Model:
        return self._recipe.build_model(self._processor.tokenizer, self._run.seed)

    def _finished(self, stage: Stage, train: Callable[[Model], nn.Module]) -> Path:
        """Train a stage unless its weights exist, and return the weights file."""
        finished = self._run.out / f"{stage.name}.safetensors"
        if not finished.is_file():
            weights = train(self._model()).state_dict()
            with replace_file(finished) as part:
                save_file({key: value.contiguous() for key, value in weights.items()}, part)
        return finished

    def _train_tower(self, stage: Stage, before: Path | None, model: Model) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._run.seed)
            classifier = self._recipe.build_classifier(model)
        if before is not None:
            classifier.load_state_dict(load_file(before))
        count = stage.steps * stage.batch_size
        assert isinstance(stage.data, float)
        pictures = self._recipe.build_pictures(self._run.seed + stage.seed, count, stage.data)
        self._train(stage, classifier, StageData(pictures, self._recipe.build_collator(self._processor)))
        return classifier

    def _train_language(self, stage: Stage, before: Path | None, tower: Path | None, model: Model) -> nn.Module:
        """Train the language model on texts, or with cached features of the frozen vision tower."""
        if before is not None:
            model.load_state_dict(load_file(before))
        if tower is None:
            # Texts alone, before there is a tower.
            return self._train_all(stage, None, model)
        self._recipe.build_classifier(model).load_state_dict(load_file(tower))
        inner: Any = model.model
        visual, pool = inner.visual, self._recipe.build_pool(self._run.seed, self._recipe.scenes)
        features = pool_features(visual, pool, self._processor, self._run.out / "pool.safetensors")
        inner.visual = PooledTower(features)
        collator = PooledCollator(self._processor, pool)
        self._train(stage, model, StageData(self._exchanges(stage, pool), collator))
        inner.visual = visual
        return model

    def _train_all(self, stage: Stage, before: Path | None, model: Model) -> nn.Module:
        """Train all weights, without cached features."""
        if before is not None:
            model.load_state_dict(load_file(before))
        exchanges = self._exchanges(stage, self._recipe.scene_source)
        self._train(stage, model, StageData(exchanges, ExchangeCollator(self._processor)))
        return model

    def _exchanges(self, stage: Stage, scenes: Any) -> Exchanges:
        assert not isinstance(stage.data, int | float)
        seed = self._run.seed + stage.seed
        return Exchanges(seed, stage.steps, stage.batch_size, stage.data, scenes, self._recipe.skills)

    def _train(self, stage: Stage, model: nn.Module, data: StageData) -> None:
        train_stage(self._opened, self._recipe, stage, model, data, seed=self._run.seed, workers=self._run.workers)
