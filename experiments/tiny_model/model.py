"""Architecture of the tiny models: a small `Qwen2_5_VLForConditionalGeneration` with random weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from experiments.tiny_model.processor import MERGE, PATCH_PX
from experiments.tiny_model.tokenizer import IMAGE_TOKEN, THINGS, TOKENIZER_SIZE

MAX_TOKENS = 4096
REPLY_TOKENS = 128
"""Maximum length of a reply, which its checkpoints name in their `generation_config.json`."""


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """Sizes of a tiny model: the text model's, then the vision tower's."""

    tokens: int
    """Embedding rows."""
    width: int
    layers: int
    heads: int
    kv_heads: int
    inner: int
    """Width of the text model's gated layers."""
    mrope_section: tuple[int, int, int]
    """Rotary frequencies for time, height and width; half a head in all. Of text, all three have the same positions."""
    vision_width: int
    vision_layers: int
    vision_heads: int
    vision_inner: int


FIRST_SIZES = ModelSizes(TOKENIZER_SIZE, 192, 4, 6, 2, 512, (4, 6, 6), 96, 3, 4, 256)
"""Sizes of the base for the first world: 2.5 million parameters."""


def build_config(tokenizer: PreTrainedTokenizerFast, sizes: ModelSizes = FIRST_SIZES) -> Qwen2_5_VLConfig:
    """Build the config of a tiny model for a tokenizer.

    Embeddings are untied: with tied ones vLLM's `reload_weights` does not update the output head, and the sampler's
    log-probabilities drift from the trainer's after the third update (measured in a prototype).

    The standard deviation of the language model's initial weights is the inverse root of its width. The default of 0.02
    suits wide models: after 250 steps on similar texts the copying loss was 1.61 nats a token with 0.02 and 1.26 with
    0.07 (one run each).
    """
    ids: Any = tokenizer.convert_tokens_to_ids
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": sizes.tokens,
            "hidden_size": sizes.width,
            "initializer_range": sizes.width**-0.5,
            "intermediate_size": sizes.inner,
            "num_hidden_layers": sizes.layers,
            "num_attention_heads": sizes.heads,
            "num_key_value_heads": sizes.kv_heads,
            "max_position_embeddings": MAX_TOKENS,
            "tie_word_embeddings": False,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": list(sizes.mrope_section),
                "rope_theta": 10_000.0,
            },
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": sizes.vision_layers,
            "hidden_size": sizes.vision_width,
            "intermediate_size": sizes.vision_inner,
            "num_heads": sizes.vision_heads,
            "out_hidden_size": sizes.width,
            "patch_size": PATCH_PX,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "window_size": PATCH_PX * MERGE * 4,
            "fullatt_block_indexes": list(range(sizes.vision_layers)),
        },
        image_token_id=ids(IMAGE_TOKEN),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=False,
    )


THING_PARTS: Mapping[str, Sequence[str]] = {f"{colour} {shape}": (colour, shape) for colour, shape in THINGS}
"""Words of each name that is one token."""


def build_model(
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    sizes: ModelSizes = FIRST_SIZES,
    parts: Mapping[str, Sequence[str]] = THING_PARTS,
) -> Qwen2_5_VLForConditionalGeneration:
    """Build a model in fp32 with random weights from `seed`, preserving PyTorch's global random state.

    Args:
        tokenizer: Its tokenizer.
        seed: Seed of the weights.
        sizes: Its sizes.
        parts: Tokens that a token's embedding begins as the scaled sum of, so that names of one colour start similar.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(build_config(tokenizer, sizes))
    for rows in embeddings(model):
        add_up_parts(rows, tokenizer, parts)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.max_new_tokens = REPLY_TOKENS
    return model.float()


def embeddings(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weights of the input and the output embeddings of a model."""
    return model.get_input_embeddings().weight, model.get_output_embeddings().weight


@torch.no_grad()
def add_up_parts(rows: torch.Tensor, tokenizer: PreTrainedTokenizerFast, parts: Mapping[str, Sequence[str]]) -> None:
    """Set embeddings to the sum of those of their parts, scaled to the length of one.

    Args:
        rows: Embeddings, float32[V, width]; changed in place.
        tokenizer: Tokenizer of both.
        parts: Token to the tokens of its parts; a part that is composed itself comes before.
    """
    ids: Any = tokenizer.convert_tokens_to_ids
    for token, of in parts.items():
        rows[ids(token)] = torch.stack([rows[ids(part)] for part in of]).sum(0) / len(of) ** 0.5
