"""Recipe of the base for the second world.

Against the first base: a tokenizer that joins words and spaces, output embeddings that begin as the input ones,
numbers that begin with their values, as many key-value heads as heads, a stage of copying without patterns before all
others, and a tower that is taught what each place of a frame holds. What was measured is in docs/lab_log.md
(2026-12-01).
"""

from functools import partial

import torch
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

from experiments.tiny_model.copying_heads import silence_layers, write_copying_heads
from experiments.tiny_model.joined_tokenizer import JOINED_SIZE, build_joined_tokenizer, joined_parts
from experiments.tiny_model.model import ModelSizes, add_up_parts, build_model, embeddings
from experiments.tiny_model.number_values import write_values
from experiments.tiny_model.recipe import Recipe, Stage
from experiments.tiny_model.world2.sights import SightPool, random_sight
from experiments.tiny_model.world2.skills import ALL, COPYING, READING, SIGHT, SKILLS, TEXTS
from experiments.tiny_model.world2.tower import SightCollator, Sights, build_classifier

SECOND_SIZES = ModelSizes(JOINED_SIZE, 256, 4, 4, 4, 768, (8, 12, 12), 128, 4, 4, 344)
"""Sizes of the base for the second world: 5.3 million parameters."""


def build_second_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """Build the model in fp32 with random weights from `seed`.

    Output embeddings begin as the input ones, so that to copy a token is the same for all of them; they are not tied,
    for the reason that `experiments.tiny_model.model.build_config` gives.
    """
    model = build_model(tokenizer, seed, SECOND_SIZES, {})
    inputs, outputs = embeddings(model)
    with torch.no_grad():
        write_values(inputs, tokenizer, seed)
        add_up_parts(inputs, tokenizer, joined_parts())
        outputs.copy_(inputs)
    silence_layers(model)
    write_copying_heads(model, seed)
    return model


_language = partial(Stage, trains="language", schedule="constant_with_warmup")

STAGES: tuple[Stage, ...] = (
    # Copying without patterns, then the lines of the world.
    _language("copying", data=COPYING, steps=300, batch_size=16, lr=1.5e-3, seed=1, step_s=1.1),
    _language("texts", data=TEXTS, steps=2000, batch_size=16, lr=1.5e-3, seed=2, step_s=1.0),
    # What each place of a frame holds, first mostly in whole frames, then mostly the small numbers of closer looks.
    Stage("tower", "tower", 0.3, 2000, 64, 2e-3, "cosine", seed=3, step_s=0.85),
    Stage("close", "tower", 0.6, 1500, 64, 1e-3, "cosine", seed=4, step_s=0.85),
    _language("reading", data=READING, steps=500, batch_size=48, lr=1e-3, seed=5, step_s=2.1),
    Stage("skills", "language", ALL, 650, 32, 1.5e-3, "cosine", seed=6, step_s=2.2),
    # The stage that taught the first base to read small print; it repeats no picture.
    Stage("sight", "all", SIGHT, 850, 32, 7e-4, "cosine", seed=7, step_s=2.6),
)

SECOND_BASE = Recipe(
    world=2,
    stages=STAGES,
    scenes=7_000,
    scene_s=0.035,
    build_tokenizer=build_joined_tokenizer,
    build_model=build_second_model,
    skills=SKILLS,
    scene_source=random_sight,
    build_pool=SightPool,  # pyright: ignore[reportArgumentType]  # a cached property is a property to us
    build_pictures=Sights,
    build_collator=SightCollator,
    build_classifier=build_classifier,
)
"""Three hours on two CPU cores with the probes, by a forecast: docs/lab_log.md (2026-12-01) says what it rests on."""
