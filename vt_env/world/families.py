"""The eight families of questions: who asks each, and what a config must have for it."""

from collections.abc import Callable, Mapping

import numpy as np

from vt_env.errors import ConfigError, suggest
from vt_env.world.config import WorldConfig
from vt_env.world.script import VideoScript
from vt_env.world.single_scene_questions import WorldQuestion, ask_needles, ask_references, ask_subtitles
from vt_env.world.whole_video_questions import count_scenes, ground_scenes, name_absent, order_scenes, read_details

Asker = Callable[[VideoScript, WorldConfig, int, np.random.Generator], list[WorldQuestion]]

_ASKERS: Mapping[str, Asker] = {
    "needle": ask_needles,
    "subtitle": ask_subtitles,
    "reference": ask_references,
    "counting": count_scenes,
    "ordering": order_scenes,
    "grounding": ground_scenes,
    "detail": read_details,
    "absence": name_absent,
}
ALL_FAMILIES: tuple[str, ...] = tuple(_ASKERS)
"""All families; the order is part of every question's seed, so new ones go last."""
ALL = "all"
"""Stands for all families where one is named."""


def ask(
    script: VideoScript, family: str, config: WorldConfig, count: int, rng: np.random.Generator
) -> list[WorldQuestion]:
    """Ask up to `count` different questions of one family; fewer where the video does not hold as many."""
    return _ASKERS[family](script, config, count, rng)


def check_family(family: str, config: WorldConfig) -> None:
    """Refuse a family that does not exist or that videos of this config have no answers for.

    Raises:
        ConfigError: The message names the families, or the knob to turn.
    """
    if family not in ALL_FAMILIES:
        known = ", ".join(ALL_FAMILIES)
        hint = suggest(family, ALL_FAMILIES)
        raise ConfigError(f"family {family!r}: the world has {known}, and {ALL!r} for all of them{hint}")
    if family == "counting" and not config.events:
        raise ConfigError("family 'counting' with world.events=0: nothing to count; set it to 2 or more")
    if family == "detail" and not config.detail_px:
        raise ConfigError("family 'detail' with world.detail_px=0: no small print; set it and a larger size_px")
