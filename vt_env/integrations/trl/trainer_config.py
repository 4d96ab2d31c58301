"""Settings of `EpisodeGRPOTrainer` beyond `trl.GRPOConfig`. Imports no deep learning library."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from vt_env.config import at_least
from vt_env.errors import ConfigError
from vt_env.integrations.trl.advantages import AdvantageEstimator
from vt_env.integrations.trl.curriculum import CurriculumConfig
from vt_env.integrations.trl.frame_budgets import FrameRange


@dataclass(frozen=True, kw_only=True)
class EpisodeTrainerConfig:
    """Settings of `EpisodeGRPOTrainer` beyond `trl.GRPOConfig`."""

    drop_zero_advantage: bool = True
    """Drop zero-advantage rollouts from updates: groups without variance, and videos that failed."""
    group_by_length: bool = True
    """Group the rollouts of forward passes by length and cut padding. The gradient of a step does not change where a
    step is one update; under the loss `bnpo`, a mean over the tokens of each pass, passes are only cut."""
    tool_threads: int = 4
    """Tool calls of a batch that run at the same time; 1 for tools that are not safe in threads."""
    engine: Mapping[str, object] = field(default_factory=dict[str, object])
    """Further arguments of `vllm.LLM` for a colocated sampler, such as `{"seed": 1}`."""
    advantage_estimator: AdvantageEstimator = "grpo"
    """How advantages follow from rewards; see `vt_env.integrations.trl.advantages`."""
    dynamic_sampling: int | None = None
    """Largest number of rollouts of a step, over all processes, while groups without variance are replaced by groups of
    other questions (DAPO, arXiv 2503.14476, section 3.2); `None` replaces none."""
    curriculum: CurriculumConfig | None = None
    """Choose questions by the policy's success rate; `None` takes them in the trainer's random order."""
    frame_budgets: FrameRange | None = None
    """Fewest and most `max_frames`, drawn for each question and step; see `vt_env.integrations.trl.frame_budgets`."""
    evaluate_kl: bool = False
    """Measure the divergence from the initial model in evaluations; that model is kept in memory, as with `beta`."""
    shuffle_rewards: bool = False
    """Control: permute the rewards of a step among its rollouts, so that nothing can be learned from them."""

    def __post_init__(self) -> None:
        if self.advantage_estimator not in get_args(AdvantageEstimator):
            raise ConfigError(
                f"advantage_estimator={self.advantage_estimator!r}: allowed are "
                f"{', '.join(get_args(AdvantageEstimator))}"
            )
        at_least(self, "dynamic_sampling", 1)

    def check_step(self, rollouts: int, group_size: int, scale_rewards: str) -> None:
        """Refuse settings that do not fit TRL's; callers check before models are loaded, and the trainer checks again.

        Args:
            rollouts: Rollouts of a step, over all processes.
            group_size: Rollouts of a group.
            scale_rewards: As `trl.GRPOConfig`.

        Raises:
            ConfigError: They do not fit.
        """
        if self.advantage_estimator != "grpo" and scale_rewards != "group":
            raise ConfigError(
                f"scale_rewards={scale_rewards} with advantage_estimator={self.advantage_estimator}: it scales GRPO's "
                "advantages alone; leave it out"
            )
        if self.dynamic_sampling is not None and self.dynamic_sampling < rollouts + group_size:
            raise ConfigError(
                f"dynamic_sampling={self.dynamic_sampling}: a step samples {rollouts} rollouts before anything is "
                f"replaced; give {rollouts + group_size} or more"
            )
