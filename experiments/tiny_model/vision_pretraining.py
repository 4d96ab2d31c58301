"""Vision pretraining, the first stage of the base: the vision tower learns to classify colours, shapes, places, digits.

Attention-pooled linear heads on the tower's output are discarded after the stage. Training through the language model
takes several times as long, since pixels have no effect until the text layers attend to them (measured: after 800 steps
of 32 mixed exchanges only the colour had been learned that way).
"""

from collections.abc import Mapping, Sequence
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
    """Dataset of generated pictures, each determined by seed and index.

    Args:
        seed: Random seed.
        length: Number of pictures.
        close_share: Share of crops, which show small print and the shape's colour.
    """

    def __init__(self, seed: int, length: int, close_share: float) -> None:
        self.seed = seed
        self.length = length
        self.close_share = close_share

    def __len__(self) -> int:
        """Number of pictures."""
        return self.length

    def __getitem__(self, number: int) -> Picture:
        """Generate picture `number`."""
        rng = exchange_rng(self.seed, number, 0)
        is_close = bool(rng.random() < self.close_share)
        return Picture(random_scene(rng, small_print=True if is_close else None), is_close)


class PictureCollator:
    """Collates pictures into pixels with seven labels each."""

    def __init__(self, processor: Qwen2_5_VLProcessor) -> None:
        self.processor = processor

    def __call__(self, pictures: Sequence[Picture]) -> dict[str, torch.Tensor]:
        """Build the image processor's tensors and `labels` int64[B, 7], -100 for attributes that are not visible."""
        batch = self.processor.image_processor(images=[picture.paint() for picture in pictures], return_tensors="pt")
        return {**batch, "labels": torch.tensor([_labels(picture) for picture in pictures])}


class VisionClassifier(nn.Module):
    """The model's vision tower with one attention-pooled head for each attribute.

    Args:
        model: The model; its tower is trained in place.
        classes: Number of classes of each attribute, in the order of the labels.
    """

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, classes: Mapping[str, int] = CLASSES) -> None:
        super().__init__()
        self.attributes = tuple(classes)
        self.tower = model.model.visual
        config: Any = model.config.vision_config
        width = config.out_hidden_size
        self.queries = nn.Linear(width, len(classes), bias=False)
        self.heads = nn.ModuleList(nn.Linear(width, count) for count in classes.values())

    def forward(
        self, pixel_values: torch.Tensor, image_grid_thw: torch.Tensor, labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Return the summed cross-entropy `loss`, and the logits of each head, float32[B, classes]."""
        tokens = self.tower(pixel_values, grid_thw=image_grid_thw).pooler_output
        tokens = tokens.view(len(labels), IMAGE_TOKENS, -1)
        weights = self.queries(tokens).softmax(dim=1)
        pooled = torch.einsum("btq,btd->bqd", weights, tokens)
        logits = [head(pooled[:, place]) for place, head in enumerate(self.heads)]
        # Sum over labelled pictures, divided by the batch size: the mean of a batch without crops would be NaN.
        losses = [
            functional.cross_entropy(it, labels[:, place], ignore_index=UNLABELLED, reduction="sum") / len(labels)
            for place, it in enumerate(logits)
        ]
        return {"loss": torch.stack(losses).sum(), **dict(zip(self.attributes, logits, strict=True))}


def _labels(picture: Picture) -> list[int]:
    scene = picture.scene
    colour = list(COLOURS).index(scene.colour)
    if picture.is_close:
        return [colour, *[UNLABELLED] * 4, *divmod(scene.detail or 0, 10)]
    return [colour, SHAPES.index(scene.shape), *divmod(scene.number, 10), place_class(picture), *[UNLABELLED] * 2]
