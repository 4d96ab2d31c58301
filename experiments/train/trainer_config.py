"""Settings common to SFT, GRPO and rejection sampling, LoRA among them."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments.settings.profile import is_world
from experiments.settings.prompts import EpisodeConfig
from vt_env.config import HOW_ONLY, at_least
from vt_env.errors import ConfigError

Tracker = Literal["tensorboard", "wandb", "trackio"]


@dataclass(frozen=True, kw_only=True)
class TrainerConfig(EpisodeConfig):
    """Settings common to all training commands."""

    model: str
    """Checkpoint folder or hub name to start from."""
    tasks: str = "world"
    """Name, folder or JSONL file of tasks."""
    split: str = "train"
    """Split of the tasks; must not be a split that is evaluated on."""
    tools: Literal["default", "paper", "adaptive", "none"] | None = None
    """Offered tools; `none` for a policy that answers directly."""
    lr: float
    """Peak learning rate."""
    max_grad_norm: float = 1.0
    """Maximum gradient norm; larger gradients are clipped."""
    seed: int = 0
    """Random seed."""
    freeze_vision: bool = True
    """Freeze the vision tower and its projection to the language model."""
    lora: int | None = None
    """Rank of LoRA adapters on all linear layers, merged after training; by default all weights are trained."""
    lora_alpha: int | None = None
    """LoRA alpha; by default twice the rank."""
    save_steps: int
    """Steps between checkpoints."""
    threads: int = 2
    """CPU threads of PyTorch."""
    report_to: tuple[Tracker, ...] = field(default=("tensorboard",), metadata=HOW_ONLY)
    """Experiment trackers besides `metrics.jsonl`; without a value none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lora", "save_steps", "threads"):
            at_least(self, name, 1)
        if self.lora is None and self.lora_alpha is not None:
            raise ConfigError(f"lora_alpha={self.lora_alpha} without lora: give --lora RANK too")
        at_least(self, "lora_alpha", 1)
        if not self.lr > 0:
            raise ConfigError(f"lr={self.lr}: need a rate above 0")

    @property
    def plays_world(self) -> bool:
        """Whether the tasks are of the generated world."""
        return is_world(self.tasks)

    @property
    def known_model(self) -> str | None:
        """Model that is trained."""
        return self.model

    @property
    def run_folder(self) -> Path | None:
        """The run directory."""
        return getattr(self, "out", None)


def trained_dtype(config: TrainerConfig) -> str:
    """Return the type of the weights in training; `auto` means the checkpoint's.

    bf16 rounds away steps of 1e-6, so trained weights are kept in fp32 and computed in bf16, which is TRL's default.
    Frozen weights under adapters keep their type. With sharded weights, FSDP2 and ZeRO-3 should keep trained ones in
    fp32 themselves (not run by us).
    """
    import torch

    spread = any(os.environ.get(name, "") == "true" for name in ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP"))
    return "auto" if torch.cuda.is_available() and (config.lora is not None or spread) else "float32"


def lora_config(config: TrainerConfig) -> Any:
    """Return the `peft.LoraConfig` of a run; `None` if all weights are trained."""
    if config.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=config.lora,
        lora_alpha=config.lora_alpha or 2 * config.lora,
        target_modules="all-linear",
        exclude_modules=r".*visual.*" if config.freeze_vision else None,
        task_type="CAUSAL_LM",
    )
