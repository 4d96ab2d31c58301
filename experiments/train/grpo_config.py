"""How a GRPO run is configured, and presets for models of several sizes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from experiments.runs.run_dir import HOW_ONLY
from experiments.train.common import TrainerConfig
from vt_env.config import MediaConfig, at_least, resolve_budget
from vt_env.errors import ConfigError

Preset = Literal["tiny", "qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-4b", "qwen3-vl-8b"]


@dataclass(frozen=True, kw_only=True)
class GRPORun(TrainerConfig):
    """How a model is trained on rewards."""

    preset: Preset = "tiny"
    """Where the other settings come from, unless they are given: `experiments.train.grpo_config.PRESETS`."""
    out: Path = Path("runs/grpo")
    """Run directory; the model lands in its `model` folder, and an interrupted run goes on there."""
    model: str = "runs/sft/model"
    """Checkpoint folder or hub name to start from; it must call tools already."""
    limit: int | None = None
    """Take only so many tasks, drawn by the seed."""
    played: Path | None = None
    """Run directory of `vt-env rft` or `vt-env grpo`: take only questions of which some rollouts were right and some
    wrong."""
    budget: str = "default"
    """Preset of the budget, with changes if need be (`default,max_calls=16`)."""
    rewards: str = "default"
    """Preset of the rewards."""
    steps: int = 60
    """Optimiser steps; each samples anew, but for `num_iterations`."""
    prompts_per_step: int = 6
    """Questions a step."""
    group_size: int = 8
    """Rollouts a question; their mean reward is the baseline of each."""
    micro_batch: int = 16
    """Rollouts that one forward pass of a process holds; passes of all processes must share out
    `prompts_per_step * group_size` evenly."""
    lr: float = 1e-4
    """Learning rate at the start."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How it falls until the last step, if it does."""
    temperature: float = 1.0
    """Sampling temperature."""
    loss_type: Literal["dapo", "grpo", "dr_grpo", "bnpo", "cispo"] = "dapo"
    """How token losses are averaged and clipped; see TRL's GRPO documentation. REINFORCE with the group's mean as
    baseline is `cispo` with `scale_rewards=none`; Dr. GRPO is `dr_grpo` with `scale_rewards=none`."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """Over what advantages are divided by the spread of rewards."""
    beta: float = 0.0
    """Weight of the divergence from the model that training starts from; above 0 that model is kept in memory."""
    epsilon: float = 0.2
    """How far the ratio of new to old probability may fall below 1 before it is clipped."""
    epsilon_high: float | None = None
    """How far it may rise above 1 (DAPO: 0.28), by default as `epsilon`; for `cispo` the largest ratio itself, by
    default 5 (ScaleRL, arXiv 2510.13786)."""
    delta: float | None = None
    """Upper bound of the ratio for negative advantages too (INTELLECT-2); by default none."""
    num_iterations: int = 1
    """Updates on the same rollouts; with one the ratio is 1 and clips do nothing."""
    mask_truncated: bool = False
    """Leave rollouts out of the loss that were cut off in the middle of a turn (DAPO)."""
    drop_groups: bool = True
    """Leave rollouts without advantage out of the update: of groups without variance, and of videos that failed. Where
    `micro_batch` is above 1 their passes are saved, too."""
    max_completion_length: int = 768
    """Tokens after the question, tool results and their images included."""
    context_tokens: int = 1280
    """Longest conversation that the sampler holds, the prompt and what follows; a server's `--max-model-len`."""
    vllm_mode: Literal["colocate", "server"] = "colocate"
    """Where the sampler runs: in the training process, or behind `vllm serve` (GPU only)."""
    server_url: str = field(default="http://localhost:8000", metadata=HOW_ONLY)
    """Where the server listens."""
    server_timeout_s: float = field(default=240.0, metadata=HOW_ONLY)
    """How long to wait for the server before the run is given up."""
    gpu_memory_utilization: float = field(default=0.3, metadata=HOW_ONLY)
    """Share of a GPU's memory that a colocated sampler takes; without a GPU it takes 1 GiB for its cache."""
    sleep: bool = field(default=False, metadata=HOW_ONLY)
    """Free the memory of a colocated sampler during updates (GPU only, one process)."""
    tool_threads: int = field(default=4, metadata=HOW_ONLY)
    """Tool calls of a step that run side by side; 1 for tools that must not."""
    save_steps: int = 20
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        resolve_budget(self.budget)
        at_least(self, "group_size", 2)
        if self.temperature <= 0:
            raise ConfigError(f"temperature={self.temperature}: need a temperature above 0")
        for name in ("num_iterations", "steps", "limit", "max_completion_length", "context_tokens", "tool_threads"):
            at_least(self, name, 1)
        at_least(self, "beta", 0)
        if self.epsilon <= 0:
            raise ConfigError(f"epsilon={self.epsilon}: need a clip above 0")
        self.check_processes(1)

    @property
    def rollouts(self) -> int:
        """Rollouts a step, over all processes."""
        return self.prompts_per_step * self.group_size

    @property
    def upper_clip(self) -> float | None:
        """`epsilon_high` as TRL takes it, whose own default would hold CISPO's ratio at 0.2."""
        return 5.0 if self.epsilon_high is None and self.loss_type == "cispo" else self.epsilon_high

    def check_processes(self, processes: int) -> None:
        """Refuse a number of rollouts that cannot be shared out, and samplers that several processes cannot share.

        TRL's tool loop (1.16) takes as many turns in each process as its rollouts need, while a server, and a sampler
        that sleeps, wait for all processes at every turn: they hang or mix up replies (trl pull request 6673). So would
        one sampler over several GPUs, which is not offered.

        Raises:
            ConfigError: It cannot, or they cannot.
        """
        together = {"vllm_mode=server": self.vllm_mode == "server", "sleep=True": self.sleep}
        for setting in (name for name, is_on in together.items() if is_on and processes > 1):
            raise ConfigError(
                f"{setting} with {processes} processes: in trl 1.16 their tool loops run apart and wait for each other "
                "here; train in one process, or with colocated samplers of a GPU each that do not sleep"
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
    media=MediaConfig(frame_px=448),
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


def _large(preset: Preset, model: str) -> GRPORun:
    return replace(_LARGE, preset=preset, model=model, out=Path("runs", f"grpo-{preset}"))


PRESETS: Mapping[str, GRPORun] = {
    "tiny": GRPORun(),
    "qwen2.5-vl-3b": _large("qwen2.5-vl-3b", "Qwen/Qwen2.5-VL-3B-Instruct"),
    "qwen2.5-vl-7b": _large("qwen2.5-vl-7b", "Qwen/Qwen2.5-VL-7B-Instruct"),
    "qwen3-vl-4b": _large("qwen3-vl-4b", "Qwen/Qwen3-VL-4B-Instruct"),
    "qwen3-vl-8b": _large("qwen3-vl-8b", "Qwen/Qwen3-VL-8B-Instruct"),
}
"""All but `tiny` are our choice and were never run at their size: `docs/training.md`. The models named are
those before SFT; `--model runs/sft/model` starts from one after it. 48 rollouts a step share out over 1, 2, 3, 4, 6 or
8 processes; frames of 448 pixels are whole patches of both families. Clips are searched by SigLIP, since the paper's
LanguageBind is no class of transformers; `vt-env index` with the same flags is best run before."""
