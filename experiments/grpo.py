"""Train a model on rewards: `vt-env grpo --model runs/sft/model --out runs/grpo`.

TRL's GRPO, sampling with vLLM in the same process; an extension, since the paper trains without reinforcement learning.
Interrupted, it goes on from its last checkpoint. Every step writes rewards, reward terms, seconds by phase and the
difference between the sampler's and the trainer's log-probabilities to the run's metrics; where that is too large the
run stops (`vt_env.doors.trl_vllm`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from agents.vllm_backend import CPU_SETTINGS
from experiments.phases import PhaseClock, time_environment, time_trainer
from experiments.runs import open_run
from experiments.training import (
    CHECKPOINTS_FOLDER,
    MODEL_FOLDER,
    last_checkpoint,
    load_model,
    metrics_callback,
    save_model,
)
from vt_env.config import MediaConfig, resolve_budget
from vt_env.doors.trl import (
    CPU_ENGINE_SETTINGS,
    engine_settings,
    environment_class,
    patch_vllm_colocate,
    reward_functions,
    training_rows,
)
from vt_env.errors import ConfigError


@dataclass(frozen=True)
class GRPORun:
    """How a model is trained on rewards."""

    out: Path = Path("runs/grpo")
    """Run directory; the model lands in its `model` folder, and an interrupted run goes on there."""
    model: str = "runs/sft/model"
    """Checkpoint folder or hub name to start from; it must call tools already."""
    tasks: str = "world"
    """Name, folder or JSONL file of tasks."""
    split: str = "train"
    """Split of the tasks. What is trained on must not be evaluated on."""
    tools: Literal["default", "paper"] = "default"
    """The tools that the model is offered."""
    budget: str = "default"
    """Preset of the budget."""
    rewards: str = "default"
    """Preset of the rewards."""
    media: MediaConfig = field(default_factory=MediaConfig)
    """How the videos are stored."""
    steps: int = 60
    """Optimiser steps; each samples anew."""
    prompts_per_step: int = 6
    """Questions a step."""
    group_size: int = 8
    """Rollouts a question; their mean reward is the baseline of each."""
    micro_batch: int = 16
    """Rollouts that one forward pass holds; it must divide `prompts_per_step * group_size`."""
    lr: float = 1e-4
    """Learning rate, constant."""
    temperature: float = 1.0
    """Sampling temperature."""
    beta: float = 0.0
    """Weight of the divergence from the model that training starts from; above 0 that model is kept in memory."""
    loss_type: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = "dapo"
    """How token losses are averaged; see TRL's GRPO documentation."""
    max_completion_length: int = 768
    """Tokens after the question, tool results and their images included."""
    context_tokens: int = 1280
    """Longest conversation that the sampler holds: the prompt and `max_completion_length`."""
    gpu_memory_utilization: float = 0.3
    """Share of a GPU's memory that the sampler takes; without a GPU it takes 1 GiB for its cache."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm."""
    seed: int = 0
    """Seed of the order of questions and of sampling."""
    freeze_vision: bool = True
    """Leave the vision tower as it is."""
    save_steps: int = 20
    """Steps between checkpoints."""
    threads: int = 2
    """CPU threads of PyTorch and the sampler."""

    def __post_init__(self) -> None:
        rollouts = self.prompts_per_step * self.group_size
        if self.group_size < 2 or rollouts % self.micro_batch:
            raise ConfigError(
                f"group_size={self.group_size}, prompts_per_step={self.prompts_per_step}, micro_batch="
                f"{self.micro_batch}: need groups of 2 or more, and a micro_batch that divides {rollouts} rollouts"
            )
        resolve_budget(self.budget)


