"""Train a vision-language model on episodes with GRPO.

    Env = environment_class(tasks="world", split="train")
    trainer = EpisodeGRPOTrainer("path/to/model", reward_functions("default"), GRPOConfig("runs/mine", use_vllm=True),
                                 environment_factory=Env, train_dataset=training_rows(Env),
                                 processing_class=prepare_processor(...))
    trainer.train()

Imports TRL and torch; `vt_env.integrations.trl` offers the class without importing this module before it is used.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from trl.trainer import grpo_trainer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from vt_env.errors import ConfigError
from vt_env.integrations.trl.checked_trainer import CheckedTrainer
from vt_env.integrations.trl.completion_log import uniform_messages
from vt_env.integrations.trl.environment import TrlEnvironment
from vt_env.integrations.trl.evaluation import Evaluation, reference_model
from vt_env.integrations.trl.length_batches import score_by_length, shorten
from vt_env.integrations.trl.parallel_tools import ParallelTools
from vt_env.integrations.trl.sampler_errors import LOGP_DIFFERENCE, logp_difference_limit, lost_sampler_named
from vt_env.integrations.trl.several_results import check_several_results
from vt_env.integrations.trl.sharded_vision import keep_tower_in_step
from vt_env.integrations.trl.step_parts import Measure, unmeasured
from vt_env.integrations.trl.step_sampling import StepSampling
from vt_env.integrations.trl.trainer_config import EpisodeTrainerConfig
from vt_env.integrations.trl.vllm_repairs import allow_batches_without_images
from vt_env.integrations.trl.vllm_sampler import RepairedVLLMGeneration


# `CheckedTrainer` is typed for all trainers of transformers, of whose methods TRL's takes other parameters.
class EpisodeGRPOTrainer(  # pyright: ignore[reportIncompatibleMethodOverride]
    StepSampling, Evaluation, CheckedTrainer, GRPOTrainer
):
    """`trl.GRPOTrainer` for episodes of `environment_class`.

    With every config, the faults of TRL 1.16 and vLLM that `vt_env.integrations.trl.vllm_repairs` lists are
    repaired, resuming restores all weights, and a run stops before an update if its sampler and its trainer score the
    samples differently, or if a loss or gradient is not finite.

    Args:
        model: As `trl.GRPOTrainer`: a checkpoint folder, a hub name, or a loaded model.
        reward_funcs: From `reward_functions`, and others of TRL's kind.
        args: TRL's settings; by default TRL's defaults.
        environment_factory: From `environment_class`; a mapping of such classes where rows name their `environment`.
        config: Settings beyond TRL's; by default those of `EpisodeTrainerConfig()`.
        measure: Opened around each part of a step, to time it.
        trainer: Everything else that `trl.GRPOTrainer` takes by name.

    Raises:
        ConfigError: The environments are not of `environment_class`, their budget allows several calls that the chat
            template cannot show, or log-probabilities are not compared.
        SamplingMismatch: The sampler reads other prompts than those that are trained on.
    """

    # TRL declares wider types than an instance holds.
    args: Any
    model: Any
    environments: Any
    environment_factories: Any
    num_generations: Any
    vllm_generation: Any
    _logs: Any

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: GRPOConfig | None = None,
        *,
        environment_factory: type[TrlEnvironment] | Mapping[str, type[TrlEnvironment]],
        config: EpisodeTrainerConfig | None = None,
        measure: Measure = unmeasured,
        **trainer: Any,
    ) -> None:
        _check(environment_factory, args)
        if _has_parallel_calls(environment_factory):
            check_several_results(trainer.get("processing_class"))
        self._config, self._measure = config or EpisodeTrainerConfig(), measure
        self._parallel_tools = ParallelTools(self._config.tool_threads)
        with _repaired_sampler(self._config.engine), reference_model(args, is_wanted=self._config.evaluate_kl):
            super().__init__(model, reward_funcs, args, environment_factory=environment_factory, **trainer)
        self.beta = self.args.beta
        for read in (self.model, self.ref_model):
            if read is not None:
                allow_batches_without_images(read)
                if self.accelerator.num_processes > 1:
                    keep_tower_in_step(read)
        self._logp_limit = 0.0
        if self.use_vllm:
            self._logp_limit = logp_difference_limit(self)
            self.vllm_generation.measure = measure
        self._open_sampling()

    # One step, from rows to the inputs of its updates.

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, as `CheckedTrainer.train`, with new rollouts and the model's current weights in the sampler."""
        self._last_loaded_step, self._step, self._buffered_inputs = -1, 0, None
        return super().train(*args, **kwargs)

    # TRL renames the parameter of transformers' method.
    def _get_train_sampler(self, dataset: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        sampler = super()._get_train_sampler(dataset)
        # TRL's sampler draws the orders of all epochs from one generator and restarts with the first when resumed.
        for _ in range(self.epochs_done):
            next(iter(sampler), None)
        return sampler

    def _prepare_inputs(self, inputs: Any) -> dict[str, Any]:
        with self._measure("tokens"):
            before = self._buffered_inputs
            prepared = super()._prepare_inputs(inputs)
            passes = self._buffered_inputs
            if passes is None or passes is before or not self._config.group_by_length:
                return prepared
            # The loss `bnpo` is a mean over the tokens of a pass, so its rollouts stay together.
            self._buffered_inputs = shorten(passes, regroup=self.args.loss_type != "bnpo")
            return self._buffered_inputs[self._step % self.args.steps_per_generation]

    # What happens within a step.

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        if not self.use_vllm:
            return super()._generate_single_turn(*args, **kwargs)
        with lost_sampler_named(self.vllm_mode, self.state.global_step):
            return super()._generate_single_turn(*args, **kwargs)

    def _tool_call_loop(
        self,
        prompts: Any,
        prompt_ids: Any,
        completion_ids: Any,
        completions: Any,
        logprobs: Any,
        images: Any,
        multimodal_fields: Any,
    ) -> Any:
        self._parallel_tools.watch(self.environments, completions)
        played = super()._tool_call_loop(
            prompts, prompt_ids, completion_ids, completions, logprobs, images, multimodal_fields
        )
        if self.use_vllm:
            self.vllm_generation.generate_for_others()
        return played

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Any,
        attention_mask: Any,
        logits_to_keep: int,
        batch_size: int | None = None,
        **inputs: Any,
    ) -> Any:
        score = partial(super()._get_per_token_logps_and_entropies, model)
        has_gradient = torch.is_grad_enabled()
        with self._measure("update" if has_gradient else "logprobs"):
            # Entropies and the loss of experts are asked for with a gradient alone.
            as_it_is = has_gradient or inputs.get("compute_entropy") or inputs.get("compute_aux_loss")
            if as_it_is or not self._config.group_by_length:
                return score(input_ids, attention_mask, logits_to_keep, batch_size, **inputs)
            # TRL scores as many rollouts at once in evaluations as it plays.
            size = min(batch_size or len(input_ids), self.args.per_device_train_batch_size)
            return score_by_length(score, input_ids, attention_mask, logits_to_keep, size, inputs), None, None

    # What is logged.

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log metrics, and conversations with `log_completions`."""
        if self.log_completions:
            for name in ("prompt", "completion"):
                written = self._logs[name]
                uniform = [uniform_messages(it) for it in written]
                written.clear()
                written.extend(uniform)
        super().log(logs, start_time)


def _check(environments: Any, args: GRPOConfig | None) -> None:
    classes = list(environments.values()) if isinstance(environments, Mapping) else [environments]
    for it in classes:
        if not (isinstance(it, type) and issubclass(it, TrlEnvironment)):
            raise ConfigError(f"environment_factory={it!r}: need a class from environment_class(...)")
    if args is not None and args.use_vllm and not args.vllm_importance_sampling_correction:
        raise ConfigError(f"vllm_importance_sampling_correction=False hides {LOGP_DIFFERENCE}: leave it on")


def _has_parallel_calls(environments: Any) -> bool:
    classes = list(environments.values()) if isinstance(environments, Mapping) else [environments]
    return any(it._config.budget.max_parallel_calls > 1 for it in classes)


@contextmanager
def _repaired_sampler(engine: Mapping[str, object]) -> Generator[None]:
    """While this is open, `trl.GRPOTrainer` builds the repaired sampler: it names its class and takes no other."""
    module: Any = grpo_trainer
    stock = module.VLLMGeneration
    module.VLLMGeneration = partial(RepairedVLLMGeneration, engine=engine)
    try:
        yield
    finally:
        module.VLLMGeneration = stock
