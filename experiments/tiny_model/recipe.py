"""Records of how a tiny base model is built and trained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from experiments.tiny_model.exercise import Maker
from experiments.tiny_model.feature_pool import PicturePool
from experiments.tiny_model.stage_mixtures import Mixture


@dataclass(frozen=True)
class Stage:
    """One training stage."""

    name: str
    trains: Literal["tower", "language", "all"]
    """What learns: the vision tower under classification heads, the language model on stored features, or all of it on
    pictures that are always new."""
    data: float | Mixture
    """Share of crops among the tower's pictures, or the mixture of skills."""
    steps: int
    """Optimiser steps."""
    batch_size: int
    """Pictures or exchanges of a step."""
    lr: float
    """Peak learning rate, after a linear warm-up."""
    schedule: Literal["cosine", "constant_with_warmup"]
    """Learning-rate schedule after the warm-up."""
    seed: int
    """Added to the run's seed, and different in each stage, so that no example repeats."""
    step_s: float
    """Seconds of a step on two CPU cores, measured; for the time left and for `Recipe.within`."""
    warmup: int = 100
    """Steps of the warm-up."""


@dataclass(frozen=True)
class Recipe:
    """What a base model is made of, and its stages in order."""

    world: int
    """Version of the generated world."""
    stages: tuple[Stage, ...]
    scenes: int
    """Scenes of the pool, whose pictures the tower encodes once for the stages that train the language model alone."""
    scene_s: float
    """Seconds for the pictures of a scene of the pool, measured on two CPU cores."""
    build_tokenizer: Callable[[], PreTrainedTokenizerFast]
    build_model: Callable[[PreTrainedTokenizerFast, int], Qwen2_5_VLForConditionalGeneration]
    """Builds the model with random weights, of a tokenizer and a seed."""
    skills: Mapping[str, Maker]
    scene_source: Any
    """Source of new scenes."""
    build_pool: Callable[[int, int], PicturePool]
    """Builds the pool, of a seed and a number of scenes."""
    build_pictures: Callable[[int, int, float], Dataset[Any]]
    """Builds the tower's pictures, of a seed, their number and the share of crops."""
    build_collator: Callable[[Qwen2_5_VLProcessor], Callable[[Sequence[Any]], dict[str, Any]]]
    """Builds the collator of the tower's pictures."""
    build_classifier: Callable[[Qwen2_5_VLForConditionalGeneration], nn.Module]
    """Puts classification heads on a model's tower, its attribute `tower`."""

    @property
    def hours(self) -> float:
        """Hours that the training takes on two CPU cores as fast as those it was measured on."""
        return (self.scenes * self.scene_s + sum(it.steps * it.step_s for it in self.stages)) / 3600

    def within(self, hours: float) -> "Recipe":
        """Return the recipe with steps and scenes scaled so that it takes about `hours`; at least one step a stage."""
        share = hours / self.hours
        stages = (
            replace(it, steps=max(1, round(it.steps * share)), warmup=max(1, round(it.warmup * min(1.0, share))))
            for it in self.stages
        )
        return replace(self, stages=tuple(stages), scenes=max(LEAST_SCENES, round(self.scenes * share)))


LEAST_SCENES = 800
"""Scenes of the smallest pool, in which no kind of scene is missing."""
