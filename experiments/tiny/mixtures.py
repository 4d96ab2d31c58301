"""Which skills the tiny base model is shown in which stage of its training."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.tiny.exchanges import Exchange
from experiments.tiny.pictures import SceneSource
from experiments.tiny.skills import SKILLS

Group = Mapping[str, float]
"""Shares of the skills in batches of exchanges of like length, so that little is padding."""

TEXTS: tuple[tuple[float, Group], ...] = (
    (0.35, {"repeat": 1.0}),
    (0.45, {"copy": 0.4, "walk": 0.35, "find": 0.25}),
    (0.20, {"text_verdict": 0.55, "order": 0.25, "choose": 0.2}),
)
"""Before a model is shown a picture."""
GROUPS: tuple[tuple[float, Group], ...] = (
    (0.40, {"verdict": 0.6, "read": 0.2, "named_verdict": 0.2}),
    (0.30, {"copy": 0.3, "walk": 0.35, "find": 0.2, "repeat": 0.15}),
    (0.12, {"text_verdict": 0.4, "order": 0.6}),
    (0.13, {"choose": 0.3, "one_clip": 0.5, "unseen": 0.2}),
    (0.05, {"few_clips": 1.0}),
)
"""After that; each group with its share of the batches."""
READING: tuple[tuple[float, Group], ...] = ((1.0, {"read": 1.0}),)
"""Pictures alone."""
LAST: tuple[tuple[float, Group], ...] = (
    (0.42, {"verdict": 0.65, "read": 0.2, "named_verdict": 0.15}),
    (0.30, {"copy": 0.25, "walk": 0.2, "find": 0.45, "repeat": 0.1}),
    (0.15, {"text_verdict": 0.2, "order": 0.8}),
    (0.10, {"choose": 0.2, "one_clip": 0.65, "unseen": 0.15}),
    (0.03, {"few_clips": 1.0}),
)
"""With more of what was learned least."""
DECIDING: tuple[tuple[float, Group], ...] = (
    (0.55, {"verdict": 0.55, "named_verdict": 0.35, "read": 0.1}),
    (0.16, {"copy": 0.3, "walk": 0.3, "find": 0.3, "repeat": 0.1}),
    (0.14, {"text_verdict": 0.5, "order": 0.5}),
    (0.12, {"choose": 0.2, "one_clip": 0.65, "unseen": 0.15}),
    (0.03, {"few_clips": 1.0}),
)
"""Mostly what comes next after what was seen."""
SEEKING: tuple[tuple[float, Group], ...] = (
    (0.50, {"seek": 1.0}),
    (0.22, {"verdict": 0.3, "named_verdict": 0.2, "read": 0.5}),
    (0.10, {"copy": 0.3, "walk": 0.2, "find": 0.4, "repeat": 0.1}),
    (0.06, {"text_verdict": 0.3, "order": 0.7}),
    (0.10, {"choose": 0.1, "one_clip": 0.8, "unseen": 0.1}),
    (0.02, {"few_clips": 1.0}),
)
"""In the end: mostly whole searches, and again what was learned least."""


def random_exchange(
    group: Group, rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator
) -> Exchange:
    """Draw a skill of the group by its share and make one exchange of it."""
    skills, shares = zip(*group.items(), strict=True)
    return SKILLS[skills[rng.choice(len(skills), p=shares)]](rng, scenes, lengths)


def random_group(groups: Sequence[tuple[float, Group]], rng: np.random.Generator) -> Group:
    """Draw the group of a batch by its share."""
    shares, drawn = zip(*groups, strict=True)
    return drawn[rng.choice(len(drawn), p=shares)]
