"""Rollouts of a step: which questions, under which frame budgets, which groups are kept, and their advantages.

A mixin between `EpisodeGRPOTrainer` and TRL's trainer (1.16), whose `_generate_and_score_completions` plays and scores
the rollouts of given rows. What is added here is off by default, and then a step is TRL's own.

Dynamic sampling is DAPO's (arXiv 2503.14476, section 3.2): groups whose rewards are all equal are replaced by groups of
other questions, until none is left or the step has sampled a given number of rollouts. DAPO keeps groups with right and
wrong answers; here it is groups with different rewards, which is the same where accuracy alone is paid.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object

from vt_env.errors import ConfigError
from vt_env.hashing import fingerprint
from vt_env.integrations.trl.advantages import estimate_advantages, has_mixed_rewards
from vt_env.integrations.trl.curriculum import Curriculum
from vt_env.integrations.trl.frame_budgets import check_frame_range, draw_frame_budget
from vt_env.integrations.trl.join_batches import join_batches, join_metrics
from vt_env.integrations.trl.length_batches import select_rows
from vt_env.integrations.trl.parallel_tools import ParallelTools
from vt_env.integrations.trl.sampler_errors import LOGP_DIFFERENCE, check_logp_difference
from vt_env.integrations.trl.step_parts import Measure
from vt_env.integrations.trl.trainer_config import EpisodeTrainerConfig
from vt_env.integrations.trl.zero_advantage import (
    DROPPED,
    MIXED_GROUPS,
    SAMPLED,
    SILENT_GROUPS,
    drop_zero_advantage,
    share_of_silent_groups,
)

if TYPE_CHECKING:
    from trl.trainer.grpo_trainer import GRPOTrainer as _Trainer
else:
    _Trainer = object


@dataclass(frozen=True)
class Sample:
    """Rollouts that this process has played at once."""

    batch: dict[str, Any]
    """As TRL's trainer makes it."""
    rewards: Any
    """float[B]; NaN where a video could not be read."""


