"""Calls against accuracy: one point a policy, with intervals over videos in both directions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.analysis.accuracy import clusters_of
from experiments.analysis.episode_facts import EpisodeFacts
from vt_env.stats import bootstrap_ci95, mean


@dataclass(frozen=True)
class CallsPoint:
    """Calls an episode and accuracy of a policy."""

    policy: str
    n: int
    """Scored episodes."""
    videos: int
    calls: float
    calls_ci95: tuple[float, float]
    accuracy: float
    ci95: tuple[float, float]


def calls_point(policy: str, facts: Sequence[EpisodeFacts], seed: int = 0) -> CallsPoint | None:
    """Compute the point of a policy; `None` without a scored episode.

    Args:
        policy: Name of the policy.
        facts: Its episodes, of all training seeds.
        seed: Seed of the bootstrap over videos.
    """
    scored = [it for it in facts if it.is_scored]
    if not scored:
        return None
    calls, right = clusters_of(scored, lambda it: it.calls), clusters_of(scored, lambda it: it.is_right)
    return CallsPoint(
        policy,
        len(scored),
        len({it.video for it in scored}),
        mean(calls),
        bootstrap_ci95(calls, np.random.default_rng(seed)),
        mean(right),
        bootstrap_ci95(right, np.random.default_rng(seed)),
    )
