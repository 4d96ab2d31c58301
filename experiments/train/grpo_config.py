"""Configuration of GRPO runs, and presets for models of several sizes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from agents.backends.sampling import Sampling
from experiments.settings.profile import MediaFlags
from experiments.train.grpo_options import GRPOOptions
from vt_env.config import HOW_ONLY, at_least
from vt_env.errors import ConfigError
from vt_env.rewards.reward import resolve_rewards

Preset = Literal["tiny", "qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-4b", "qwen3-vl-8b"]


@dataclass(frozen=True, kw_only=True)
class GRPORun(GRPOOptions):
    """Settings of a GRPO run."""

    preset: Preset = "tiny"
    """Defaults of the other settings: `experiments.train.grpo_config.PRESETS`."""
    out: Path = Path("runs/grpo")
    """Run directory, which an interrupted run resumes; the model is saved to its `model` folder."""
    model: str = "runs/sft/model"
    """Checkpoint folder or hub name to start from; it must call tools already."""
    limit: int | None = None
    """Number of tasks, sampled by the seed; all by default."""
    played: Path | None = None
    """Run directory of `vt-env rft` or `vt-env grpo`: keep only questions with right and wrong rollouts there."""
    budget: str | None = None
    """Preset of the budget, also with changes (`default,max_calls=16`), or changes alone of the profile's."""
    rewards: str = "default"
    """Preset of the rewards, also with other weights: `default,no_option=0.2` penalises answers that are no option."""
    steps: int = 60
    """Optimiser steps; each samples new rollouts unless `num_iterations` is above 1."""
    prompts_per_step: int = 6
    """Questions a step."""
    group_size: int = 8
    """Rollouts a question; their mean reward is the baseline of each advantage."""
    micro_batch: int = 16
    """Rollouts in one forward pass of a process; `prompts_per_step * group_size` must be a multiple of it, times the
    processes."""
    lr: float = 1e-4
    """Initial learning rate."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning-rate decay; `constant` disables it."""
    temperature: float = 1.0
    """Sampling temperature."""
    top_p: float = 1.0
    """Smallest set of likeliest tokens with this probability; 1 keeps all. Like the next three, it samples from another
    distribution than the one that is trained, which TRL's importance weights correct for in part."""
    top_k: int = 0
    """Number of likeliest tokens to sample from; 0 keeps all."""
    min_p: float | None = None
    """Minimum probability of a token, relative to the likeliest one; by default none."""
    repetition_penalty: float = 1.0
    """Divides the logits of tokens that prompt or reply hold already; 1 disables it."""
    loss_type: Literal["dapo", "grpo", "dr_grpo", "bnpo", "cispo"] = "dapo"
    """Averaging and clipping of token losses; see TRL's GRPO documentation. REINFORCE with the group's mean as baseline
    is `cispo` with `scale_rewards=none`; Dr. GRPO is `dr_grpo` with `scale_rewards=none`."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """Rewards whose standard deviation scales the advantages of `grpo`; `none` leaves them unscaled."""
    beta: float = 0.0
    """Weight of the KL divergence from the initial model; above 0 that model is kept in memory."""
    epsilon: float = 0.2
    """Lower clip: the smallest ratio of new to old probability is 1 - epsilon."""
    epsilon_high: float | None = None
    """Upper clip: the largest ratio is 1 + epsilon_high (DAPO: 0.28), by default `epsilon`; for `cispo` the largest
    ratio itself, by default 5 (ScaleRL, arXiv 2510.13786)."""
    delta: float | None = None
    """Largest ratio for negative advantages (INTELLECT-2, two-sided clipping); by default none."""
    num_iterations: int = 1
    """Updates on the same rollouts; with 1 the ratio is 1 and clipping has no effect."""
    mask_truncated: bool = False
    """Mask rollouts that were truncated within a turn (DAPO, overlong filtering)."""
    drop_groups: bool = True
    """Drop zero-advantage rollouts from the update: groups without variance, and videos that failed. With `micro_batch`
    above 1 this saves their forward passes, too."""
    max_completion_length: int = 768
    """Largest number of tokens after the question, with tool results and their images."""
    context_tokens: int = 1280
    """Largest number of tokens of a conversation, prompt included; a server's `--max-model-len`."""
    vllm_mode: Literal["colocate", "server"] = "colocate"
    """Place of the sampler: the training process, or a `vllm serve` server (GPU only)."""
    server_url: str = field(default="http://localhost:8000", metadata=HOW_ONLY)
    """Address of the server."""
    server_timeout_s: float = field(default=240.0, metadata=HOW_ONLY)
    """Seconds to wait for the server before the run is given up."""
    gpu_memory_utilization: float = field(default=0.3, metadata=HOW_ONLY)
    """Share of a GPU's memory for a colocated sampler; without a GPU it takes 1 GiB for its cache."""
    sleep: bool = field(default=False, metadata=HOW_ONLY)
    """Free the memory of a colocated sampler during updates (GPU only, one process)."""
    tool_threads: int = field(default=4, metadata=HOW_ONLY)
    """Tool calls that run at the same time; 1 for tools that are not safe in threads."""
    save_steps: int = 20
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, "group_size", 2)
        if self.temperature <= 0:
            raise ConfigError(f"temperature={self.temperature}: need a temperature above 0")
        Sampling(
            self.temperature,
            self.top_p,
            self.top_k,
            self.min_p,
            repetition_penalty=self.repetition_penalty,
        )
        for name in ("num_iterations", "steps", "limit", "max_completion_length", "context_tokens", "tool_threads"):
            at_least(self, name, 1)
        at_least(self, "beta", 0)
        resolve_rewards(self.rewards)
        self.trainer_options().check_step(self.rollouts, self.group_size, self.scale_rewards)
        if self.average_last is not None and self.average_last > self.checkpoints:
            raise ConfigError(
                f"average_last={self.average_last}: {self.steps} steps with save_steps={self.save_steps} make "
                f"{self.checkpoints} checkpoint(s); lower average_last or save_steps"
            )
        if self.epsilon <= 0:
            raise ConfigError(f"epsilon={self.epsilon}: need a clip above 0")
        self.check_processes(1)

    @property
    def rollouts(self) -> int:
        """Rollouts a step, over all processes."""
        return self.prompts_per_step * self.group_size

    @property
    def sampled_rollouts(self) -> int:
        """Most rollouts that a step samples, over all processes."""
        return self.dynamic_sampling or self.rollouts

    @property
    def checkpoints(self) -> int:
        """Number of checkpoints that a whole run writes, the last step's among them."""
        return -(-self.steps // self.save_steps)

    @property
    def upper_clip(self) -> float | None:
        """`epsilon_high` as TRL takes it, whose own default would hold CISPO's ratio at 0.2."""
        return 5.0 if self.epsilon_high is None and self.loss_type == "cispo" else self.epsilon_high

    def check_processes(self, processes: int) -> None:
        """Refuse rollouts that do not divide among processes, and a sampler that sleeps in several processes.

        TRL's tool loop (1.16) takes as many turns in each process as its rollouts need, while a sampler that sleeps
        takes over the weights, which are gathered from all processes, at every turn: they hang. So would one sampler
        over several GPUs, which is not offered.

        Raises:
            ConfigError: They do not, or it is to sleep.
        """
        if self.sleep and processes > 1:
            raise ConfigError(
                f"sleep=True with {processes} processes: in trl 1.16 their tool loops run apart and wait for each "
                "other here; train in one process, with samplers that do not sleep, with --vllm-mode server, or with "
                "verl (docs/engines.md)"
            )
        if self.micro_batch < 1 or self.rollouts < 1 or self.rollouts % (self.micro_batch * processes):
            raise ConfigError(
                f"prompts_per_step={self.prompts_per_step}, group_size={self.group_size}, micro_batch="
                f"{self.micro_batch}: {self.rollouts} rollouts a step must be a multiple of micro_batch times "
                f"{processes} process(es)"
            )


_LARGE = GRPORun(
    tools="paper",
    budget="paper",
    media=MediaFlags(max_pixels=448 * 448),
    encoder="google/siglip-base-patch16-224",
    steps=500,
    prompts_per_step=6,
    group_size=8,
    micro_batch=1,
    lr=1e-6,
    epsilon_high=0.28,
    max_completion_length=16_384,
    context_tokens=32_768,
    gpu_memory_utilization=0.35,
    tool_threads=16,
    save_steps=25,
)


_QWEN3_VL = MediaFlags(max_pixels=448 * 448, min_pixels=256 * 256, patch_px=32)


def _large(preset: Preset, model: str, media: MediaFlags = _LARGE.media) -> GRPORun:
    return replace(_LARGE, preset=preset, model=model, media=media, out=Path("runs", f"grpo-{preset}"))


PRESETS: Mapping[str, GRPORun] = {
    "tiny": GRPORun(),
    "qwen2.5-vl-3b": _large("qwen2.5-vl-3b", "Qwen/Qwen2.5-VL-3B-Instruct"),
    "qwen2.5-vl-7b": _large("qwen2.5-vl-7b", "Qwen/Qwen2.5-VL-7B-Instruct"),
    "qwen3-vl-4b": _large("qwen3-vl-4b", "Qwen/Qwen3-VL-4B-Instruct", _QWEN3_VL),
    "qwen3-vl-8b": _large("qwen3-vl-8b", "Qwen/Qwen3-VL-8B-Instruct", _QWEN3_VL),
}
"""All but `tiny` are our choice and were never run at their size: `docs/training.md`. The models named are
those before SFT; `--model runs/sft/model` starts from one after it. 48 rollouts a step share out over 1, 2, 3, 4, 6 or
8 processes; frames have 448 x 448 pixels at most, in whole patches of either family. Clips are searched by SigLIP,
since the paper's LanguageBind is no class of transformers; `vt-env index` with the same flags is best run before."""
