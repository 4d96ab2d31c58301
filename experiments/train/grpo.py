"""Train a model on rewards: `vt-env grpo --model runs/sft/model --out runs/grpo`.

TRL's GRPO, sampling with vLLM in the same process or from a server; an extension, since the paper trains without
reinforcement learning. Interrupted, it resumes from its last checkpoint. Every step writes its rollouts to the run's
journal, and rewards, reward terms, step times and the difference between the sampler's and the trainer's
log-probabilities to its metrics; where that is too large the run stops (`vt_env.integrations.trl.EpisodeGRPOTrainer`).
"""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.backends.vllm_generate import CPU_SETTINGS
from experiments.runs.run_dir import Run
from experiments.settings.controls import SHUFFLED_REWARDS, model_controls, named_as_control
from experiments.settings.prompts import choose_prompts
from experiments.settings.token_budget import check_frame_size, check_token_budget, measure_tokens
from experiments.settings.world_version import check_world
from experiments.train.average_checkpoints import average_checkpoints, last_checkpoints
from experiments.train.callbacks import add_callbacks, check_trackers, stop_without_variance
from experiments.train.grpo_arguments import grpo_arguments
from experiments.train.grpo_config import PRESETS, GRPORun
from experiments.train.grpo_evaluation import evaluate_every, evaluation_record, evaluation_tasks
from experiments.train.grpo_metrics import PROGRESS_METRICS, step_record
from experiments.train.grpo_options import OPTIONS_IF_MISSING
from experiments.train.grpo_rollout_journal import POLICY, RolloutJournal
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
from vt_env.integrations.trl import (
    Recorder,
    environment_class,
    evaluation_rows,
    reward_functions,
    training_rows,
)
from vt_env.integrations.trl.frame_budgets import check_frame_range
from vt_env.prompts import PromptSet, resolve_prompts
from vt_env.task_sources import load_tasks

__all__ = ["PRESETS", "GRPORun", "build_trainer", "main"]

MEAN_FOLDER = "model-mean"
"""Folder of the mean of the last checkpoints, in the run directory."""


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
    controls = (SHUFFLED_REWARDS,) if config.shuffle_rewards else ()
    with open_training(
        config.out, "grpo", config, prompts=prompts, controls=controls, absent=OPTIONS_IF_MISSING
    ) as run:
        if not (config.out / MODEL_FOLDER).exists():
            _train(config, run, prompts, controls)
        if config.average_last is not None and run is not None:
            save_mean(config, config.average_last)
    return config.out


def _train(config: GRPORun, run: Run | None, prompts: PromptSet, controls: Sequence[str]) -> None:
    """Train from the last checkpoint on, and save the model."""
    policy = named_as_control(POLICY, [*model_controls(config.model), *controls])
    trainer, times = build_trainer(config, RolloutJournal(run, config.sampled_rollouts, policy), prompts)

    def record(step: int, logs: Mapping[str, Any]) -> Mapping[str, object] | None:
        return step_record(step, logs, times, config) or evaluation_record(step, logs, times, config)

    add_callbacks(trainer, run, record, PROGRESS_METRICS, config.out)
    stop_without_variance(trainer)
    evaluate_every(trainer, config)
    trainer.train(resume_from_checkpoint=last_checkpoint(config.out))
    save_trained(trainer, config, config.out, prompts, controls)


def save_mean(config: GRPORun, count: int) -> None:
    """Write the mean of the last checkpoints to the run's folder `model-mean`; a mean that is there is kept.

    Raises:
        DataError: The checkpoints do not hold whole weights.
    """
    out = config.out / MEAN_FOLDER
    if not out.exists():
        average_checkpoints(last_checkpoints(config.out / CHECKPOINTS_FOLDER, count), config.out / MODEL_FOLDER, out)


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

    from vt_env.integrations.trl import EpisodeGRPOTrainer

    check_trackers(config.report_to)
    config.check_processes(process_count())
    if config.frame_budgets is not None:
        check_frame_range(config.frame_budgets, resolve_budget(config.chosen.budget))
    torch.set_num_threads(config.threads)
    times = StepTimes()
    tasks = load_tasks(config.tasks, config.split)
    check_world(config.model, tasks)
    tasks = mixed_outcome_tasks(tasks, config.played) if config.played else tasks
    tasks = draw_tasks(tasks, config.limit, config.seed)
    evaluated = evaluation_tasks(config)
    library = config.open_library()
    environment = environment_class(
        tasks,
        tools=config.offered,
        library=library,
        profile=config.chosen,
        prompts=prompts or choose_prompts(config.prompts, config.model, other=resolve_prompts(config.chosen.prompts)),
        evaluation_tasks=evaluated,
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
            grpo_arguments(config, 0 if evaluated is None else len(evaluated)),
            environment_factory=timed_environment(environment, times),
            config=replace(
                config.trainer_options(),
                drop_zero_advantage=config.drop_groups,
                tool_threads=config.tool_threads,
                engine=engine,
            ),
            measure=times.measure,
            processing_class=processor,
            train_dataset=training_rows(environment, config.prompts_per_step),
            eval_dataset=None if evaluated is None else evaluation_rows(environment),
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
