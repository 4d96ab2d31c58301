"""Captions of a world video: one per scene, perfect or with missing words.

In a video with small print, the caption also names the place of the shape in the frame, so that a text-only policy can
crop the right region. The caption's close-up holds the text that such a crop shows.
"""

import numpy as np

from vt_env.timed_lines import Caption, CloseUp
from vt_env.types import Box
from vt_env.world.config import WorldConfig
from vt_env.world.render import detail_box, shape_place
from vt_env.world.script import SCRIPT_VERSION, Scene, VideoScript

_CAPTION_LOSS = 103
"""Third part of the seed, so that caption loss does not change the script."""
LEGIBLE_SIDE = 0.3
"""Longer side of the largest crop with legible small print, as a fraction of the frame: our choice. At a frame size of
112 pixels, such a crop of a 448-pixel frame is scaled to five sixths, the whole frame to a quarter."""


def write_captions(script: VideoScript, config: WorldConfig) -> list[Caption]:
    """Caption every scene; `caption_loss` removes words, the same ones on every machine."""
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
    """Return the text of a full caption: `red square 12`; with small print, `red square 12 left high`."""
    place = [] if scene.detail is None else shape_place(scene, size_px)
    return " ".join([scene.caption, *place])


def small_print_text(detail: int) -> str:
    """Return the close-up text of the small print."""
    return f"small {detail}"


def _close_ups(scene: Scene, config: WorldConfig) -> tuple[CloseUp, ...]:
    if scene.detail is None:
        return ()
    box: Box = detail_box(scene, config.size_px, config.detail_px)
    return (CloseUp(box, small_print_text(scene.detail), LEGIBLE_SIDE),)


def _lossy(caption: str, loss: float, rng: np.random.Generator) -> str:
    words = caption.split()
    # Draw the same numbers for every loss, so that a higher loss drops a superset of the words.
    chances, spared = rng.random(len(words)), int(rng.integers(len(words)))
    kept = [word for word, chance in zip(words, chances, strict=True) if chance >= loss]
    return " ".join(kept or [words[spared]])
