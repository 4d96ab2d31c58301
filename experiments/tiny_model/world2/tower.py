"""Vision pretraining for the second world: what the tower learns to classify, for each place of a frame.

A picture holds up to four things of several kinds, so that every place has its own heads.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch.utils.data import Dataset
from transformers import Qwen2_5_VLProcessor

from experiments.tiny_model.batches import exchange_rng
from experiments.tiny_model.vision_pretraining import UNLABELLED, VisionClassifier
from experiments.tiny_model.world2.sights import PLACES, Sight, random_sight, things_of
from vt_env.world.vocabulary import COLOURS, SHAPES
from vt_env.world2.scenes import DOTS, PLAIN
from vt_env.world2.script import Kind, Place
from vt_env.world2.vocabulary import SIZES

HELD = ("nothing", "main", "companion", "number", "dots", "flash")
"""What a place may hold."""
_OF_PLACE: Mapping[str, int] = {"held": len(HELD), "colour": len(COLOURS), "shape": len(SHAPES)}
_OF_FRAME: Mapping[str, int] = {"size": len(SIZES), "tens": 10, "units": 10, "dots": DOTS.stop}
_OF_CROP: Mapping[str, int] = {"crop_colour": len(COLOURS), "small_tens": 10, "small_units": 10}
CLASSES: Mapping[str, int] = {
    **{f"{name} {' '.join(place)}": count for place in PLACES for name, count in _OF_PLACE.items()},
    **_OF_FRAME,
    **_OF_CROP,
}
"""Attributes with their numbers of classes: three for each place, then those of frames and those of closer looks."""
build_classifier = partial(VisionClassifier, classes=CLASSES)


class Sights(Dataset[Sight]):
    """Dataset of generated pictures, each determined by seed and index.

    Args:
        seed: Random seed.
        length: Number of pictures.
        close_share: Share of closer looks.
    """

    def __init__(self, seed: int, length: int, close_share: float) -> None:
        self.seed = seed
        self.length = length
        self.close_share = close_share

    def __len__(self) -> int:
        """Number of pictures."""
        return self.length

    def __getitem__(self, number: int) -> Sight:
        """Generate picture `number`."""
        rng = exchange_rng(self.seed, number, 0)
        scene = random_sight(rng)
        if rng.random() < self.close_share:
            things = things_of(scene)
            return Sight(scene, crop=things[int(rng.integers(len(things)))].place)
        return Sight(scene, is_event=scene.role != PLAIN and bool(rng.random() < 0.5))


class SightCollator:
    """Collates pictures into pixels with a label for each of `CLASSES`."""

    def __init__(self, processor: Qwen2_5_VLProcessor) -> None:
        self.processor = processor

    def __call__(self, sights: Sequence[Sight]) -> dict[str, torch.Tensor]:
        """Build the image processor's tensors and `labels` int64[B, 19], -100 for attributes that are not visible."""
        batch = self.processor.image_processor(images=[sight.paint() for sight in sights], return_tensors="pt")
        return {**batch, "labels": torch.tensor([_labels(sight) for sight in sights])}


def _labels(sight: Sight) -> list[int]:
    shown = sight.shown
    if sight.crop is not None:
        (thing,) = (it for it in things_of(shown) if it.place == sight.crop)
        blank = [UNLABELLED] * (len(CLASSES) - len(_OF_CROP))
        return [*blank, list(COLOURS).index(thing.kind[0]), *divmod(thing.detail, 10)]
    labels = [label for place in PLACES for label in _place_labels(sight, place)]
    of_frame = [SIZES.index(shown.size), *divmod(shown.number, 10), shown.dots]
    return [*labels, *of_frame, *[UNLABELLED] * len(_OF_CROP)]


def _place_labels(sight: Sight, place: Place) -> list[int]:
    """Return what a place holds, with colour and shape of a thing."""
    shown, flash = sight.shown, sight.picture.flash
    for held, thing in zip(("main", "companion"), things_of(shown), strict=False):
        if thing.place == place:
            return [HELD.index(held), *_kind_labels(thing.kind)]
    if place == shown.last_place and flash is not None:
        return [HELD.index("flash"), *_kind_labels(flash)]
    is_number, has_dots = place == shown.number_place, place == shown.last_place and shown.dots > 0
    held = "number" if is_number else "dots" if has_dots else "nothing"
    return [HELD.index(held), UNLABELLED, UNLABELLED]


def _kind_labels(kind: Kind) -> list[int]:
    return [list(COLOURS).index(kind[0]), SHAPES.index(kind[1])]
