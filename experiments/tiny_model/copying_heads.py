"""First weights of a language model that copies: attention heads that together write what followed a token before.

The circuit is that of Olsson et al., In-context Learning and Induction Heads (arXiv 2209.11895): a head of the first
layer tells each position the token before it; heads of the second attend to positions that were told the token that is
read now, and write the token there. From random weights it forms late, or never within hours of training on two CPU
cores. Here it is written in before training, which may change it as it changes all weights.
"""

from typing import Any

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

LOUDNESS = 8.0
"""Length of input embeddings after `silence_layers`, where it was about 1."""
SHARPEST, LONGEST = 6, 100.0
"""Number of rotary pairs that find the token before, those of the highest frequencies; and the number of tokens over
which the pairs that compare tokens turn by one radian at most."""
BEFORE_GAP, MATCH, WRITE = 8.0, 8.0, 6.0
"""Difference of the attention score between the token before and its neighbours, scale of the comparison of tokens, and
scale of what is written. Nine settings were tried: with the best, .70 of the tokens of random texts were copied right
without any training (`echo`, 24 exchanges); with a third of the comparison, half of what is written and 300 tokens it
was .37."""


@torch.no_grad()
def silence_layers(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Set the output projections of all text layers to zero, and make input embeddings louder.

    With output projections of random weights, each layer adds ten times the length of an embedding to it, and the token
    that is read is hard to tell from the second layer on.
    """
    inner: Any = model.model
    for layer in inner.language_model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    inner.get_input_embeddings().weight.mul_(LOUDNESS)


@torch.no_grad()
def write_copying_heads(model: Qwen2_5_VLForConditionalGeneration, seed: int) -> None:
    """Write in the copying heads, as the first heads of the first two layers.

    Args:
        model: A model after `silence_layers`, with as many key-value heads as heads, two of them at least.
        seed: Seed of the directions.
    """
    inner: Any = model.model
    layers = inner.language_model.layers
    config: Any = model.config.get_text_config()
    width = config.hidden_size
    frequencies, dims, head = _rotary(model)
    read, told, *values = _directions(width, [len(dims), len(dims), head, head], seed)
    _write_before(layers[0].self_attn, frequencies, read, told, head)
    heads = [slice(start, start + head) for start in range(0, width, head)]
    for rows, value in zip(heads, values, strict=False):
        _write_match(layers[1].self_attn, rows, dims, read, told, value)


def _rotary(model: Qwen2_5_VLForConditionalGeneration) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return the frequencies of a head's rotary pairs, the dimensions that turn little, and the width of a head."""
    config: Any = model.config.get_text_config()
    head = config.hidden_size // config.num_attention_heads
    frequencies = config.rope_parameters["rope_theta"] ** (-torch.arange(head // 2) / (head // 2))
    slow = torch.nonzero(frequencies * LONGEST < 1).flatten()
    return frequencies, torch.cat([slow, slow + head // 2]), head


def _directions(width: int, counts: list[int], seed: int) -> list[torch.Tensor]:
    """Return a matrix of orthonormal rows for each count, float32[count, width]."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.linalg.qr(torch.randn(width, it, generator=generator))[0].T for it in counts]


def _write_before(attention: Any, frequencies: torch.Tensor, read: torch.Tensor, told: torch.Tensor, head: int) -> None:
    """Write the head that tells each position the token before: its scores depend on the distance alone."""
    rows = slice(0, head)
    half = head // 2
    attention.q_proj.weight[rows] = 0
    attention.k_proj.weight[rows] = 0
    fast = frequencies[:SHARPEST]
    size = (BEFORE_GAP * head**0.5 / (1 - fast.cos()).sum()).sqrt()
    attention.k_proj.bias[rows] = 0
    attention.k_proj.bias[:SHARPEST] = size
    # The query turned back by one position: the score is the largest at a distance of one.
    attention.q_proj.bias[rows] = 0
    attention.q_proj.bias[:SHARPEST] = size * fast.cos()
    attention.q_proj.bias[half : half + SHARPEST] = -size * fast.sin()
    attention.v_proj.weight[: len(read)] = read
    attention.o_proj.weight[:, : len(read)] = (
        told.T * (LOUDNESS / (read.size(1) ** 0.5)) * (read.size(1) / len(read)) ** 0.5
    )


def _write_match(
    attention: Any, rows: slice, dims: torch.Tensor, read: torch.Tensor, told: torch.Tensor, value: torch.Tensor
) -> None:
    """Write a head that attends to positions told the token that is read now, and writes the token there."""
    for projection, directions in ((attention.q_proj, read), (attention.k_proj, told)):
        projection.bias[rows] = 0
        block = torch.zeros_like(projection.weight[rows])
        block[dims] = directions * MATCH**0.5
        projection.weight[rows] = block
    attention.v_proj.weight[rows] = value
    attention.o_proj.weight[:, rows] = value.T * WRITE
