"""All exercises of the base for the second world, and the mixtures of its stages."""

import json
from collections.abc import Mapping

import numpy as np

from experiments.tiny_model.exercise import Exchange, Maker, Round, random_count
from experiments.tiny_model.marking import match
from experiments.tiny_model.scene_pictures import SceneSource
from experiments.tiny_model.skills import order
from experiments.tiny_model.stage_mixtures import Mixture
from experiments.tiny_model.world2 import copying, lines, looking
from experiments.tiny_model.world2.sights import PLACES
from vt_env.world2.layout import place_box


def box(rng: np.random.Generator, scenes: SceneSource, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that maps a place to the region of a closer look, in fractions of the frame."""

    def one() -> Round:
        place = PLACES[rng.integers(len(PLACES))]
        region = place_box(place)
        sides = {"left": region.left, "top": region.top, "right": region.right, "bottom": region.bottom}
        return Round(f"Crop {' '.join(place)}", json.dumps(sides))

    return Exchange("box", tuple(one() for _ in range(random_count(lengths, 6))))


SKILLS: Mapping[str, Maker] = {
    "read": looking.read,
    "look": looking.look,
    "caption": looking.caption,
    "mark": looking.mark,
    "text_mark": looking.text_mark,
    "pair": looking.pair,
    "differ": looking.differ,
    "text_differ": looking.text_differ,
    "way": looking.way,
    "flash": looking.flash,
    "burst": looking.burst,
    "spot": looking.spot,
    "one_clip": looking.one_clip,
    "few_clips": looking.few_clips,
    "unseen": looking.unseen,
    "choose": looking.choose,
    "echo": copying.echo,
    "lookup": copying.lookup,
    "repeat": lines.repeat,
    "copy": lines.copy,
    "walk": lines.walk,
    "find": lines.find,
    "hop": lines.hop,
    "after": lines.after,
    "order": order,
    "match": match,
    "box": box,
}

COPYING: Mixture = ((0.5, {"echo": 1.0}), (0.5, {"lookup": 1.0}))
"""First stage: copying and looking up, where no pattern helps."""
TEXTS: Mixture = (
    (0.10, {"echo": 0.3, "lookup": 0.7}),
    (0.10, {"repeat": 1.0}),
    (0.30, {"find": 0.7, "hop": 0.3}),
    (0.12, {"copy": 0.5, "walk": 0.5}),
    (0.20, {"order": 1.0}),
    (0.10, {"text_mark": 0.7, "match": 0.3}),
    (0.08, {"text_differ": 0.5, "after": 0.3, "box": 0.2}),
)
"""Second stage: texts of the world."""
READING: Mixture = ((0.6, {"read": 1.0}), (0.2, {"look": 1.0}), (0.2, {"flash": 0.5, "burst": 0.25, "spot": 0.25}))
"""First stage with pictures: saying what they show."""
ALL: Mixture = (
    (0.22, {"read": 0.7, "look": 0.3}),
    (0.18, {"mark": 0.6, "pair": 0.4}),
    (0.12, {"differ": 0.5, "way": 0.5}),
    (0.06, {"flash": 0.5, "burst": 0.3, "spot": 0.2}),
    (0.06, {"caption": 1.0}),
    (0.08, {"one_clip": 0.5, "choose": 0.3, "unseen": 0.2}),
    (0.06, {"few_clips": 1.0}),
    (0.14, {"find": 0.4, "repeat": 0.15, "copy": 0.15, "walk": 0.1, "hop": 0.1, "after": 0.1}),
    (0.08, {"order": 0.6, "text_mark": 0.2, "text_differ": 0.1, "match": 0.05, "box": 0.05}),
)
"""Main stage: all skills."""
SIGHT: Mixture = (
    (0.36, {"read": 0.6, "look": 0.4}),
    (0.16, {"mark": 0.6, "pair": 0.4}),
    (0.12, {"differ": 0.5, "way": 0.5}),
    (0.06, {"flash": 0.5, "burst": 0.3, "spot": 0.2}),
    (0.05, {"caption": 1.0}),
    (0.07, {"one_clip": 0.5, "choose": 0.3, "unseen": 0.2}),
    (0.04, {"few_clips": 1.0}),
    (0.10, {"find": 0.4, "repeat": 0.15, "copy": 0.15, "walk": 0.1, "hop": 0.1, "after": 0.1}),
    (0.04, {"order": 0.6, "text_mark": 0.2, "text_differ": 0.1, "match": 0.05, "box": 0.05}),
)
"""Last stage, with an unfrozen vision tower: always new pictures, and every skill rehearsed."""
