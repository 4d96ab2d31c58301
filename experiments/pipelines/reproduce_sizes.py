"""Presets of `vt-env reproduce`: sizes of each step."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from experiments.settings.models import Backend
from vt_env.world.config import WorldConfig, full_world


@dataclass(frozen=True)
class ReproduceSizes:
    """Sizes of each step of `vt-env reproduce`."""

    train: WorldConfig
    """Videos and questions to train on."""
    test: WorldConfig
    """Videos and questions held out; `world_tasks` gives no video to two splits."""
    persistence: float = 0.5
    """Chance that the teacher of `sft` goes on after a wrong candidate."""
    sft_steps: int = 700
    """Optimiser steps of SFT, and of the policies that are shown frames or captions."""
    skills_share: float = 0.25
    """Share of the base model's skills in SFT, so that it does not forget them."""
    sft_weights: Mapping[str, float] = field(default_factory=dict[str, float])
    """How often attempts at a question family come, where not once: the world has few questions of some."""
    best_weights: Mapping[str, float] = field(default_factory=dict[str, float])
    """The same of the best demonstrations, of which the filter leaves few of some families."""
    sft_lr: float = 1e-3
    """Higher than the default, for a model that small."""
    best_steps: int = 500
    """Optimiser steps from `sft` on, on the best demonstrations, to compare at the cost of GRPO."""
    best_lr: float = 7e-4
    """Learning rate of that, peak."""
    rft_samples: int = 8
    """Rollouts a question in the round of rejection sampling: a group of GRPO."""
    rft_questions: int = 600
    """Questions of that round: as many as in all updates of GRPO."""
    rft_steps: int = 120
    """Optimiser steps on what was right; 0 to leave the round out."""
    rft_lr: float = 3e-4
    """Learning rate of that round, peak."""
    grpo_steps: int = 100
    """Updates of GRPO."""
    grpo_prompts: int = 6
    """Questions an update."""
    max_new_tokens: int = 128
    """Length at which a reply is cut off in evaluations."""
    backend: Backend = "vllm"
    """What evaluations generate with: vLLM is several times as fast where episodes are many and long, and takes a
    minute to start."""


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
        # A model after one step writes no call that can be read, and what holds a malformed turn is not learned from.
        rft_steps=0,
        grpo_steps=1,
        grpo_prompts=2,
        # Nothing that a model says after one step is worth waiting for.
        max_new_tokens=8,
        backend="transformers",
    ),
}
"""`tiny` is the README's table; `smoke` only shows that the parts fit together."""
