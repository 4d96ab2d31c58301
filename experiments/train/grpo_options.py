"""Settings of GRPO runs that decide which rollouts are learned from, how runs are evaluated, and controls.

All are off by default.
"""

from dataclasses import dataclass, fields
from math import gcd
from typing import Literal

from experiments.train.trainer_config import TrainerConfig
from vt_env.config import at_least
from vt_env.errors import ConfigError
from vt_env.integrations.trl import CurriculumConfig, EpisodeTrainerConfig
from vt_env.integrations.trl.advantages import AdvantageEstimator


@dataclass(frozen=True, kw_only=True)
class GRPOOptions(TrainerConfig):
    """Options of GRPO runs beyond TRL's own settings."""

    advantage_estimator: AdvantageEstimator = "grpo"
    """Advantages from rewards: `grpo`; `rloo` (the mean of the other rollouts is the baseline, nothing is scaled);
    `reinforce_plus_plus` (normalised over the step), with `_baseline` after the group's mean. Formulas:
    `vt_env.integrations.trl.advantages`."""
    dynamic_sampling: int | None = None
    """Replace groups without variance by groups of other questions until none is left or the step has sampled this many
    rollouts (DAPO); by default none is replaced."""
    curriculum: Literal["none", "learnability", "prioritized"] = "none"
    """Draw questions by the policy's success rate p on them: `learnability` by p (1 - p), `prioritized` by 1 - p."""
    curriculum_window: int = 16
    """Latest rollouts of a question that its success rate is taken over."""
    curriculum_explore: float = 0.1
    """Share of the questions of a step that a curriculum draws from all with equal chances."""
    frame_budgets: tuple[int, int] | None = None
    """Fewest and most frames of an episode, drawn for each question and step, alike in a group (ParaVT); by default the
    budget's."""
    average_last: int | None = None
    """Also write the mean of the weights of the last checkpoints, this many, to the folder `model-mean`."""
    eval_every: int | None = None
    """Evaluate each time this many rollouts were trained on, before the first and after the last step; sampled as in
    training. Keeps the first model in memory, to measure the divergence from it. By default never."""
    eval_split: str = "val"
    """Split of the tasks of evaluations."""
    eval_tasks: int = 96
    """Number of tasks of an evaluation, drawn by the seed; a multiple of `micro_batch` times the processes."""
    shuffle_rewards: bool = False
    """Control, whose results are no results: permute the rewards of a step among its rollouts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("dynamic_sampling", "curriculum_window", "average_last", "eval_every", "eval_tasks"):
            at_least(self, name, 1)
        if self.average_last is not None and self.lora is not None:
            raise ConfigError(
                f"average_last={self.average_last} with lora={self.lora}: the mean of adapters is not that of weights; "
                "leave one of them out"
            )

    @property
    def curriculum_config(self) -> CurriculumConfig | None:
        """The curriculum as the trainer takes it.

        Raises:
            ConfigError: A value is not allowed.
        """
        if self.curriculum == "none":
            return None
        return CurriculumConfig(rule=self.curriculum, window=self.curriculum_window, explore=self.curriculum_explore)

    def trainer_options(self) -> EpisodeTrainerConfig:
        """Return these options as settings of the trainer."""
        return EpisodeTrainerConfig(
            advantage_estimator=self.advantage_estimator,
            dynamic_sampling=self.dynamic_sampling,
            curriculum=self.curriculum_config,
            frame_budgets=self.frame_budgets,
            evaluate_kl=self.eval_every is not None,
            shuffle_rewards=self.shuffle_rewards,
        )


OPTIONS_IF_MISSING = {
    it.name: it.default for it in fields(GRPOOptions) if it.name not in {own.name for own in fields(TrainerConfig)}
}
"""Values of the options in a `config.json` of before there were any."""


def evaluation_sizes(available: int, wanted: int, unit: int, rollouts: int) -> tuple[int, int]:
    """Return the number of tasks of an evaluation and how many are played at once, both multiples of `unit`.

    Batches are of equal size, since TRL averages over batches.

    Args:
        available: Tasks of the split.
        wanted: Tasks asked for.
        unit: Rollouts of one forward pass of all processes.
        rollouts: Rollouts of a training step, a multiple of `unit`; no more are played at once.

    Raises:
        ConfigError: There are fewer tasks than `unit`, or `wanted` is no multiple of it.
    """
    if wanted % unit:
        raise ConfigError(
            f"eval_tasks={wanted}: need a multiple of {unit}, the rollouts of a forward pass, such as "
            f"{max(unit, wanted - wanted % unit)}"
        )
    count = min(wanted, available) // unit * unit
    if not count:
        raise ConfigError(f"eval_tasks={wanted}: the split has {available} tasks; need {unit} or more")
    return count, gcd(count, rollouts)
