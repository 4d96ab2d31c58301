"""The captions of a video of the world: what a captioner without fault, or with gaps, would say of each scene.

A caption of a video with small print also says where in the frame the shape is, so that a policy which only reads can
ask for a closer look at the right place; what the closer look shows is a close-up of the caption.
"""

import numpy as np

from vt_env.types import Box, Caption, CloseUp
from vt_env.world.config import WorldConfig
from vt_env.world.render import detail_box, shape_place
from vt_env.world.script import SCRIPT_VERSION, Scene, VideoScript

_CAPTION_LOSS = 103
"""Third part of the seed, so that loss changes nothing else."""
LEGIBLE_SIDE = 0.3
"""Longer side of the largest crop in which small print counts as legible, in fractions of the frame: our choice. At
112 pixels a crop of a 448-pixel frame that large is shrunk to five sixths, the whole frame to a quarter."""


def write_captions(script: VideoScript, config: WorldConfig) -> list[Caption]:
    """Caption every scene; with `caption_loss` words are missing, the same ones on every machine."""
    rng = np.random.default_rng(np.random.SeedSequence([SCRIPT_VERSION, script.seed, _CAPTION_LOSS]))
    return [
        Caption(
            scene.interval,
            _lossy(caption_text(scene, config.size_px), config.caption_loss, rng),
            _close_ups(scene, config),
        )
        for scene in script.scenes
    ]


def caption_text(scene: Scene, size_px: int) -> str:
    """Say what there is to see in a stored frame: `red square 12`, and `red square 12 left high` with small print."""
    place = [] if scene.detail is None else shape_place(scene, size_px)
    return " ".join([scene.caption, *place])


def small_print_text(detail: int) -> str:
    """Word what a closer look at the small print shows."""
    return f"small {detail}"


def _close_ups(scene: Scene, config: WorldConfig) -> tuple[CloseUp, ...]:
    if scene.detail is None:
        return ()
    box: Box = detail_box(scene, config.size_px, config.detail_px)
    return (CloseUp(box, small_print_text(scene.detail), LEGIBLE_SIDE),)


def _lossy(caption: str, loss: float, rng: np.random.Generator) -> str:
    words = caption.split()
    # Drawn whatever the loss, so that a greater loss drops what a smaller one drops, and more.
    chances, spared = rng.random(len(words)), int(rng.integers(len(words)))
    kept = [word for word, chance in zip(words, chances, strict=True) if chance >= loss]
    return " ".join(kept or [words[spared]])
