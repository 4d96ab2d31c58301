"""Leaves out of an update what cannot teach: rollouts whose advantage is zero.

Where all rewards of a group are equal its advantages are zero, and so is that of a rollout whose video could not be
read. TRL (1.16) counts them (`frac_reward_zero_std`) and trains on them all the same: their gradient is zero, but their
forward and backward passes cost as much as any, and their tokens dilute the losses that average over tokens. Dropping
them is half of DAPO's dynamic sampling (arXiv 2503.14476); sampling anew until the batch is full is not done here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

DROPPED = "episode/dropped"
"""Metric: share of a step's rollouts that its update left out."""


def drop_rollouts_without_advantage(trainer: Any) -> None:
    """Make every update as if the rollouts without advantage had never been sampled; to be called before `train`.

    A few stay where the rest does not divide into the passes of a step; their gradient is zero. With `beta` above 0 the
    dropped ones are not drawn to the reference model either.

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
        return {**select_rows(batch, kept), "num_items_in_batch": trainer.accelerator.gather(own_items).sum()}

    trainer._generate_and_score_completions = generate_and_drop


def rows_to_keep(teaching: Sequence[bool], passes: int) -> list[int]:
    """Return the rows that teach, filled up with others to a multiple of `passes`, at least one each.

    Args:
        teaching: For each row whether it has an advantage; their number is a multiple of `passes`.
        passes: Forward passes that the rows are split over.
    """
    wanted = max(1, -(-sum(teaching) // passes)) * passes
    order = sorted(range(len(teaching)), key=lambda row: not teaching[row])
    return sorted(order[:wanted])


def select_rows(batch: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Take rows of a batch as TRL's trainer makes it, with the pixels that are theirs."""
    from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

    return unsplit_pixel_values_by_grid(
        {name: _take(value, rows) for name, value in split_pixel_values_by_grid(dict(batch)).items()}
    )


def _take(value: Any, rows: Sequence[int]) -> Any:
    if isinstance(value, list):
        return [value[row] for row in rows]
    # What is one number for all rows stays.
    return value if value is None or value.ndim == 0 else value[list(rows)]
