"""TRL: train on episodes with `EpisodeGRPOTrainer`.

Importing this package loads neither TRL nor torch; `EpisodeGRPOTrainer` is imported when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

from vt_env.integrations.trl.curriculum import CurriculumConfig
from vt_env.integrations.trl.environment import (
    Recorder,
    TrlEnvironment,
    environment_class,
    evaluation_rows,
    reward_functions,
    training_rows,
)
from vt_env.integrations.trl.processor import prepare_processor
from vt_env.integrations.trl.trainer_config import EpisodeTrainerConfig

if TYPE_CHECKING:
    from vt_env.integrations.trl.trainer import EpisodeGRPOTrainer

__all__ = [
    "CurriculumConfig",
    "EpisodeGRPOTrainer",
    "EpisodeTrainerConfig",
    "Recorder",
    "TrlEnvironment",
    "environment_class",
    "evaluation_rows",
    "prepare_processor",
    "reward_functions",
    "training_rows",
]


def __getattr__(name: str) -> Any:
    if name != "EpisodeGRPOTrainer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vt_env.integrations.trl import trainer

    return getattr(trainer, name)
