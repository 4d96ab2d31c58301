"""Presets of `vt-env reproduce`: sizes of each step."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from experiments.settings.models import Backend
from vt_env.world.config import WorldConfig, full_world


@dataclass(frozen=True)
class ReproduceSizes:
    """Sizes of each step of `vt-env reproduce`."""

    train: WorldConfig
    """Training videos and questions."""
    test: WorldConfig
    """Held-out videos and questions; `world_tasks` gives no video to two splits."""
    persistence: float = 0.5
    """Probability that the teacher of `sft` continues after a wrong candidate."""
    sft_steps: int = 700
    """Optimiser steps of `sft`, `uniform` and `caption-only`."""
    skills_share: float = 0.25
    """Share of the base model's exercises in SFT, against forgetting."""
    sft_weights: Mapping[str, float] = field(default_factory=dict[str, float])
    """Repeats of the attempts at a question family, 1 if absent; the world has few questions of some families."""
    best_weights: Mapping[str, float] = field(default_factory=dict[str, float])
    """Repeats of the best demonstrations by family, 1 if absent; the filter leaves few of some families."""
    sft_lr: float = 1e-3
    """Peak learning rate of SFT; higher than the default, since the model is small."""
    best_steps: int = 500
    """Optimiser steps of `sft-best`, from `sft` on the best demonstrations, at the cost of GRPO."""
    best_lr: float = 7e-4
    """Peak learning rate of `sft-best`."""
    rft_samples: int = 8
    """Rollouts per question of rejection sampling, as in a group of GRPO."""
    rft_questions: int = 600
    """Questions of rejection sampling, as many as in all updates of GRPO."""
    rft_steps: int = 120
    """Optimiser steps on the right rollouts; 0 skips rejection sampling."""
    rft_lr: float = 3e-4
    """Peak learning rate of rejection sampling."""
    grpo_steps: int = 100
    """Updates of GRPO."""
    grpo_prompts: int = 6
    """Questions per update."""
    max_new_tokens: int = 128
    """Maximum length of a reply in evaluations, in tokens."""
    backend: Backend = "vllm"
    """Generation backend of evaluations: vLLM takes a minute to start, but is several times as fast on many long
    episodes."""


PRESETS: Mapping[str, ReproduceSizes] = {
    "tiny": ReproduceSizes(
        train=replace(full_world(), videos=120, tasks_per_video=80),
        test=replace(full_world(), tasks_per_video=8),
        sft_weights={
            "absence": 1.5,
            "counting": 1.5,
            "reference": 1.3,
            "detail": 1.2,
            "needle": 0.6,
            "grounding": 0.5,
            "subtitle": 0.5,
        },
        best_weights={
            "absence": 3,
            "ordering": 2,
            "counting": 2,
            "grounding": 0.5,
            "needle": 0.5,
            "subtitle": 0.5,
        },
    ),
    "smoke": ReproduceSizes(
        train=replace(full_world(), videos=1, tasks_per_video=8, duration_min_s=120, duration_max_s=150),
        test=replace(full_world(), videos=1, tasks_per_video=3, duration_min_s=120, duration_max_s=150),
        sft_steps=1,
        best_steps=1,
        # After one step of SFT all turns are malformed, and rejection sampling keeps no rollout with such a turn.
        rft_steps=0,
        grpo_steps=1,
        grpo_prompts=2,
        # Replies after one step are noise, so short ones save time.
        max_new_tokens=8,
        backend="transformers",
    ),
}
"""Presets: `tiny` makes the table of docs/results.md; `smoke` only tests that the steps fit together."""
