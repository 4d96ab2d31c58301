"""Train a model on rewards: `vt-env grpo --model runs/sft/model --out runs/grpo`.

TRL's GRPO, sampling with vLLM in the same process or from a server; an extension, since the paper trains without
reinforcement learning. Interrupted, it resumes from its last checkpoint. Every step writes its rollouts to the run's
journal, and rewards, reward terms, step times and the difference between the sampler's and the trainer's
log-probabilities to its metrics; where that is too large the run stops (`vt_env.integrations.trl.EpisodeGRPOTrainer`).
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents.backends.vllm_generate import CPU_SETTINGS
from experiments.settings.prompts import choose_prompts
from experiments.settings.token_budget import check_frame_size, check_token_budget, measure_tokens
from experiments.settings.world_version import check_world
from experiments.train.callbacks import add_callbacks, check_trackers, stop_without_variance, trackers_of
from experiments.train.grpo_config import PRESETS, GRPORun
from experiments.train.grpo_metrics import PROGRESS_METRICS, step_record
from experiments.train.grpo_rollout_journal import RolloutJournal
from experiments.train.grpo_step_times import StepTimes, timed_environment, update_callback
from experiments.train.mixed_outcome_tasks import mixed_outcome_tasks
from experiments.train.trainer_config import lora_config, trained_dtype
from experiments.train.training_run import (
    CHECKPOINTS_FOLDER,
    MODEL_FOLDER,
    draw_tasks,
    last_checkpoint,
    load_model,
    open_training,
    process_count,
    process_index,
    save_trained,
)
from vt_env.config import resolve_budget
from vt_env.errors import ConfigError, first_line
from vt_env.integrations.trl import Recorder, environment_class, reward_functions, training_rows
from vt_env.prompts import PromptSet, resolve_prompts
from vt_env.task_sources import load_tasks

__all__ = ["PRESETS", "GRPORun", "build_trainer", "main"]


def main(config: GRPORun) -> Path:
    """Train, or go on training.

    Returns:
        The run directory; the model is its `model` folder.

    Raises:
        ConfigError: The configuration is impossible, or the directory belongs to another run.
        DataError: The tasks cannot be read.
        SamplingMismatch: The sampler and the trainer do not agree on what was sampled.
        SamplerLost: vLLM died.
        TrainingStopped: The loss is no number, or no rewards differ.
    """
    config = config.filled()
    prompts = choose_prompts(config.prompts, config.model, config.out, resolve_prompts(config.chosen.prompts))
    with open_training(config.out, "grpo", config, prompts=prompts) as run:
        if (config.out / MODEL_FOLDER).exists():
            return config.out
        trainer, times = build_trainer(config, RolloutJournal(run, config.rollouts), prompts)
        add_callbacks(
            trainer, run, lambda step, logs: step_record(step, logs, times, config), PROGRESS_METRICS, config.out
        )
        stop_without_variance(trainer)
        trainer.train(resume_from_checkpoint=last_checkpoint(config.out))
        save_trained(trainer, config, config.out, prompts)
    return config.out


def build_trainer(
    config: GRPORun, record: Recorder | None = None, prompts: PromptSet | None = None
) -> tuple[Any, StepTimes]:
    """Build the trainer, and the clock of its steps.

    Args:
        config: Settings of the run.
        record: Takes the rollouts of each step.
        prompts: The prompt set; `None` chooses it as `main` does.

    Raises:
        ConfigError: Something does not fit together; see `main`.
    """
    for name, value in {**CPU_SETTINGS, "TRL_EXPERIMENTAL_SILENCE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}.items():
        os.environ.setdefault(name, value)
    import torch

    from vt_env.integrations.trl import EpisodeGRPOTrainer, EpisodeTrainerConfig

    check_trackers(config.report_to)
    config.check_processes(process_count())
    torch.set_num_threads(config.threads)
    times = StepTimes()
    tasks = load_tasks(config.tasks, config.split)
    check_world(config.model, tasks)
    tasks = mixed_outcome_tasks(tasks, config.played) if config.played else tasks
    tasks = draw_tasks(tasks, config.limit, config.seed)
    library = config.open_library()
    environment = environment_class(
        tasks,
        tools=config.offered,
        library=library,
        profile=config.chosen,
        prompts=prompts or choose_prompts(config.prompts, config.model, other=resolve_prompts(config.chosen.prompts)),
    )
    model, processor = load_model(config.model, freeze_vision=config.freeze_vision, dtype=trained_dtype(config))
    check_fit(config, environment, processor)
    engine = {
        # Processes that drew alike would write the same replies to the question that they share.
        "seed": config.seed + process_index(),
        "limit_mm_per_prompt": {"image": resolve_budget(config.chosen.budget).max_frames, "video": 0},
    }
    with _server_needed(config):
        trainer = EpisodeGRPOTrainer(
            model,
            reward_functions(config.rewards, record),
            grpo_arguments(config),
            environment_factory=timed_environment(environment, times),
            config=EpisodeTrainerConfig(
                drop_zero_advantage=config.drop_groups, tool_threads=config.tool_threads, engine=engine
            ),
            measure=times.measure,
            processing_class=processor,
            train_dataset=training_rows(environment, config.prompts_per_step),
            peft_config=lora_config(config),
        )
    trainer.add_callback(update_callback(times))
    return trainer, times


@contextmanager
def _server_needed(config: GRPORun) -> Generator[None]:
    """While this is open, a sampler that cannot be reached or used is a wrong configuration."""
    from requests.exceptions import RequestException

    try:
        yield
    except (RequestException, ConnectionError, NotImplementedError) as error:
        sampler = f"vllm_mode={config.vllm_mode}, {config.server_url}" if config.vllm_mode == "server" else "vllm"
        raise ConfigError(
            f"{sampler}: {first_line(error)}; start it first, as docs/training.md says, or give --vllm-mode colocate"
        ) from error


def check_fit(config: GRPORun, environment: Any, processor: Any) -> None:
    """Refuse frames and lengths that do not fit the model.

    Raises:
        ConfigError: They do not.
    """
    check_frame_size(processor, config.chosen.media)
    budget = resolve_budget(config.chosen.budget)
    prompts = environment._config.prompts
    is_searched = "clip_retrieval" in environment._tool_names
    measured = measure_tokens(
        processor,
        environment._tasks,
        budget,
        config.chosen.media,
        config.offered,
        prompts,
        can_search=is_searched,
    )
    check_token_budget(measured, config.max_completion_length, config.context_tokens)
    longest = measured.prompt + config.max_completion_length
    if config.vllm_mode == "server" and longest > config.context_tokens:
        # Beside the sampler TRL (1.16) takes a look back that does not fit; of a server it knows no length.
        raise ConfigError(
            f"context_tokens={config.context_tokens} with vllm_mode=server: prompts of {measured.prompt} tokens and "
            f"max_completion_length={config.max_completion_length} may send {longest}, which the server refuses; "
            "lower max_completion_length, or raise this and the server's --max-model-len"
        )


def grpo_arguments(config: GRPORun) -> Any:
    """Make the `trl.GRPOConfig` of a run."""
    import torch
    from trl import GRPOConfig

    on_gpu = torch.cuda.is_available()
    passes = config.rollouts // (config.micro_batch * process_count())
    return GRPOConfig(
        output_dir=str(config.out / CHECKPOINTS_FOLDER),
        max_steps=config.steps,
        num_generations=config.group_size,
        per_device_train_batch_size=config.micro_batch,
        gradient_accumulation_steps=passes,
        steps_per_generation=passes,
        num_iterations=config.num_iterations,
        learning_rate=config.lr,
        lr_scheduler_type=config.lr_schedule,
        max_grad_norm=config.max_grad_norm,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=config.top_k,
        min_p=config.min_p,
        repetition_penalty=config.repetition_penalty,
        beta=config.beta,
        epsilon=config.epsilon,
        epsilon_high=config.upper_clip,
        delta=config.delta,
        loss_type=config.loss_type,
        scale_rewards=config.scale_rewards,
        mask_truncated_completions=config.mask_truncated,
        max_completion_length=config.max_completion_length,
        max_tool_calling_iterations=resolve_budget(config.chosen.budget).max_calls + 1,
        use_vllm=True,
        vllm_mode=config.vllm_mode,
        vllm_server_base_url=config.server_url if config.vllm_mode == "server" else None,
        vllm_server_timeout=config.server_timeout_s,
        vllm_max_model_length=config.context_tokens,
        vllm_gpu_memory_utilization=config.gpu_memory_utilization,
        vllm_enable_sleep_mode=config.sleep,
        # The default multiplies ratios over a whole conversation and drops long ones.
        vllm_importance_sampling_mode="token_truncate",
        seed=config.seed,
        bf16=on_gpu,
        use_cpu=not on_gpu,
        gradient_checkpointing=on_gpu,
        save_steps=config.save_steps,
        save_total_limit=1,
        logging_steps=1,
        logging_nan_inf_filter=False,
        log_multimodal=False,
        report_to=trackers_of(config.report_to, config.out),
    )
