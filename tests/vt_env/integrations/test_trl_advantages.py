"""Advantages follow the formulas of their papers, worked out by hand, and TRL's own where TRL has them."""

import math

import pytest

pytest.importorskip("trl", reason="needs the train extra")

import torch
from hypothesis import given
from hypothesis import strategies as st
from trl.trainer.utils import nanstd

from vt_env.integrations.trl.advantages import EPSILON, estimate_advantages, has_mixed_rewards

REWARDS = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 1.0])
"""Two groups of three; the second has equal rewards."""
SCORES = st.lists(st.sampled_from([0.0, 1.0, -0.2, float("nan")]), min_size=8, max_size=8)


def estimated(estimator, rewards=REWARDS, group_size=3, scale="group"):
    return estimate_advantages(rewards, group_size, estimator, scale).tolist()


def test_grpo_divides_by_the_deviation_of_the_group():
    deviation = math.sqrt((4 / 9 + 1 / 9 + 1 / 9) / 2)
    right, wrong = 2 / 3 / (deviation + EPSILON), -1 / 3 / (deviation + EPSILON)
    assert estimated("grpo") == pytest.approx([right, wrong, wrong, 0, 0, 0])
    assert estimated("grpo", scale="none") == pytest.approx([2 / 3, -1 / 3, -1 / 3, 0, 0, 0])
    # Of all six rewards the mean is 2/3.
    whole = math.sqrt((4 * 1 / 9 + 2 * 4 / 9) / 5) + EPSILON
    assert estimated("grpo", scale="batch") == pytest.approx([it / whole for it in (2 / 3, -1 / 3, -1 / 3, 0, 0, 0)])


def test_rloo_compares_each_rollout_with_the_mean_of_the_others():
    assert estimated("rloo") == pytest.approx([1 - 0, 0 - 1 / 2, 0 - 1 / 2, 0, 0, 0])


def test_reinforce_plus_plus_normalises_over_the_whole_step_so_that_silent_groups_teach():
    deviation = math.sqrt((4 * 1 / 9 + 2 * 4 / 9) / 5) + EPSILON
    right, wrong = 1 / 3 / deviation, -2 / 3 / deviation
    assert estimated("reinforce_plus_plus") == pytest.approx([right, wrong, wrong, right, right, right])


def test_the_baseline_of_reinforce_plus_plus_is_the_group_and_its_scale_the_step():
    deviation = math.sqrt((4 / 9 + 1 / 9 + 1 / 9) / 5) + EPSILON
    wanted = [2 / 3 / deviation, -1 / 3 / deviation, -1 / 3 / deviation, 0, 0, 0]
    assert estimated("reinforce_plus_plus_baseline") == pytest.approx(wanted)


def test_a_rollout_without_a_reward_counts_in_no_mean():
    holed = torch.tensor([1.0, float("nan"), 0.0])
    assert estimated("rloo", holed) == pytest.approx([1, 0, -1])
    assert estimated("grpo", holed, scale="none") == pytest.approx([0.5, 0, -0.5])
    alone = torch.tensor([1.0, float("nan"), float("nan")])
    assert all(estimated(it, alone) == [0, 0, 0] for it in ("grpo", "rloo", "reinforce_plus_plus_baseline"))


@given(SCORES)
def test_rloo_is_trl_s_own(scores: list[float]):
    rewards = torch.tensor(scores)
    # `trl.RLOOTrainer` (1.16), "RLOO advantages computation".
    grouped = rewards.view(-1, 4)
    count = (~torch.isnan(grouped)).sum(1, keepdim=True)
    own = (rewards - ((grouped.nansum(1, keepdim=True) - grouped) / (count - 1)).view(-1)).nan_to_num(0.0)
    own = torch.where((count > 1).repeat_interleave(4), own, 0.0)
    torch.testing.assert_close(estimate_advantages(rewards, 4, "rloo"), own)


@given(SCORES, st.sampled_from(["group", "batch", "none"]))
def test_grpo_is_trl_s_own(scores: list[float], scale):
    rewards = torch.tensor(scores)
    if rewards.isnan().view(-1, 4).sum(1).max() > 2:
        return
    # `trl.GRPOTrainer` (1.16), "sum_then_normalize".
    mean = torch.nanmean(rewards.view(-1, 4), dim=1).repeat_interleave(4)
    group = nanstd(rewards.view(-1, 4), dim=1).repeat_interleave(4)
    deviation = {"group": group, "batch": nanstd(rewards).expand_as(rewards)}
    own = (rewards - mean) / (deviation[scale] + 1e-4) if scale != "none" else rewards - mean
    torch.testing.assert_close(estimate_advantages(rewards, 4, "grpo", scale), own.nan_to_num(0.0))


def test_a_group_is_mixed_where_two_rewards_differ():
    nan = float("nan")
    rewards = torch.tensor([1.0, 0.0, nan, 1.0, 1.0, nan, nan, nan, nan])
    assert has_mixed_rewards(rewards, 3) == [True, False, False]
