"""Group the rollouts of forward passes by length and cut padding.

TRL (1.16) pads a whole step before it splits it, so every pass is as wide as the step's longest rollout. Episodes of
two turns and of ten stand side by side here: passes take rollouts of like length and are cut to their longest. The
gradient of a step is a sum over all its passes, so their order does not change it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

OF_PROMPT = ("prompt_ids", "prompt_mask")
OF_COMPLETION = (
    "completion_ids", "completion_mask", "tool_mask", "old_per_token_logps", "sampling_per_token_logps",
    "ref_per_token_logps", "importance_sampling_ratio",
)  # fmt: skip
OF_BOTH = ("token_type_ids", "mm_token_type_ids")
"""Fields of TRL's batches with a value per token: of the prompt (padded left), of the completion (padded right), and of
both joined."""


def shorten(passes: Sequence[Mapping[str, Any]], *, regroup: bool) -> list[dict[str, Any]]:
    """Cut passes to their longest row, after sharing their rows out by length if `regroup`."""
    return by_length(passes) if regroup else [cut(it) for it in passes]


def by_length(passes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Sort the rows of all passes by length, share them out anew, and cut each pass to its longest row.

    Args:
        passes: Batches of equal size as TRL's trainer makes them, prompts int[B, P] and completions int[B, C].
    """
    from trl.trainer.utils import split_pixel_values_by_grid

    by_rows = [split_pixel_values_by_grid(dict(it)) for it in passes]
    joined = {name: _join([it[name] for it in by_rows]) for name in by_rows[0]}
    return _share_out(joined, len(joined["prompt_ids"]) // len(passes))


def cut(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Cut the columns of a batch that hold nothing but padding."""
    used, width = _used(batch).any(0).nonzero().flatten(), batch["prompt_ids"].size(1)
    # One column of the completion stays, whatever it holds, as does that of a ratio of a whole rollout.
    first, end = int(used[0]), max(int(used[-1]), width) + 1
    columns = {
        **dict.fromkeys(OF_PROMPT, slice(first, None)),
        **dict.fromkeys(OF_COMPLETION, slice(end - width)),
        **dict.fromkeys(OF_BOTH, slice(first, end)),
    }
    return {
        name: value[:, columns[name]] if name in columns and value is not None else value
        for name, value in batch.items()
    }


def score_by_length(
    score: Callable[..., tuple[Any, Any, Any]], ids: Any, mask: Any, width: int, size: int, inputs: Mapping[str, Any]
) -> Any:
    """Score rollouts in passes of like length, each cut to its longest; the score of a cut column is 0.

    Args:
        score: Scores one pass: takes ids, mask and width by position and `inputs` by name, returns the scores first.
        ids: Prompts and completions, int[B, P + C].
        mask: 1 where `ids` holds no padding.
        width: C, the columns that are scored.
        size: Rollouts in a pass.
        inputs: Pixels and token types; `None` for those that a model does not take.

    Returns:
        Log-probabilities, float[B, C].
    """
    import torch

    scores = None
    for part in _passes_to_score(ids, mask, width, size, inputs):
        rows, prompt, completion = (part.pop(name) for name in ("rows", "prompt_ids", "completion_ids"))
        masks = torch.cat([part.pop("prompt_mask"), part.pop("completion_mask")], dim=1)
        length = completion.size(1)
        scored = score(torch.cat([prompt, completion], dim=1), masks, length, **part)[0]
        scores = scored.new_zeros(len(ids), width) if scores is None else scores
        scores[rows, :length] = scored
    return scores


def select_rows(batch: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Take rows of a batch as TRL's trainer makes it, with the pixels that belong to them."""
    from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

    return unsplit_pixel_values_by_grid(
        {name: _take(value, rows) for name, value in split_pixel_values_by_grid(dict(batch)).items()}
    )


def share_out(batch: Mapping[str, Any], size: int) -> list[dict[str, Any]]:
    """Split a batch as TRL's trainer makes it into passes of `size` rows of like length, each cut to its longest."""
    from trl.trainer.utils import split_pixel_values_by_grid

    return _share_out(split_pixel_values_by_grid(dict(batch)), size)


def _passes_to_score(ids: Any, mask: Any, width: int, size: int, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Make passes of `size` rows, with the number of each, from what TRL scores, whose last `width` columns count."""
    import torch
    from trl.trainer.utils import split_pixel_values_by_grid

    batch = {
        "rows": torch.arange(len(ids)),
        "prompt_ids": ids[:, :-width],
        "prompt_mask": mask[:, :-width],
        "completion_ids": ids[:, -width:],
        "completion_mask": mask[:, -width:],
        **{name: value for name, value in inputs.items() if value is not None},
    }
    return _share_out(split_pixel_values_by_grid(batch), size)


def _share_out(by_rows: Mapping[str, Any], size: int) -> list[dict[str, Any]]:
    """Make passes of `size` rows, the shortest first, from a batch whose pixels are split by row."""
    from trl.trainer.utils import unsplit_pixel_values_by_grid

    order = _used(by_rows).sum(1).argsort(stable=True).tolist()
    chunks = [order[at : at + size] for at in range(0, len(order), size)]
    parts = [{name: _take(value, rows) for name, value in by_rows.items()} for rows in chunks]
    return [cut(unsplit_pixel_values_by_grid(it)) for it in parts]


def _used(batch: Mapping[str, Any]) -> Any:
    """Tell which columns of which rows are no padding, prompt and completion joined: bool[B, P + C].

    A rollout that is masked whole keeps the columns of its images, or there would be more pixels than places for them.
    """
    import torch

    used = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1).bool()
    kinds = batch.get("mm_token_type_ids")
    return used if kinds is None else used | kinds.bool()


def _join(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, list):
        return [it for part in parts for it in part]
    if first is None or first.ndim == 0:
        return first
    import torch

    return torch.cat(list(parts))


def _take(value: Any, rows: Sequence[int]) -> Any:
    if isinstance(value, list):
        return [value[row] for row in rows]
    # What is one number for all rows stays.
    return value if value is None or value.ndim == 0 else value[list(rows)]
