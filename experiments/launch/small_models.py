"""Small random models of the launch files' checkpoints, with processors, built without a hub.

Classes, chat template, special tokens, patch and image sizes, positions and tying of embeddings equal those of the real
checkpoints. Layers, widths and the vocabulary are small: a byte-level BPE trained on this project's prompts replaces
Qwen's. Counts of text tokens are therefore close to those of the real tokenizers; counts of image tokens are equal.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vt_env.prompts import DEFAULT
from vt_env.tools.builtin import tools_for

SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
"""Special tokens of Qwen2.5-VL and Qwen3-VL, in order."""
PLAIN_TOKENS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
"""Added tokens of the same models that count as text."""
TEXT_WIDTH, VISION_WIDTH, LAYERS = 256, 64, 2
_PIXELS = {"qwen2_5_vl": (56 * 56, 12_845_056), "qwen3_vl": (65_536, 16_777_216)}


@dataclass(frozen=True)
class Checkpoint:
    """Real checkpoint that a small model imitates."""

    name: str
    """Name on the hub."""
    family: str
    """`qwen2_5_vl` or `qwen3_vl`."""
    ties_embeddings: bool


CHECKPOINTS: Mapping[str, Checkpoint] = {
    "qwen2.5-vl-3b": Checkpoint("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl", ties_embeddings=True),
    "qwen2.5-vl-7b": Checkpoint("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl", ties_embeddings=False),
    "qwen3-vl-4b": Checkpoint("Qwen/Qwen3-VL-4B-Instruct", "qwen3_vl", ties_embeddings=True),
    "qwen3-vl-8b": Checkpoint("Qwen/Qwen3-VL-8B-Instruct", "qwen3_vl", ties_embeddings=False),
}
"""Checkpoints by preset."""


def write_small_checkpoint(name: str, folder: Path, seed: int = 0) -> None:
    """Write a random model of a checkpoint's class, with its processor, in the layout of the hub.

    Args:
        name: Key of `CHECKPOINTS`.
        folder: Output folder.
        seed: Seed of the weights.
    """
    import torch

    checkpoint = CHECKPOINTS[name]
    processor = build_processor(checkpoint.family)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _MODELS[checkpoint.family](processor.tokenizer, checkpoint.ties_embeddings)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def build_processor(family: str) -> Any:
    """Build the processor of a family with the hub's chat template; Qwen2.5-VL's does not support tool calls."""
    import transformers
    from trl.chat_template_utils import qwen2_5_vl_chat_template, qwen3_vl_chat_template

    least, most = _PIXELS[family]
    sizes: dict[str, Any] = {"size": {"shortest_edge": least, "longest_edge": most}, "temporal_patch_size": 2}
    if family == "qwen2_5_vl":
        sizes |= {"patch_size": 14, "merge_size": 2}
        return transformers.Qwen2_5_VLProcessor(
            image_processor=transformers.Qwen2VLImageProcessor(**sizes),
            tokenizer=build_tokenizer(),
            video_processor=transformers.Qwen2VLVideoProcessor(**sizes),
            chat_template=qwen2_5_vl_chat_template,
        )
    sizes |= {"patch_size": 16, "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return transformers.Qwen3VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(**sizes),
        tokenizer=build_tokenizer(),
        video_processor=transformers.Qwen3VLVideoProcessor(**sizes),
        chat_template=qwen3_vl_chat_template,
    )


@cache
def _core() -> str:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False)
    schemas = [json.dumps(tool.schema, indent=1) for tool in tools_for("frames")]
    core.train_from_iterator([DEFAULT.system_text(), *schemas] * 2, trainer)
    core.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL_TOKENS])
    core.add_tokens([AddedToken(text, normalized=False) for text in PLAIN_TOKENS])
    return core.to_str()


def build_tokenizer() -> Any:
    """Build a byte-level BPE tokenizer with Qwen's added tokens."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_core()),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )


def _token_ids(tokenizer: Any) -> dict[str, Any]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}


def _text_config(tokenizer: Any, ties_embeddings: bool, rope: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "vocab_size": -(-len(tokenizer) // 64) * 64,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 2 * TEXT_WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": TEXT_WIDTH // 128,
        "num_key_value_heads": 1,
        "tie_word_embeddings": ties_embeddings,
        "rope_parameters": {"rope_type": "default", **rope},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _qwen2_5_vl(tokenizer: Any, ties_embeddings: bool) -> Any:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    rope = {"mrope_section": [16, 24, 24], "rope_theta": 1_000_000.0}
    text = _text_config(tokenizer, ties_embeddings, rope) | {"max_position_embeddings": 128_000}
    vision = {
        "depth": LAYERS,
        "hidden_size": VISION_WIDTH,
        "intermediate_size": 2 * VISION_WIDTH,
        "num_heads": 2,
        "out_hidden_size": TEXT_WIDTH,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [LAYERS - 1],
    }
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=ties_embeddings, **_token_ids(tokenizer)
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def _qwen3_vl(tokenizer: Any, ties_embeddings: bool) -> Any:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rope = {"mrope_section": [24, 20, 20], "mrope_interleaved": True, "rope_theta": 5_000_000.0}
    text = _text_config(tokenizer, ties_embeddings, rope) | {"max_position_embeddings": 262_144, "head_dim": 128}
    vision = {
        "depth": LAYERS,
        "hidden_size": VISION_WIDTH,
        "intermediate_size": 2 * VISION_WIDTH,
        "num_heads": 2,
        "out_hidden_size": TEXT_WIDTH,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "num_position_embeddings": 48**2,
        "deepstack_visual_indexes": [0],
    }
    config = Qwen3VLConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=ties_embeddings, **_token_ids(tokenizer)
    )
    return Qwen3VLForConditionalGeneration(config)


_MODELS: Mapping[str, Callable[[Any, bool], Any]] = {"qwen2_5_vl": _qwen2_5_vl, "qwen3_vl": _qwen3_vl}
