"""Advantages of rollouts from their rewards: GRPO, RLOO, REINFORCE++.

With rewards r_1 ... r_G of a group, its mean m and standard deviation s (of G - 1), and e = 1e-4 as in TRL (1.16):

| estimator | advantage of rollout i | source |
|---|---|---|
| grpo | (r_i - m) / (s + e) | arXiv 2402.03300, section 4.1.2; TRL scales by `scale_rewards` |
| rloo | r_i - (sum of the others) / (G - 1), which is G / (G - 1) (r_i - m) | arXiv 2402.14740, section 3.2 |
| reinforce_plus_plus | (r_i - mean(r)) / (std(r) + e), over all rollouts of the step | arXiv 2501.03262, equation 10 |
| reinforce_plus_plus_baseline | a_i / (std(a) + e), a_i = r_i - m, over all rollouts of the step | the same, k > 1 |

The names are verl's. Only TRL's GRPO scales by `scale_rewards`; the others start from the rewards as they are, so that
nothing is scaled twice. `rloo` equals TRL's `RLOOTrainer` without `normalize_advantages`. Two differences to the
sources: their penalty for the divergence is part of the reward and ours, as in TRL's GRPO, of the loss (`beta`); and
deviations are over rollouts, where verl and OpenRLHF weigh each by its tokens. The loss of the sources, a sum over the
tokens of a rollout, is TRL's `dapo` up to a factor that is the same for all rollouts of a step.

A rollout without a reward (NaN) has advantage 0 and counts in no mean.
"""

from typing import Any, Literal

AdvantageEstimator = Literal["grpo", "rloo", "reinforce_plus_plus", "reinforce_plus_plus_baseline"]
Scale = Literal["group", "batch", "none"]
"""`scale_rewards` of `trl.GRPOConfig`."""
EPSILON = 1e-4


def estimate_advantages(rewards: Any, group_size: int, estimator: AdvantageEstimator, scale: Scale = "group") -> Any:
    """Return the advantage of each rollout, float[B].

    Args:
        rewards: float[B], the rollouts of a group one after the other; NaN without a reward.
        group_size: Rollouts of a group.
        estimator: As the table of this module.
        scale: Of `grpo` alone: divide by the deviation of the group's rewards, of all rewards, or by nothing.
    """
    groups = rewards.view(-1, group_size)
    centred = (groups - groups.nanmean(dim=1, keepdim=True)).view(-1)
    if estimator == "rloo":
        advantages = _leave_one_out(groups).view(-1)
    elif estimator == "reinforce_plus_plus":
        advantages = (rewards - rewards.nanmean()) / (_deviation(rewards.view(1, -1)).view(-1) + EPSILON)
    elif estimator == "reinforce_plus_plus_baseline":
        advantages = centred / (_deviation(centred.view(1, -1)).view(-1) + EPSILON)
    elif scale == "none":
        advantages = centred
    else:
        deviation = _deviation(groups).repeat_interleave(group_size) if scale == "group" else _deviation(rewards[None])
        advantages = centred / (deviation + EPSILON)
    return advantages.nan_to_num(nan=0.0)


def has_mixed_rewards(rewards: Any, group_size: int) -> list[bool]:
    """Return for each group whether two of its rewards, float[B] with NaN for none, differ."""
    groups = rewards.view(-1, group_size)
    highest = groups.nan_to_num(nan=float("-inf")).amax(1)
    lowest = groups.nan_to_num(nan=float("inf")).amin(1)
    return (highest > lowest).tolist()


def _leave_one_out(groups: Any) -> Any:
    count = (~groups.isnan()).sum(dim=1, keepdim=True)
    others = (groups.nansum(dim=1, keepdim=True) - groups) / (count - 1)
    # A rollout that is alone with a reward has no baseline.
    return (groups - others).where(count > 1, groups.new_tensor(float("nan")))


def _deviation(rows: Any) -> Any:
    """Standard deviation of each row without its NaN, of n - 1; 0 of fewer than two values."""
    count = (~rows.isnan()).sum(dim=1)
    squares = (rows - rows.nanmean(dim=1, keepdim=True)).square().nansum(dim=1)
    return (squares / (count - 1).clamp(min=1)).sqrt()
