"""First stage of the base: the vision tower learns to tell colours, shapes and digits apart before a word is read.

Four attention-pooled linear heads sit on the tower's output during this stage and are thrown away after it. Through the
language model alone the same tower needs several times as long, since nothing can be learned from pixels until the
text layers attend to them (measured: after 800 steps of 32 mixed exchanges only the colour had been learned that way).
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from experiments.tiny.batches import exchange_rng, scene_image
from experiments.tiny.processor import IMAGE_TOKENS
from experiments.tiny.skills import random_scene
from vt_env.world.script import Scene
from vt_env.world.vocabulary import COLOURS, SHAPES

CLASSES = {"colour": len(COLOURS), "shape": len(SHAPES), "tens": 10, "units": 10}


class Scenes(Dataset[Scene]):
    """Scenes numbered from 0, made from seed and number."""

    def __init__(self, seed: int, length: int) -> None:
        self.seed = seed
        self.length = length

    def __len__(self) -> int:
        """Number of scenes."""
        return self.length

    def __getitem__(self, number: int) -> Scene:
        """Make scene `number`."""
        return random_scene(exchange_rng(self.seed, number, 0))


class SceneCollator:
    """Turns scenes into pixels and four labels each."""

    def __init__(self, processor: Qwen2_5_VLProcessor) -> None:
        self.processor = processor

    def __call__(self, scenes: Sequence[Scene]) -> dict[str, torch.Tensor]:
        """Build the image processor's tensors and `labels`, int64[B, 4]."""
        images = [scene_image(scene, scene.look_seed) for scene in scenes]
        batch = self.processor.image_processor(images=images, return_tensors="pt")
        colours = list(COLOURS)
        labels = [[colours.index(s.colour), SHAPES.index(s.shape), *divmod(s.number, 10)] for s in scenes]
        return {**batch, "labels": torch.tensor(labels)}


class VisionClassifier(nn.Module):
    """The model's vision tower with four heads, each pooling the image tokens by its own learned query."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration) -> None:
        super().__init__()
        self.tower = model.model.visual
        width = model.config.vision_config.out_hidden_size
        self.queries = nn.Linear(width, len(CLASSES), bias=False)
        self.heads = nn.ModuleList(nn.Linear(width, count) for count in CLASSES.values())

    def forward(
        self, pixel_values: torch.Tensor, image_grid_thw: torch.Tensor, labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the summed cross-entropy and the logits, float32[B, classes] a head."""
        tokens = self.tower(pixel_values, grid_thw=image_grid_thw).pooler_output
        tokens = tokens.view(len(labels), IMAGE_TOKENS, -1)
        weights = self.queries(tokens).softmax(dim=1)
        pooled = torch.einsum("btq,btd->bqd", weights, tokens)
        logits = [head(pooled[:, place]) for place, head in enumerate(self.heads)]
        losses = [functional.cross_entropy(it, labels[:, place]) for place, it in enumerate(logits)]
        return {"loss": torch.stack(losses).sum(), **dict(zip(CLASSES, logits, strict=True))}
