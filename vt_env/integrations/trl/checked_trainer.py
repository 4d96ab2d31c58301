"""Mixin for trainers of transformers and TRL: whole resume, a stop at NaN, and observers of batches."""

from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vt_env.errors import VtEnvError
from vt_env.integrations.trl.checkpoints import epochs_done, newest_checkpoint, restore_weights

if TYPE_CHECKING:
    from transformers import Trainer as _Trainer
else:
    _Trainer = object

BatchObserver = Callable[[Mapping[str, Any]], None]
"""Called with the tensors of a batch before its loss is computed; must not change them."""


class TrainingStopped(VtEnvError):
    """Further training would be useless. The message says what to change."""


class CheckedTrainer(_Trainer):
    """Mixin for trainers of transformers and TRL: `class MyTrainer(CheckedTrainer, SFTTrainer)`.

    * Resuming restores every weight, where transformers skips those whose names on disk are others (see
      `vt_env.integrations.trl.checkpoints.restore_weights`), and half a checkpoint is never resumed from.
    * `train` raises `TrainingStopped` before an update whose loss or gradient is NaN or infinite; transformers would
      go on and log the last good loss. DeepSpeed updates within the backward pass: there it is raised after the update,
      and before anything is saved.

    Attributes:
        batch_observers: Called with each batch of an update.
        epochs_done: Whole passes over the training set that were done before training was resumed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.batch_observers: list[BatchObserver] = []
        self.epochs_done = 0
        super().__init__(*args, **kwargs)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Train, as `transformers.Trainer.train`.

        Args:
            resume_from_checkpoint: Folder of a checkpoint, or `True` for the newest whole one in `args.output_dir`; by
                default `args.resume_from_checkpoint`, which transformers leaves to scripts.
            args: As transformers takes them.
            kwargs: As transformers takes them.

        Raises:
            TrainingStopped: A loss or gradient was not finite.
            ValueError: There is no checkpoint to resume from.
        """
        resume = self.args.resume_from_checkpoint if resume_from_checkpoint is None else resume_from_checkpoint
        if resume is True:
            resume = newest_checkpoint(Path(str(self.args.output_dir))) or resume
        self.epochs_done = epochs_done(resume) if isinstance(resume, str) else 0
        if isinstance(resume, str):
            self._restore_state(Path(resume))
        return super().train(resume, *args, **kwargs)

    def _restore_state(self, checkpoint: Path) -> None:
        """Read what a subclass has saved of itself in a checkpoint, before training is resumed from it."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the gradient of a batch; refuse a loss that is not finite."""
        loss = super().training_step(*args, **kwargs)
        self._check_finite("loss", loss)
        return loss

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the loss of a batch, after the observers have seen it."""
        for observe in self.batch_observers:
            observe(inputs)
        return super().compute_loss(model, inputs, *args, **kwargs)

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        norm = super()._get_grad_norm(*args, **kwargs)
        if norm is not None:
            self._check_finite("gradient", norm)
        return norm

    def _check_finite(self, name: str, value: Any) -> None:
        if not isfinite(float(value)):
            raise TrainingStopped(
                f"step {self.state.global_step}: the {name} is not a finite number, so training has stopped; the last "
                "checkpoint is from before: check the model that it started from, or lower the learning rate (--lr) or "
                "the gradient norm (--max-grad-norm) and start anew"
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self._saves_whole_weights(resume_from_checkpoint):
            restore_weights(self.model, resume_from_checkpoint)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if best is not None and self._saves_whole_weights(best):
            restore_weights(self.model, best)
        else:
            super()._load_best_model()

    def _saves_whole_weights(self, checkpoint: str) -> bool:
        """Tell whether a checkpoint holds all weights of one process in the format of `from_pretrained`.

        Adapters, and weights that are spread over processes, are saved by their names in memory.
        """
        from transformers import PreTrainedModel

        is_spread = self.is_fsdp_enabled or self.is_deepspeed_enabled
        has_adapters = any(Path(checkpoint).rglob("adapter_model.*"))
        return isinstance(self.model, PreTrainedModel) and not is_spread and not has_adapters
