"""Registry of the question families of the second world."""

from collections.abc import Callable, Mapping

import numpy as np

from vt_env.errors import ConfigError, suggest
from vt_env.world2.config import World2Config
from vt_env.world2.question import World2Question
from vt_env.world2.script import VideoScript
from vt_env.world2.sight_questions import ask_needles, ask_pairs, compare_scenes, count_dots, locate, read_details
from vt_env.world2.spoken_questions import (
    ask_codes,
    locate_at_cue,
    name_companions,
    name_flashes,
    read_bursts,
    read_named_details,
    tell_motion,
)

QuestionFactory = Callable[[VideoScript, World2Config, int, np.random.Generator], list[World2Question]]

FAMILIES: Mapping[str, QuestionFactory] = {
    "needle": ask_needles,
    "subtitle": ask_codes,
    "detail": read_details,
    "place": locate,
    "dots": count_dots,
    "compare": compare_scenes,
    "pair": ask_pairs,
    "flash": name_flashes,
    "burst": read_bursts,
    "motion": tell_motion,
    "spot": locate_at_cue,
    "beside": name_companions,
    "named": read_named_details,
}
"""Families by name. The order is part of every question's seed, so append new families at the end."""
ALL_FAMILIES: tuple[str, ...] = tuple(FAMILIES)
ALL = "all"
"""Name that selects all families."""


def check_family(family: str) -> None:
    """Check that a family exists.

    Raises:
        ConfigError: It does not; the message names the families.
    """
    if family not in FAMILIES:
        known = ", ".join(FAMILIES)
        hint = suggest(family, ALL_FAMILIES)
        raise ConfigError(f"family {family!r}: world2 has {known}, and {ALL!r} for all of them{hint}")
