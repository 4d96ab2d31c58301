"""Registry of the eight question families, with the world settings that each requires."""

from collections.abc import Callable, Mapping

import numpy as np

from vt_env.errors import ConfigError, suggest
from vt_env.world.config import WorldConfig
from vt_env.world.script import VideoScript
from vt_env.world.single_scene_questions import WorldQuestion, ask_needles, ask_references, ask_subtitles
from vt_env.world.whole_video_questions import count_scenes, ground_scenes, name_absent, order_scenes, read_details

QuestionFactory = Callable[[VideoScript, WorldConfig, int, np.random.Generator], list[WorldQuestion]]

_FACTORIES: Mapping[str, QuestionFactory] = {
    "needle": ask_needles,
    "subtitle": ask_subtitles,
    "reference": ask_references,
    "counting": count_scenes,
    "ordering": order_scenes,
    "grounding": ground_scenes,
    "detail": read_details,
    "absence": name_absent,
}
ALL_FAMILIES: tuple[str, ...] = tuple(_FACTORIES)
"""All families. The order is part of every question's seed, so append new families at the end."""
ALL = "all"
"""Name that selects all families."""


def ask(
    script: VideoScript, family: str, config: WorldConfig, count: int, rng: np.random.Generator
) -> list[WorldQuestion]:
    """Generate up to `count` different questions of one family; fewer if the video has not enough material."""
    return _FACTORIES[family](script, config, count, rng)


def check_family(family: str, config: WorldConfig) -> None:
    """Check that a family exists and that `config` supports it.

    Raises:
        ConfigError: The family is unknown or unsupported; the message names the families, or the setting to change.
    """
    if family not in ALL_FAMILIES:
        known = ", ".join(ALL_FAMILIES)
        hint = suggest(family, ALL_FAMILIES)
        raise ConfigError(f"family {family!r}: the world has {known}, and {ALL!r} for all of them{hint}")
    if family == "counting" and not config.events:
        raise ConfigError("family 'counting' with world.events=0: nothing to count; set it to 2 or more")
    if family == "detail" and not config.detail_px:
        raise ConfigError("family 'detail' with world.detail_px=0: no small print; set it and a larger size_px")
