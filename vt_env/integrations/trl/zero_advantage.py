"""Drop zero-advantage rollouts from GRPO updates.

Where all rewards of a group are equal its advantages are zero, and so is that of a rollout whose video could not be
read. TRL (1.16) trains on them all the same: their gradient is zero, but their forward and backward passes cost as much
as any, and their tokens dilute the losses that average over tokens. Dropping them is half of DAPO's dynamic sampling
(arXiv 2503.14476); sampling anew until the batch is full is done in `vt_env.integrations.trl.step_sampling`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vt_env.integrations.trl.length_batches import select_rows

DROPPED = "episode/dropped"
"""Metric: share of a step's rollouts that its update left out."""
SILENT_GROUPS = "groups_without_variance"
"""Metric: share of a step's groups in which no rollout has an advantage. TRL's own (`frac_reward_zero_std`) is another:
with `scale_rewards="batch"` it looks at the batch alone, and a group without any reward counts as one that varies."""


SAMPLED = "rollouts/sampled"
"""Metric of dynamic sampling: rollouts that a step has sampled, over all processes."""
MIXED_GROUPS = "rollouts/mixed_groups"
"""Metric of dynamic sampling: share of the sampled groups whose rewards differ."""


def drop_zero_advantage(batch: Mapping[str, Any], passes: int, gather: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the batch as if the rollouts without advantage had never been sampled.

    A few stay where the rest does not divide into the passes of a step, all of them where a pass holds one rollout.
    Their tokens are masked, so with `beta` above 0 they are not drawn to the reference model either; only the losses
    `grpo` and `dr_grpo`, which divide by the rollouts of a pass, still count them.

    Args:
        batch: Rollouts of a step as TRL's trainer makes them; `advantages` is float[B].
        passes: Forward passes that the rows are split over.
        gather: Joins a tensor over all processes.
    """
    has_advantage = batch["advantages"] != 0
    own_tokens = (batch["completion_mask"] * batch.get("tool_mask", 1))[has_advantage].sum()
    kept = select_rows(batch, rows_to_keep(has_advantage.tolist(), passes))
    return {**mask_zero_advantage(kept), "num_items_in_batch": gather(own_tokens).sum()}


def share_of_silent_groups(advantages: Any, group_size: int) -> float:
    """Return the share of groups whose advantages, float[groups * group_size], are all zero."""
    return (advantages.view(-1, group_size) == 0).all(1).float().mean().item()


def rows_to_keep(has_advantage: Sequence[bool], passes: int) -> list[int]:
    """Return the rows with an advantage, filled up with others to a multiple of `passes`, at least one each.

    Args:
        has_advantage: For each row whether its advantage is other than zero; their number is a multiple of `passes`.
        passes: Forward passes that the rows are split over.
    """
    wanted = max(1, -(-sum(has_advantage) // passes)) * passes
    order = sorted(range(len(has_advantage)), key=lambda row: not has_advantage[row])
    return sorted(order[:wanted])


def mask_zero_advantage(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Take the tokens of rollouts without advantage out of the loss, which may hold more than the advantage."""
    name = "tool_mask" if "tool_mask" in batch else "completion_mask"
    return {**batch, name: batch[name] * (batch["advantages"] != 0).unsqueeze(1)}
