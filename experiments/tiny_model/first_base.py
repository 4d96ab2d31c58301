"""Recipe of the base for the first world, which is shipped in `experiments/tiny_model/base`."""

from functools import partial

from experiments.tiny_model.feature_pool import ScenePool
from experiments.tiny_model.model import build_model
from experiments.tiny_model.recipe import Recipe, Stage
from experiments.tiny_model.scene_pictures import random_scene
from experiments.tiny_model.skills import SKILLS
from experiments.tiny_model.stage_mixtures import GROUPS, MARKING, MATCHING, READING, SEEKING, SIGHT, TEXTS
from experiments.tiny_model.tokenizer import build_tokenizer
from experiments.tiny_model.vision_pretraining import PictureCollator, Pictures, VisionClassifier

_language = partial(Stage, trains="language", schedule="constant_with_warmup")

STAGES: tuple[Stage, ...] = (
    # A quarter crops.
    Stage("vision", "tower", 0.25, 1800, 64, 2e-3, "cosine", seed=0, step_s=0.5),
    # Mostly crops: after the first stage the tower reads large digits but not small ones.
    Stage("close", "tower", 0.7, 2400, 64, 1e-3, "cosine", seed=1, step_s=0.55),
    # Comparing two names only. Within the mixture of all texts the model marked most names "yes" after 1000 steps, 120
    # of them on this skill; alone, .97 of the exchanges are exact after 240.
    _language("matching", data=MATCHING, steps=250, batch_size=32, lr=1.5e-3, seed=1, step_s=1.2),
    _language("texts", data=TEXTS, steps=1400, batch_size=32, lr=1.5e-3, seed=2, step_s=1.1),
    # Comparisons again: learning to copy degrades the comparison of shapes (40 of 46 "near" were "yes" after 750
    # steps), and captions are not compared yet.
    _language("marking", data=MARKING, steps=400, batch_size=32, lr=1e-3, seed=3, step_s=1.1),
    # Describing pictures only: within the mixture of all skills no number was read after 2600 steps (.04 of captions
    # exact), alone most were after 200.
    _language("reading", data=READING, steps=500, batch_size=64, lr=1e-3, seed=4, step_s=1.6),
    Stage("skills", "language", GROUPS, 1500, 32, 1.5e-3, "cosine", seed=5, step_s=1.4),
    Stage("seeking", "language", SEEKING, 900, 16, 1e-3, "cosine", seed=6, step_s=1.3),
    # Nearly half crops: earlier stages reuse the pictures of the pool, and the tower was trained for heads that have
    # been discarded.
    Stage("sight", "all", SIGHT, 1300, 32, 7e-4, "cosine", seed=7, step_s=1.75),
)

FIRST_BASE = Recipe(
    world=1,
    stages=STAGES,
    scenes=16_000,
    scene_s=0.015,
    build_tokenizer=build_tokenizer,
    build_model=build_model,
    skills=SKILLS,
    scene_source=random_scene,
    build_pool=ScenePool,  # pyright: ignore[reportArgumentType]  # a cached property is a property to us
    build_pictures=Pictures,
    build_collator=PictureCollator,
    build_classifier=VisionClassifier,
)
"""Three hours on two CPU cores."""
