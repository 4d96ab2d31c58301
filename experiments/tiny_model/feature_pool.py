"""Cached vision features of a fixed pool of scenes, for training the language model with a frozen vision tower."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Qwen2_5_VLProcessor

from experiments.tiny_model.batches import GRID, ExchangeCollator, exchange_rng
from experiments.tiny_model.exercise import Paintable
from experiments.tiny_model.processor import IMAGE_TOKENS
from experiments.tiny_model.scene_pictures import Picture, keep_or_draw, random_scene
from vt_env.jsonl import replace_file
from vt_env.media.terminal import track
from vt_env.world.script import Scene
from vt_env.world.vocabulary import COLOURS, SHAPES

BATCH = 64


class PicturePool(Protocol):
    """Fixed pool of pictures; pools are sources of scenes, too."""

    @property
    def pictures(self) -> Sequence[Paintable]:
        """All pictures; each can be looked up by itself."""
        ...


@dataclass(frozen=True)
class ScenePool:
    """Fixed pool of scenes, drawn uniformly among those of equal colour, shape and small print."""

    seed: int
    size: int

    def __call__(
        self,
        rng: np.random.Generator,
        colour: str | None = None,
        shape: str | None = None,
        *,
        small_print: bool | None = None,
    ) -> Scene:
        """Draw a scene, as `random_scene` does."""
        has_print = bool(rng.random() < 0.5) if small_print is None else small_print
        kind = keep_or_draw(rng, colour, shape)
        numbers = self._by_kind[(*kind, has_print)]
        return self.scenes[numbers[rng.integers(len(numbers))]]

    @cached_property
    def scenes(self) -> list[Scene]:
        """All scenes; kinds are about equally frequent."""
        return [random_scene(exchange_rng(self.seed, number)) for number in range(self.size)]

    @cached_property
    def pictures(self) -> list[Picture]:
        """Frames of all scenes, and crops of those with small print."""
        frames = [Picture(scene) for scene in self.scenes]
        return [*frames, *(Picture(scene, is_close=True) for scene in self.scenes if scene.detail is not None)]

    @cached_property
    def _by_kind(self) -> dict[tuple[str, str, bool], list[int]]:
        numbers: dict[tuple[str, str, bool], list[int]] = defaultdict(list)
        for number, scene in enumerate(self.scenes):
            numbers[scene.colour, scene.shape, scene.detail is not None].append(number)
        missing = 2 * len(COLOURS) * len(SHAPES) - len(numbers)
        if missing:
            raise ValueError(f"size={self.size}: {missing} kinds of scenes are missing; use a larger pool")
        return numbers


class PooledTower(nn.Module):
    """Replacement of the vision tower that looks up features; its pixels are indexes into the pool's pictures."""

    spatial_merge_size = 2
    dtype = torch.float32

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        # Neither a parameter nor a buffer, so that checkpoints do not include it.
        self._features = SimpleNamespace(of=features)

    def forward(self, pixel_values: torch.Tensor, grid_thw: torch.Tensor, **_: object) -> SimpleNamespace:
        """Look up features, float32[N * 16, width]."""
        return SimpleNamespace(pooler_output=self._features.of[pixel_values.long()].flatten(0, 1))


class PooledCollator(ExchangeCollator):
    """Collator that replaces pixels by indexes into the pool's pictures."""

    def __init__(self, processor: Qwen2_5_VLProcessor, pool: PicturePool) -> None:
        super().__init__(processor)
        self._numbers = {picture: number for number, picture in enumerate(pool.pictures)}

    def pixels(self, pictures: Sequence[Paintable]) -> torch.Tensor:
        """Return the pool indexes of pictures, float32[N]."""
        return torch.tensor([float(self._numbers[picture]) for picture in pictures])


def pool_features(tower: nn.Module, pool: PicturePool, processor: Qwen2_5_VLProcessor, path: Path) -> torch.Tensor:
    """Return the features of all pictures of a pool, float32[P, 16, width], cached in `path`."""
    if not path.is_file():
        collator = ExchangeCollator(processor)
        parts: list[torch.Tensor] = []
        with torch.inference_mode():
            for start in track(range(0, len(pool.pictures), BATCH), "pictures"):
                pixels = collator.pixels(pool.pictures[start : start + BATCH])
                grids = torch.tensor([GRID] * min(BATCH, len(pool.pictures) - start))
                parts.append(tower(pixels, grid_thw=grids).pooler_output)
        features = torch.cat(parts).view(len(pool.pictures), IMAGE_TOKENS, -1)
        with replace_file(path) as part:
            save_file({"features": features.contiguous()}, part)
    return load_file(path)["features"]
