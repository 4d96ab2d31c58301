"""Presets of `vt-env reproduce`: sizes of each step."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from experiments.settings.models import Backend
from vt_env.world.config import WorldConfig, full_world
from vt_env.world2.config import World2Config


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


_WORLD2: Mapping[str, World2Config] = {
    "train": World2Config(videos=120, tasks_per_video=78),
    "val": World2Config(videos=12),
    "test": World2Config(),
}


@dataclass(frozen=True)
class SecondRoundSizes(ReproduceSizes):
    """Sizes of each step of the second round; GRPO starts from `sft-best`."""

    grpo_steps: int = 1250
    """Updates of GRPO: 60,000 rollouts at 48 a step."""
    ablation_steps: int = 200
    """Updates of an ablation or a control of GRPO, and of the plain row that they are compared with."""
    grpo_eval_every: int = 10_000
    """Rollouts between two evaluations during GRPO."""
    grpo_eval_tasks: int = 96
    """Questions of each of these evaluations."""
    average_last: int = 5
    """Checkpoints of GRPO whose weights are averaged."""
    val: WorldConfig = field(default_factory=lambda: replace(full_world(), videos=12))
    """Videos and questions of these evaluations."""
    world2: Mapping[str, World2Config] = field(default_factory=lambda: _WORLD2)
    """Split of the second world to its videos and questions."""

    @property
    def rival_steps(self) -> int:
        """Updates of a rival: as many as those of the policy that looks, over all its stages."""
        return self.sft_steps + self.best_steps + self.grpo_steps


_SMALL_WORLD = replace(full_world(), videos=1, duration_min_s=120, duration_max_s=150)
_SMOKE = ReproduceSizes(
    train=replace(_SMALL_WORLD, tasks_per_video=8),
    test=replace(_SMALL_WORLD, tasks_per_video=3),
    sft_steps=1,
    best_steps=1,
    # After one step of SFT all turns are malformed, and rejection sampling keeps no rollout with such a turn.
    rft_steps=0,
    grpo_steps=1,
    grpo_prompts=2,
    # Replies after one step are noise, so short ones save time.
    max_new_tokens=8,
    backend="transformers",
)
_TINY = ReproduceSizes(
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
)
PRESETS: Mapping[str, ReproduceSizes] = {
    "tiny": _TINY,
    "smoke": _SMOKE,
    "second": SecondRoundSizes(_TINY.train, _TINY.test, sft_weights=_TINY.sft_weights, best_weights=_TINY.best_weights),
    "second-smoke": SecondRoundSizes(
        _SMOKE.train,
        # Frames are shuffled among the videos of a set.
        replace(_SMOKE.test, videos=2),
        val=replace(_SMALL_WORLD, videos=2, tasks_per_video=16),
        world2={split: World2Config(600, 600, videos=2) for split in ("train", "val", "test")},
        sft_steps=1,
        best_steps=1,
        grpo_steps=1,
        grpo_prompts=2,
        ablation_steps=1,
        grpo_eval_every=16,
        grpo_eval_tasks=16,
        average_last=1,
        max_new_tokens=8,
        backend="transformers",
    ),
}
"""Presets: `tiny` makes the first table of docs/results.md, `second` that of the second round; the others only test
that the steps fit together."""
