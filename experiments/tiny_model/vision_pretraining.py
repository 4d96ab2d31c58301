"""First stage of the base: the vision tower learns to tell colours, shapes, places and digits apart before a word.

Attention-pooled linear heads sit on the tower's output during this stage and are thrown away after it. Through the
language model alone the same tower needs several times as long, since nothing can be learned from pixels until the
text layers attend to them (measured: after 800 steps of 32 mixed exchanges only the colour had been learned that way).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from experiments.tiny_model.batches import exchange_rng
from experiments.tiny_model.processor import IMAGE_TOKENS
from experiments.tiny_model.scene_pictures import Picture, place_class, random_scene
from vt_env.world.vocabulary import COLOURS, HEIGHTS, SHAPES, SIDES

CLASSES = {
    "colour": len(COLOURS),
    "shape": len(SHAPES),
    "tens": 10,
    "units": 10,
    "place": len(SIDES) * len(HEIGHTS),
    "small_tens": 10,
    "small_units": 10,
}
UNLABELLED = -100


class Pictures(Dataset[Picture]):
    """Pictures numbered from 0, made from seed and number."""

    def __init__(self, seed: int, length: int, close_share: float) -> None:
        """Decide all pictures.

        Args:
            seed: Decides them, with their numbers.
            length: How many there are.
            close_share: Share of closer looks, which show small print and the shape's colour.
        """
        self.seed = seed
        self.length = length
        self.close_share = close_share

    def __len__(self) -> int:
        """Number of pictures."""
        return self.length

    def __getitem__(self, number: int) -> Picture:
        """Make picture `number`."""
        rng = exchange_rng(self.seed, number, 0)
        is_close = bool(rng.random() < self.close_share)
        return Picture(random_scene(rng, small_print=True if is_close else None), is_close)


class PictureCollator:
    """Turns pictures into pixels and seven labels each."""

    def __init__(self, processor: Qwen2_5_VLProcessor) -> None:
        self.processor = processor

    def __call__(self, pictures: Sequence[Picture]) -> dict[str, torch.Tensor]:
        """Build the image processor's tensors and `labels`, int64[B, 7], -100 where a picture does not tell."""
        batch = self.processor.image_processor(images=[picture.paint() for picture in pictures], return_tensors="pt")
        return {**batch, "labels": torch.tensor([_labels(picture) for picture in pictures])}


class VisionClassifier(nn.Module):
    """The model's vision tower with a head for each of `CLASSES`, each pooling the image tokens by its own query."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration) -> None:
        super().__init__()
        self.tower = model.model.visual
        config: Any = model.config.vision_config
        width = config.out_hidden_size
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
        # The sum over what is labelled, by the size of the batch: a batch without a closer look has no mean of its own.
        losses = [
            functional.cross_entropy(it, labels[:, place], ignore_index=UNLABELLED, reduction="sum") / len(labels)
            for place, it in enumerate(logits)
        ]
        return {"loss": torch.stack(losses).sum(), **dict(zip(CLASSES, logits, strict=True))}


def _labels(picture: Picture) -> list[int]:
    scene = picture.scene
    colour = list(COLOURS).index(scene.colour)
    if picture.is_close:
        return [colour, *[UNLABELLED] * 4, *divmod(scene.detail or 0, 10)]
    return [colour, SHAPES.index(scene.shape), *divmod(scene.number, 10), place_class(picture), *[UNLABELLED] * 2]
