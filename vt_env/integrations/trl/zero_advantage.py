"""Leaves out of an update what cannot teach: rollouts whose advantage is zero, and padding.

Where all rewards of a group are equal its advantages are zero, and so is that of a rollout whose video could not be
read. TRL (1.16) trains on them all the same: their gradient is zero, but their forward and backward passes cost as much
as any, and their tokens dilute the losses that average over tokens. Dropping them is half of DAPO's dynamic sampling
(arXiv 2503.14476); sampling anew until the batch is full is not done here.

Every pass is as wide as the longest rollout of its step, since TRL pads before it splits. Episodes of two turns and of
ten stand side by side here, so passes take rollouts of like length and are cut to their longest.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

DROPPED = "episode/dropped"
"""Metric: share of a step's rollouts that its update left out."""
SILENT_GROUPS = "groups_without_variance"
"""Metric: share of a step's groups in which no rollout has an advantage. TRL's own (`frac_reward_zero_std`) is another:
with `scale_rewards="batch"` it looks at the batch alone, and a group without any reward counts as one that varies."""
OF_PROMPT = ("prompt_ids", "prompt_mask")
OF_COMPLETION = (
    "completion_ids", "completion_mask", "tool_mask", "old_per_token_logps", "sampling_per_token_logps",
    "ref_per_token_logps", "importance_sampling_ratio",
)  # fmt: skip
OF_BOTH = ("token_type_ids", "mm_token_type_ids")
"""What TRL's batches hold a token, of the prompt, padded on the left, of the completion, on the right, and of both."""


def drop_rollouts_without_advantage(trainer: Any) -> None:
    """Make every update as if the rollouts without advantage had never been sampled; to be called before `train`.

    A few stay where the rest does not divide into the passes of a step, all of them where a pass holds one rollout.
    Their tokens are masked, so with `beta` above 0 they are not drawn to the reference model either; only the losses
    `grpo` and `dr_grpo`, which divide by the rollouts of a pass, still count them.

    Args:
        trainer: A `trl.GRPOTrainer`.
    """
    generate: Callable[[Any], dict[str, Any]] = trainer._generate_and_score_completions

    def generate_and_drop(rows: Any) -> dict[str, Any]:
        batch = generate(rows)
        if not trainer.model.training:
            return batch
        teaching = (batch["advantages"] != 0).tolist()
        kept = rows_to_keep(teaching, trainer.args.steps_per_generation)
        trainer._metrics["train"][DROPPED].append(1 - len(kept) / len(teaching))
        mask = batch["completion_mask"] * batch.get("tool_mask", 1)
        own_items = mask[batch["advantages"] != 0].sum()
        selected = mask_rows_without_advantage(select_rows(batch, kept))
        return {**selected, "num_items_in_batch": trainer.accelerator.gather(own_items).sum()}

    trainer._generate_and_score_completions = generate_and_drop


def count_silent_groups(trainer: Any) -> None:
    """Make the trainer log `SILENT_GROUPS`; to be called before `train`.

    Args:
        trainer: A `trl.GRPOTrainer`.
    """
    generate: Callable[[Any], dict[str, Any]] = trainer._generate_and_score_completions

    def generate_and_count(rows: Any) -> dict[str, Any]:
        batch = generate(rows)
        if trainer.model.training:
            groups = trainer.accelerator.gather(batch["advantages"]).view(-1, trainer.num_generations)
            trainer._metrics["train"][SILENT_GROUPS].append((groups == 0).all(1).float().mean().item())
        return batch

    trainer._generate_and_score_completions = generate_and_count


def cut_passes_to_length(trainer: Any) -> None:
    """Let passes hold rollouts of like length, cut to the longest of them; to be called before `train`.

    Those are the passes of an update, and those before it in which the model and the reference score the samples. The
    gradient is that of TRL's order where a step is one update: it is a sum over all passes. The loss `bnpo` alone
    averages over the tokens of each pass, so its passes keep their rollouts and are only cut.

    Args:
        trainer: A `trl.GRPOTrainer`.
    """
    prepare: Callable[[Any], dict[str, Any]] = trainer._prepare_inputs

    def prepare_and_cut(rows: Any) -> dict[str, Any]:
        before = trainer._buffered_inputs
        inputs = prepare(rows)
        if trainer._buffered_inputs is before:
            return inputs
        passes = trainer._buffered_inputs
        is_mean_of_pass = trainer.args.loss_type == "bnpo"
        trainer._buffered_inputs = [cut(it) for it in passes] if is_mean_of_pass else by_length(passes)
        return trainer._buffered_inputs[trainer._step % trainer.args.steps_per_generation]

    trainer._prepare_inputs = prepare_and_cut
    _score_by_length(trainer)


def _score_by_length(trainer: Any) -> None:
    """Let passes hold rollouts of like length that score samples without a gradient, for the model and the reference.

    The score of a column that is cut is 0.
    """
    score: Callable[..., tuple[Any, Any, Any]] = trainer._get_per_token_logps_and_entropies

    def score_cut(model: Any, ids: Any, mask: Any, width: int, batch_size: int | None = None, **inputs: Any) -> Any:
        import torch

        # Entropies and the loss of experts are asked for with a gradient alone.
        if torch.is_grad_enabled() or inputs.get("compute_entropy") or inputs.get("compute_aux_loss"):
            return score(model, ids, mask, width, batch_size, **inputs)
        scores = None
        for part in _passes_to_score(ids, mask, width, batch_size or len(ids), inputs):
            rows, prompt, completion = (part.pop(name) for name in ("rows", "prompt_ids", "completion_ids"))
            masks = torch.cat([part.pop("prompt_mask"), part.pop("completion_mask")], dim=1)
            length = completion.size(1)
            scored = score(model, torch.cat([prompt, completion], dim=1), masks, length, **part)[0]
            scores = scored.new_zeros(len(ids), width) if scores is None else scores
            scores[rows, :length] = scored
        return scores, None, None

    trainer._get_per_token_logps_and_entropies = score_cut


def by_length(passes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Share the rows of all passes out anew, the shortest to the first, and cut each pass to its longest row."""
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


def rows_to_keep(teaching: Sequence[bool], passes: int) -> list[int]:
    """Return the rows that teach, filled up with others to a multiple of `passes`, at least one each.

    Args:
        teaching: For each row whether it has an advantage; their number is a multiple of `passes`.
        passes: Forward passes that the rows are split over.
    """
    wanted = max(1, -(-sum(teaching) // passes)) * passes
    order = sorted(range(len(teaching)), key=lambda row: not teaching[row])
    return sorted(order[:wanted])


def mask_rows_without_advantage(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Take the tokens of rollouts without advantage out of the loss, which may hold more than the advantage."""
    name = "tool_mask" if "tool_mask" in batch else "completion_mask"
    return {**batch, name: batch[name] * (batch["advantages"] != 0).unsqueeze(1)}


def select_rows(batch: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Take rows of a batch as TRL's trainer makes it, with the pixels that are theirs."""
    from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

    return unsplit_pixel_values_by_grid(
        {name: _take(value, rows) for name, value in split_pixel_values_by_grid(dict(batch)).items()}
    )


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
    """Tell which columns of which rows are no padding, prompt and completion joined: bool[B, T].

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
