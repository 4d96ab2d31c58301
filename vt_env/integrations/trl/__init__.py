"""TRL: train on episodes with `GRPOTrainer`. Imports no deep learning library before one is used."""

from vt_env.integrations.trl.environment import (
    Recorder,
    TrlEnvironment,
    environment_class,
    reward_functions,
    training_rows,
)
from vt_env.integrations.trl.parallel_tools import run_tools_side_by_side
from vt_env.integrations.trl.processor import prepare_processor
from vt_env.integrations.trl.sharded_vision import keep_tower_in_step
from vt_env.integrations.trl.vllm_repairs import (
    CPU_ENGINE_SETTINGS,
    engine_settings,
    patch_vllm_colocate,
    watch_logp_difference,
)
from vt_env.integrations.trl.zero_advantage import (
    count_silent_groups,
    cut_passes_to_length,
    drop_rollouts_without_advantage,
)

__all__ = [
    "CPU_ENGINE_SETTINGS",
    "Recorder",
    "TrlEnvironment",
    "count_silent_groups",
    "cut_passes_to_length",
    "drop_rollouts_without_advantage",
    "engine_settings",
    "environment_class",
    "keep_tower_in_step",
    "patch_vllm_colocate",
    "prepare_processor",
    "reward_functions",
    "run_tools_side_by_side",
    "training_rows",
    "watch_logp_difference",
]
