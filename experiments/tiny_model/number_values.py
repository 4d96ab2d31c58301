"""First embeddings of two-digit numbers: their values are in them, so that comparing numbers need not be memorised."""

from collections.abc import Iterator
from math import cos, pi, sin

import torch
from transformers import PreTrainedTokenizerFast

PERIODS = (200, 100, 50, 20, 10)
"""Periods of the waves that a value is written in; the shortest one is that of the last digit."""


@torch.no_grad()
def write_values(rows: torch.Tensor, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    """Add to each number's embedding a vector of its value, of the same length; the sum keeps the length.

    Args:
        rows: Embeddings, float32[V, width]; changed in place.
        tokenizer: Tokenizer with a token for each number of two digits.
        seed: Seed of the directions, which must be the same for embeddings that are to agree.
    """
    generator = torch.Generator().manual_seed(seed)
    count = 1 + 2 * len(PERIODS)
    directions = torch.linalg.qr(torch.randn(rows.size(1), count, generator=generator))[0].T
    ids = tokenizer.get_vocab()
    for number in range(100):
        row = rows[ids[f"{number:02d}"]]
        value = torch.tensor([*_waves(number)]) @ directions
        row.add_(value * (row.norm() / value.norm())).div_(2**0.5)


def _waves(number: int) -> Iterator[float]:
    yield number / 50 - 1
    for period in PERIODS:
        yield sin(2 * pi * number / period)
        yield cos(2 * pi * number / period)
