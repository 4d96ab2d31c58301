"""Join batches of rollouts, as TRL's trainer (1.16) makes them, and the metrics that it kept of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from vt_env.integrations.trl.length_batches import OF_BOTH, OF_COMPLETION, OF_PROMPT

_PADDING: Mapping[str, float] = {"tool_mask": 1, "importance_sampling_ratio": 1}
"""What TRL fills up the rows of a field with, where it is neither a token id nor 0."""
_TOTAL = "num_tokens"
"""Metric that counts through all steps."""


def join_batches(batches: Sequence[Mapping[str, Any]], pad_token_id: int) -> dict[str, Any]:
    """Join batches of rollouts, padded to the longest prompt and the longest completion among them.

    Args:
        batches: prompts int[B, P] padded left, completions int[B, C] padded right, and what belongs to them. Where
            nothing was shown in a batch, it may have no pictures and no kinds of tokens.
        pad_token_id: Fills up token ids.
    """
    prompt, completion = (max(it[name].size(1) for it in batches) for name in ("prompt_ids", "completion_ids"))
    names = dict.fromkeys(name for it in batches for name in it)
    wide = [_widened(it, list(names), prompt, completion, pad_token_id) for it in batches]
    return {name: _join([it[name] for it in wide if it[name] is not None]) for name in names}


def join_metrics(parts: Sequence[tuple[int, Mapping[str, Sequence[float]]]]) -> dict[str, float]:
    """Join what TRL kept of several batches: means are weighted by rollouts, of largest values the largest is taken.

    Args:
        parts: Number of rollouts and, by the name of a metric, its values.
    """
    joined: dict[str, float] = {}
    for name in dict.fromkeys(name for _, metrics in parts for name in metrics):
        values = [(count, value) for count, metrics in parts for value in metrics.get(name, ()) if value == value]
        if not values:
            joined[name] = float("nan")
        elif name == _TOTAL:
            joined[name] = values[-1][1]
        elif "max" in name.rpartition("/")[2]:
            joined[name] = max(value for _, value in values)
        elif "min" in name.rpartition("/")[2]:
            joined[name] = min(value for _, value in values)
        else:
            joined[name] = sum(count * value for count, value in values) / sum(count for count, _ in values)
    return joined


def _widened(
    batch: Mapping[str, Any], names: Sequence[str], prompt: int, completion: int, pad_token_id: int
) -> dict[str, Any]:
    """Return the fields `names` of a batch with wider prompts and completions; `None` for pictures that it lacks."""
    rows, own_prompt = batch["prompt_ids"].shape
    own_completion = batch["completion_ids"].size(1)
    left, right = prompt - own_prompt, completion - own_completion
    wide: dict[str, Any] = {}
    for name in names:
        value: Any = batch.get(name)
        if name == "num_images" and value is None:
            value = [0] * rows
        elif name in OF_BOTH:
            value = batch["prompt_ids"].new_zeros(rows, own_prompt + own_completion) if value is None else value
            value = _pad(value, left, right, 0)
        elif name in OF_PROMPT:
            value = _pad(value, left, 0, pad_token_id if name == "prompt_ids" else 0)
        elif name in OF_COMPLETION and value.size(1) == own_completion:
            # A ratio of a whole rollout has one column.
            value = _pad(value, 0, right, pad_token_id if name == "completion_ids" else _PADDING.get(name, 0))
        wide[name] = value
    return wide


def _pad(value: Any, left: int, right: int, padding: float) -> Any:
    from torch.nn.functional import pad

    return pad(value, (left, right), value=padding)


def _join(parts: Sequence[Any]) -> Any:
    import torch

    first = parts[0]
    if isinstance(first, list):
        return [it for part in parts for it in part]
    return first if first.ndim == 0 else torch.cat(list(parts))
