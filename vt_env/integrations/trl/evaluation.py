"""Evaluations during training by TRL's own hook, `Trainer.evaluate`.

They play each task of the evaluation set once with the sampler's current weights, sampled as in training, and log TRL's
metrics under `eval_`, those of `reward_functions` among them. What is added to TRL (1.16):

* The random state is put back afterwards, so a run learns the same with evaluations and without.
* Many rollouts are played at once and scored in passes of the training's size; TRL scores as many at once as it plays.
* The divergence from the initial model is measured (`eval_kl`) without training on it.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from vt_env.integrations.trl.length_batches import share_out
from vt_env.integrations.trl.trainer_config import EpisodeTrainerConfig

if TYPE_CHECKING:
    from trl.trainer.grpo_trainer import GRPOTrainer as _Trainer
else:
    _Trainer = object


class Evaluation(_Trainer):
    """Mixin of `EpisodeGRPOTrainer`; see the module."""

    args: Any
    _config: EpisodeTrainerConfig

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate, as `transformers.Trainer.evaluate`."""
        device = self.accelerator.device
        own, self.beta = self.beta, self.beta or float(self._config.evaluate_kl)
        try:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(self.args.seed + self.accelerator.process_index)
                return super().evaluate(*args, **kwargs)
        finally:
            self.beta = own

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> Any:
        """Play rollouts and score them in passes of the training's size; returns their mean loss."""
        batch = self._prepare_inputs(inputs)
        passes = share_out(batch, self.args.per_device_train_batch_size)
        with torch.no_grad(), self.compute_loss_context_manager():
            losses = [self._compute_loss(model, it) for it in passes]
        return torch.stack(losses).mean().detach(), None, None


@contextmanager
def reference_model(args: Any, *, is_wanted: bool) -> Generator[None]:
    """While this is open, `trl.GRPOTrainer` builds a reference model if one is wanted: it does for `beta` above 0 only.

    Args:
        args: The `trl.GRPOConfig`; `None` has TRL's defaults, and no reference model is built.
        is_wanted: Whether to build one although `beta` is 0.
    """
    if args is None:
        yield
        return
    own = args.beta
    args.beta = own or float(is_wanted)
    try:
        yield
    finally:
        args.beta = own
