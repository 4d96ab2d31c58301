"""Sampling with transformers: penalties, filters and one random stream per row."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from agents.backends.sampling import Sampling


def sampling_processors(sampling: Sampling, seeds: Sequence[int], starts: Sequence[int], length: int) -> list[Any]:
    """Build the logits processors of a batch, in vLLM's order: penalties, temperature, filters, noise.

    Args:
        sampling: Settings; a temperature of `None` or 0 is greedy.
        seeds: One per row.
        starts: Position of the first prompt token of each row, behind its padding.
        length: Length of the padded prompts in tokens.
    """
    penalties = _Penalties(sampling, starts, length)
    noise = [SeededSampling(seeds, sampling)] if sampling.temperature else []
    return [*([penalties] if penalties.is_active else []), *noise]


class _Penalties(LogitsProcessor):
    """Repetition penalty over prompt and reply (CTRL, arXiv 1909.05858), presence penalty over the reply.

    Both as vLLM 0.32 applies them. transformers' own repetition penalty counts padding, so a reply would depend on its
    neighbours in the batch.
    """

    def __init__(self, sampling: Sampling, starts: Sequence[int], length: int) -> None:
        self._repetition = 1.0 if sampling.repetition_penalty is None else sampling.repetition_penalty
        self._presence = sampling.presence_penalty or 0.0
        self._starts, self._length = starts, length

    @property
    def is_active(self) -> bool:
        """True if a penalty changes anything."""
        return self._repetition != 1 or self._presence != 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Lower float[B, V] scores of the tokens in int64[B, T]."""
        scores = scores.clone()
        for row, (ids, start) in enumerate(zip(input_ids, self._starts, strict=True)):
            seen, written = ids[start:].unique(), ids[self._length :].unique()
            found = scores[row, seen]
            scores[row, seen] = torch.where(found > 0, found / self._repetition, found * self._repetition)
            scores[row, written] -= self._presence
        return scores


class SeededSampling(LogitsProcessor):
    """Gumbel-max sampling with one random stream per row; use with greedy decoding.

    Adding Gumbel noise to `logits / temperature` and taking the maximum samples from the softmax (Gumbel, 1954;
    Maddison et al., NeurIPS 2014). PyTorch's own sampling has one stream for the batch, so a reply would depend on its
    neighbours.

    Args:
        seeds: One per row.
        sampling: Settings; the temperature is above 0.
    """

    def __init__(self, seeds: Sequence[int], sampling: Sampling) -> None:
        self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._temperature = sampling.temperature or 1.0
        self._filters: list[Any] = []
        if sampling.min_p:
            self._filters.append(MinPLogitsWarper(sampling.min_p))
        if sampling.top_k:
            self._filters.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p is not None and sampling.top_p < 1:
            self._filters.append(TopPLogitsWarper(sampling.top_p))

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scale float[B, V] scores by the temperature, drop filtered tokens and add Gumbel noise."""
        uniform = torch.stack([torch.rand(scores.shape[1], generator=stream) for stream in self._streams])
        scaled = scores / self._temperature
        for keep in self._filters:
            scaled = keep(input_ids, scaled)
        return scaled - torch.log(-torch.log(uniform)).to(scores.device)
