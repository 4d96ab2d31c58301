"""Skill mixtures of the training stages of the tiny base model."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.tiny_model.exercise import Maker

Group = Mapping[str, float]
"""Sampling shares of the skills of a batch; their exchanges have similar lengths, which limits padding."""
Mixture = Sequence[tuple[float, Group]]
"""Shares of the batches of a stage, each with its group."""

MATCHING: Mixture = ((1.0, {"match": 1.0}),)
"""First stage: comparing names."""
TEXTS: Mixture = (
    (0.26, {"repeat": 1.0}),
    (0.36, {"copy": 0.4, "walk": 0.35, "find": 0.2, "box": 0.05}),
    (0.24, {"text_verdict": 0.8, "match": 0.2}),
    (0.14, {"order": 0.55, "choose": 0.45}),
)
"""Second stage: texts only."""
MARKING: Mixture = (
    (0.30, {"match": 1.0}),
    (0.50, {"text_verdict": 1.0}),
    (0.20, {"copy": 0.3, "walk": 0.25, "find": 0.25, "order": 0.2}),
)
"""Third stage: comparisons again, after copying is learned."""
READING: Mixture = ((1.0, {"read": 1.0}),)
"""First stage with pictures: describing them."""
GROUPS: Mixture = (
    (0.46, {"verdict": 0.5, "named_verdict": 0.3, "read": 0.2}),
    (0.24, {"copy": 0.3, "walk": 0.25, "find": 0.3, "repeat": 0.1, "box": 0.05}),
    (0.13, {"text_verdict": 0.45, "order": 0.55}),
    (0.03, {"match": 1.0}),
    (0.11, {"choose": 0.25, "one_clip": 0.6, "unseen": 0.15}),
    (0.03, {"few_clips": 1.0}),
)
"""Main stage: all skills except complete searches."""
SEEKING: Mixture = (
    (0.50, {"seek": 1.0}),
    (0.22, {"verdict": 0.3, "named_verdict": 0.2, "read": 0.5}),
    (0.10, {"copy": 0.3, "walk": 0.2, "find": 0.3, "repeat": 0.1, "box": 0.1}),
    (0.06, {"text_verdict": 0.3, "order": 0.7}),
    (0.01, {"match": 1.0}),
    (0.09, {"choose": 0.1, "one_clip": 0.8, "unseen": 0.1}),
    (0.02, {"few_clips": 1.0}),
)
"""Search stage: half complete searches, and the weakest skills again."""
SIGHT: Mixture = (
    (0.45, {"look": 1.0}),
    (0.15, {"read": 1.0}),
    (0.20, {"seek": 1.0}),
    (0.09, {"verdict": 0.4, "named_verdict": 0.3, "one_clip": 0.3}),
    (0.09, {"copy": 0.4, "walk": 0.2, "repeat": 0.1, "find": 0.1, "order": 0.1, "box": 0.1}),
    (0.02, {"match": 0.5, "choose": 0.5}),
)
"""Vision stage, with an unfrozen vision tower: nearly half crops with small print, always new pictures."""
REHEARSED: Mixture = (
    (0.40, {"seek": 1.0}),
    (0.36, {"look": 0.45, "read": 0.35, "verdict": 0.1, "named_verdict": 0.1}),
    (0.09, {"copy": 0.4, "walk": 0.2, "find": 0.3, "box": 0.1}),
    (0.05, {"text_verdict": 0.3, "order": 0.7}),
    (0.10, {"choose": 0.1, "one_clip": 0.8, "unseen": 0.1}),
)
"""Rehearsal during SFT: skills that are rare in demonstrations, above all new small print."""


def random_maker(group: Group, rng: np.random.Generator, skills: Mapping[str, Maker]) -> Maker:
    """Draw a skill of the group by its share."""
    names, shares = zip(*group.items(), strict=True)
    return skills[names[rng.choice(len(names), p=shares)]]


def random_group(groups: Mixture, rng: np.random.Generator) -> Group:
    """Draw the group of a batch by its share."""
    shares, drawn = zip(*groups, strict=True)
    return drawn[rng.choice(len(drawn), p=shares)]
