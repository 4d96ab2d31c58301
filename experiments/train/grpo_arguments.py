"""Settings of a GRPO run as TRL takes them. TRL is imported on use."""

from typing import Any

from experiments.train.callbacks import trackers_of
from experiments.train.grpo_config import GRPORun
from experiments.train.grpo_options import evaluation_sizes
from experiments.train.training_run import CHECKPOINTS_FOLDER, last_checkpoint, process_count
from vt_env.config import resolve_budget


def grpo_arguments(config: GRPORun, evaluated: int = 0) -> Any:
    """Make the `trl.GRPOConfig` of a run; `evaluated` is the number of tasks of an evaluation."""
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
        save_total_limit=config.average_last or 1,
        **_evaluation_arguments(config, evaluated),
        logging_steps=1,
        logging_nan_inf_filter=False,
        log_multimodal=False,
        report_to=trackers_of(config.report_to, config.out),
    )


def _evaluation_arguments(config: GRPORun, tasks: int) -> dict[str, Any]:
    if not tasks:
        return {}
    processes = process_count()
    _, batch = evaluation_sizes(tasks, tasks, config.micro_batch * processes, config.rollouts)
    return {
        "per_device_eval_batch_size": batch // processes,
        "num_generations_eval": 1,
        # A resumed run was evaluated before.
        "eval_on_start": last_checkpoint(config.out) is None,
    }