def main(config: GRPORun) -> Path:
    """Train, or go on training.

    Returns:
        The run directory; the model is its `model` folder.

    Raises:
        ConfigError: The configuration is impossible, or the directory belongs to another run.
        DataError: The tasks cannot be read.
        SamplingMismatch: The sampler and the trainer do not agree on what was sampled.
    """
    folder = config.out / MODEL_FOLDER
    with open_run(config.out, "grpo", config) as run:
        if folder.exists():
            return config.out
        trainer, clock = build_trainer(config)
        trainer.add_callback(metrics_callback(run, lambda step, logs: _record(step, logs, clock)))
        trainer.train(resume_from_checkpoint=last_checkpoint(config.out))
        save_model(trainer.model, trainer.processing_class, folder)
    return config.out


def build_trainer(config: GRPORun) -> tuple[Any, PhaseClock]:
    """Build the trainer, its sampler patched and watched, and the clock of its phases."""
    for name, value in {**CPU_SETTINGS, "TRL_EXPERIMENTAL_SILENCE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}.items():
        os.environ.setdefault(name, value)
    import torch
    from trl import GRPOTrainer

    torch.set_num_threads(config.threads)
    clock = PhaseClock()
    environment = environment_class(
        config.tasks, config.split, budget=config.budget, tools=config.tools, media=config.media
    )
    time_environment(environment, clock)
    model, processor = load_model(config.model, freeze_vision=config.freeze_vision)
    images = {"image": resolve_budget(config.budget).max_frames, "video": 0}
    settings = {} if torch.cuda.is_available() else CPU_ENGINE_SETTINGS
    with engine_settings(seed=config.seed, limit_mm_per_prompt=images, **settings):
        trainer = GRPOTrainer(
            model=model,
            processing_class=processor,
            environment_factory=environment,
            train_dataset=training_rows(environment),
            reward_funcs=reward_functions(config.rewards),
            args=_arguments(config),
        )
    patch_vllm_colocate(trainer)
    time_trainer(trainer, clock)
    return trainer, clock


def _arguments(config: GRPORun) -> Any:
    import torch
    from trl import GRPOConfig

    on_gpu = torch.cuda.is_available()
    return GRPOConfig(
        output_dir=str(config.out / CHECKPOINTS_FOLDER),
        max_steps=config.steps,
        num_generations=config.group_size,
        per_device_train_batch_size=config.micro_batch,
        gradient_accumulation_steps=config.prompts_per_step * config.group_size // config.micro_batch,
        learning_rate=config.lr,
        lr_scheduler_type="constant",
        max_grad_norm=config.max_grad_norm,
        temperature=config.temperature,
        beta=config.beta,
        loss_type=config.loss_type,
        max_completion_length=config.max_completion_length,
        max_tool_calling_iterations=resolve_budget(config.budget).max_calls + 1,
        use_vllm=True,
        vllm_mode="colocate",
        vllm_max_model_length=config.context_tokens,
        vllm_gpu_memory_utilization=config.gpu_memory_utilization,
        # The default multiplies ratios over a whole conversation and drops long ones.
        vllm_importance_sampling_mode="token_truncate",
        seed=config.seed,
        bf16=on_gpu,
        use_cpu=not on_gpu,
        gradient_checkpointing=on_gpu,
        save_steps=config.save_steps,
        save_total_limit=1,
        logging_steps=1,
        report_to="none",
    )


def _record(step: int, logs: Mapping[str, Any], clock: PhaseClock) -> Mapping[str, object] | None:
    """Make a line of metrics; what the trainer logs at its end is no step."""
    if "reward" not in logs:
        return None
    return {
        "step": step,
        "reward": logs["reward"],
        "terms": _under("terms/", logs),
        "episode": _under("episode/", logs),
        "logp_difference": logs["sampling/sampling_logp_difference/mean"],
        "logp_difference_token": logs["sampling/sampling_logp_difference/max"],
        "seconds": clock.take(),
        "groups_without_variance": logs["frac_reward_zero_std"],
        "tokens": logs["completions/mean_length"],
        "clipped": logs["completions/clipped_ratio"],
        "entropy": logs["entropy"],
        "loss": logs["loss"],
        "grad_norm": logs["grad_norm"],
    }


def _under(prefix: str, logs: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in logs.items() if name.startswith(prefix)}