class StepSampling(_Trainer):
    """Mixin of `EpisodeGRPOTrainer`; see the module.

    Attributes:
        curriculum: Success rates of the questions; `None` without a curriculum.
    """

    # TRL declares wider types than an instance holds.
    args: Any
    model: Any
    environments: Any
    environment_factories: Any
    train_dataset: Any
    num_generations: Any
    _logs: Any
    # Set by `EpisodeGRPOTrainer`.
    _config: EpisodeTrainerConfig
    _measure: Measure
    _parallel_tools: ParallelTools
    _logp_limit: float

    def _open_sampling(self) -> None:
        """Check the settings against TRL's, and make what they need; called once TRL's trainer is built.

        Raises:
            ConfigError: They do not fit together.
        """
        config, args = self._config, self.args
        self.curriculum: Curriculum | None = None
        self._rewards: Any = None
        self._draw = 0
        config.check_step(args.generation_batch_size, self.num_generations, args.scale_rewards)
        is_own = config.advantage_estimator != "grpo" or config.dynamic_sampling is not None
        if is_own and args.multi_objective_aggregation != "sum_then_normalize":
            raise ConfigError(
                f"multi_objective_aggregation={args.multi_objective_aggregation}: only GRPO without dynamic sampling "
                "has it; leave it out"
            )
        if config.frame_budgets is not None:
            for it in self.environment_factories.values():
                check_frame_range(config.frame_budgets, it._config.budget)
        own = args.per_device_train_batch_size * args.steps_per_generation
        if config.dynamic_sampling is not None and own % self.num_generations:
            raise ConfigError(
                f"dynamic_sampling with {self.accelerator.num_processes} processes: each has {own} rollouts, which are "
                f"no whole groups of {self.num_generations}; change prompts_per_step or the processes"
            )
        if config.curriculum is not None or config.dynamic_sampling is not None:
            self._row_of = {_question(row): place for place, row in reversed(list(enumerate(self._keys())))}
            self._questions = Curriculum(self._row_of, config.curriculum, args.seed)
            self.curriculum = None if config.curriculum is None else self._questions

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        if not self.model.training:
            return self._sample(inputs).batch
        self._draw = 0
        batch = self._sample_step(inputs)
        metrics = self._metrics["train"]
        everywhere = self.accelerator.gather(batch["advantages"])
        metrics[SILENT_GROUPS].append(share_of_silent_groups(everywhere, self.num_generations))
        if not self._config.drop_zero_advantage:
            return batch
        kept = drop_zero_advantage(batch, self.args.steps_per_generation, self.accelerator.gather)
        metrics[DROPPED].append(1 - len(kept["advantages"]) / len(batch["advantages"]))
        return kept

    def _sample_step(self, inputs: Any) -> dict[str, Any]:
        """Play the rollouts of a step: those of the trainer's rows, or of the curriculum's questions."""
        rows = inputs
        if self.curriculum is not None:
            groups = len(inputs) * self.accelerator.num_processes // self.num_generations
            rows = self._rows_of(self.curriculum.draw(groups, self.state.global_step))
        rows = self._with_frame_budgets(rows)
        if self._config.dynamic_sampling is None:
            return self._sample(rows).batch
        return self._sample_until_mixed(rows, self._config.dynamic_sampling)

    def _sample(self, rows: Any) -> Sample:
        """Play and score rows, in training and in evaluations."""
        with self._measure("environment"):
            self._parallel_tools.open_videos(self.environment_factories, rows)
        batch: dict[str, Any] = super()._generate_and_score_completions(rows)
        metrics = self._metrics["train" if self.model.training else "eval"]
        check_logp_difference(self.state.global_step, metrics.get(LOGP_DIFFERENCE, [])[-1:], self._logp_limit)
        if not self.model.training:
            return Sample(batch, self._own(self._rewards, len(rows)))
        if self.curriculum is not None:
            finished = [it._rollout.finished for it in self.environments]
            right = [(_question(row), it.is_right) for row, it in zip(rows, finished, strict=True) if it]
            self.curriculum.count(gather_object(right))
        if self._config.advantage_estimator != "grpo":
            batch = {**batch, "advantages": self._estimated(self._rewards, len(rows))}
        return Sample(batch, self._own(self._rewards, len(rows)))

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Any:
        with self._measure("environment"):
            rewards = super()._calculate_rewards(*args, **kwargs)
        if self._config.shuffle_rewards and self.model.training:
            rewards = shuffle_rewards(rewards, self.args.seed, self.state.global_step, self._draw)
        weighted = (rewards * self.reward_weights.to(rewards.device)).nansum(dim=1)
        weighted[rewards.isnan().all(dim=1)] = float("nan")
        self._rewards = weighted
        return rewards

    # Dynamic sampling.

    def _sample_until_mixed(self, rows: Any, most: int) -> dict[str, Any]:
        group, processes = self.num_generations, self.accelerator.num_processes
        asked = set(gather_object([_question(row) for row in rows]))
        parts = [self._sample_apart(rows)]
        first = has_mixed_rewards(parts[0][0].rewards, group)
        kept = [[place for place, is_mixed in enumerate(first) if is_mixed]]
        missing, sampled = len(first) - len(kept[0]), len(rows) * processes
        while True:
            # Each process samples as many groups as the one that lacks most, since TRL gathers rewards in equal shapes.
            wanted = max(gather_object([missing]))
            count = min(wanted, (most - sampled) // (group * processes))
            if not count:
                break
            self._draw += 1
            drawn = self._questions.draw(count * processes, self.state.global_step, self._draw, without=sorted(asked))
            asked.update(drawn)
            parts.append(self._sample_apart(self._with_frame_budgets(self._rows_of(drawn))))
            mixed = has_mixed_rewards(parts[-1][0].rewards, group)
            kept.append([place for place, is_mixed in enumerate(mixed) if is_mixed][:missing])
            missing -= len(kept[-1])
            sampled += count * group * processes
        silent = [place for place, is_mixed in enumerate(first) if not is_mixed]
        kept[0] = sorted(kept[0] + silent[:missing])
        self._log_parts([(len(it.rewards), metrics) for it, metrics in parts], sampled)
        return self._joined([it for it, _ in parts], kept)

    def _sample_apart(self, rows: Any) -> tuple[Sample, Mapping[str, Sequence[float]]]:
        """Play and score rows, with TRL's metrics of them apart from those of the step."""
        whole: Any = self._metrics
        of_step, whole["train"] = whole["train"], defaultdict[str, list[float]](list)
        try:
            sample = self._sample(rows)
        finally:
            metrics, whole["train"] = whole["train"], of_step
        mixed = has_mixed_rewards(self.accelerator.gather(sample.rewards), self.num_generations)
        metrics[MIXED_GROUPS].append(sum(mixed) / len(mixed))
        return sample, metrics

    def _log_parts(self, parts: Sequence[tuple[int, Mapping[str, Sequence[float]]]], sampled: int) -> None:
        metrics = self._metrics["train"]
        for name, value in join_metrics(parts).items():
            metrics[name].append(value)
        metrics[SAMPLED].append(sampled)

    def _joined(self, samples: Sequence[Sample], kept: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Join the groups that are kept of each sample, with advantages over all of them."""
        group = self.num_generations
        places = [[group * it + number for it in own for number in range(group)] for own in kept]
        used = [(sample, own) for sample, own in zip(samples, places, strict=True) if own]
        processor: Any = self.processing_class
        tokenizer = getattr(processor, "tokenizer", processor)
        batch = join_batches([select_rows(it.batch, own) for it, own in used], tokenizer.pad_token_id)
        rewards = self.accelerator.gather(torch.cat([it.rewards[own] for it, own in used]))
        own_tokens = batch["completion_mask"] * batch["tool_mask"] if "tool_mask" in batch else batch["completion_mask"]
        tokens: Any = self.accelerator.gather(own_tokens.sum())
        return {
            **batch,
            "advantages": self._estimated(rewards, len(batch["prompt_ids"])),
            "num_items_in_batch": tokens.sum(),
        }

    # Rows and rewards of this process.

    def _rows_of(self, questions: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of this process for groups about these questions, as TRL shares them out."""
        rows = [self.train_dataset[self._row_of[it]] for it in questions for _ in range(self.num_generations)]
        return self._own(rows, len(rows) // self.accelerator.num_processes)

    def _own(self, everywhere: Any, count: int) -> Any:
        return everywhere[self.accelerator.process_index * count :][:count]

    def _estimated(self, rewards: Any, count: int) -> Any:
        """Return the advantages of this process's `count` rollouts from the rewards of all processes."""
        scale = self.args.scale_rewards
        estimator = self._config.advantage_estimator
        advantages = estimate_advantages(rewards, self.num_generations, estimator, scale)
        return self._own(advantages, count)

    def _with_frame_budgets(self, rows: Any) -> Any:
        frames = self._config.frame_budgets
        if frames is None:
            return rows
        step, seed = self.state.global_step, self.args.seed
        return [{**row, "max_frames": draw_frame_budget(frames, seed, step, _question(row))} for row in rows]

    def _keys(self) -> list[dict[str, Any]]:
        names = [it for it in ("task_id", "environment") if it in self.train_dataset.column_names]
        return list(self.train_dataset.select_columns(names))

    # What a checkpoint holds.

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Before the rest: a checkpoint counts as whole once TRL has written its state.
        if self.curriculum is not None and self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial), f"checkpoint-{self.state.global_step}")
            self.curriculum.save(folder)
        super()._save_checkpoint(model, trial)

    def _restore_state(self, checkpoint: Path) -> None:
        if self.curriculum is not None:
            self.curriculum.load(checkpoint)


def shuffle_rewards(rewards: Any, seed: int, step: int, draw: int) -> Any:
    """Permute the rewards of a step among its rollouts, rows of float[B, F]; rows without any (NaN) stay.

    Args:
        rewards: Of all processes, so that all permute alike.
        seed: Seed of the run.
        step: Optimiser steps done.
        draw: Number of the generation within the step.
    """
    known = (~rewards.isnan().all(dim=1)).nonzero().flatten()
    number = int(fingerprint(["shuffled rewards", seed, step, draw]), 16) % 2**63
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(number))
    shuffled = rewards.clone()
    shuffled[known] = rewards[known[order.to(known.device)]]
    return shuffled


def _question(row: Mapping[str, Any]) -> str:
    """Name the question of a row; trainers with several environments may ask one in each."""
    environment = row.get("environment")
    return row["task_id"] if environment is None else f"{environment}/{row['task_id']}"
