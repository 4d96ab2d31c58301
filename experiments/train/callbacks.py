"""Trainer callbacks: progress bar, `metrics.jsonl`, tracker curves, stop on NaN.

For the trainers of transformers and TRL, which are imported on use.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.runs.run_dir import Run
from experiments.train.common import Tracker, process_count
from vt_env.errors import ConfigError, VtEnvError
from vt_env.integrations.trl.zero_advantage import SILENT_GROUPS

SILENT_STEPS = 10
"""Consecutive steps without reward variance in any group after which training stops."""

Record = Callable[[int, Mapping[str, Any]], Mapping[str, object] | None]
"""Converts a step and the trainer's logs to a line of metrics; `None` writes none."""


class TrainingStopped(VtEnvError):
    """Training was stopped: the loss is not finite or there is no learning signal. The message has the remedy."""


def add_callbacks(trainer: Any, run: Run | None, record: Record, shown: Mapping[str, str], out: Path) -> None:
    """Add the callbacks of this module to a trainer, replacing its own progress output.

    Args:
        trainer: A trainer of transformers or TRL.
        run: The open run, for metrics; `None` in all processes but the first, which only check the loss.
        record: Builds the lines of metrics.
        shown: Metrics of the progress bar: label to the trainer's name.
        out: The run directory.
    """
    from transformers import PrinterCallback, ProgressCallback

    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    stop_at_nan(trainer)
    if run is not None:
        trainer.add_callback(metrics_callback(run, record, TokenCounter(trainer)))
        trainer.add_callback(progress_callback(shown, str(out)))


def check_trackers(trackers: Sequence[Tracker]) -> None:
    """Check that the trackers are installed.

    Raises:
        ConfigError: A tracker is not installed.
    """
    for name in trackers:
        if find_spec(name) is None:
            raise ConfigError(f"report_to={name}: it is not installed; pip install {name}, or give another --report-to")


def trackers_of(trackers: Sequence[Tracker], out: Path) -> list[str]:
    """Return the trainer's `report_to`, and direct the trackers' files into the run directory."""
    folders = {"tensorboard": "TENSORBOARD_LOGGING_DIR", "wandb": "WANDB_DIR", "trackio": "TRACKIO_DIR"}
    for name in trackers:
        os.environ[folders[name]] = str(out / name)
        (out / name).mkdir(parents=True, exist_ok=True)
    for variable in ("WANDB_PROJECT", "TRACKIO_PROJECT"):
        os.environ.setdefault(variable, "vt-env")
    return list(trackers) or ["none"]


class TokenCounter:
    """Counts the tokens in a trainer's updates, without padding: a cost that all training methods share.

    Args:
        trainer: A trainer of transformers or TRL. Other processes are assumed to have equal counts.
    """

    def __init__(self, trainer: Any) -> None:
        self._tokens = 0
        compute_loss = trainer.compute_loss

        def counted(model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
            masks = [inputs[name] for name in ("attention_mask", "prompt_mask", "completion_mask") if name in inputs]
            self._tokens += sum(int(mask.sum()) for mask in masks)
            return compute_loss(model, inputs, *args, **kwargs)

        trainer.compute_loss = counted

    def pop(self) -> int:
        """Return the number of tokens over all processes and reset the counter."""
        taken, self._tokens = self._tokens * process_count(), 0
        return taken


def metrics_callback(run: Run, record: Record, counter: TokenCounter) -> Any:
    """Return a `TrainerCallback` that appends the trainer's logs and token counts to the run's metrics."""
    from transformers import TrainerCallback

    class Metrics(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any) -> None:
            line = record(state.global_step, logs)
            if line is not None:
                run.metric({**line, "trained_tokens": counter.pop()})

    return Metrics()


def progress_callback(shown: Mapping[str, str], name: str) -> Any:
    """Return a `TrainerCallback` with one progress bar: steps, time left and the latest metrics."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._bar = tqdm(desc=name, total=state.max_steps, initial=state.global_step, unit="step")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._bar.update(state.global_step - self._bar.n)

        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any) -> None:
            # A step without any reward has no mean reward.
            self._bar.set_postfix({word: f"{logs[it]:.3g}" for word, it in shown.items() if logs.get(it) is not None})

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._bar.close()

    return Progress()


def stop_at_nan(trainer: Any) -> None:
    """Stop before an update with a non-finite loss or gradient; transformers would continue and log the last good loss.

    `trainer.train` then raises `TrainingStopped`. DeepSpeed updates within the backward pass, so there the error comes
    after the update, and before a checkpoint is saved.
    """
    step, norm_of = trainer.training_step, trainer._get_grad_norm

    def training_step(*args: Any, **kwargs: Any) -> Any:
        loss = step(*args, **kwargs)
        if not isfinite(float(loss)):
            raise TrainingStopped(_nan_text(trainer.state.global_step, "loss"))
        return loss

    def finite_norm(*args: Any, **kwargs: Any) -> Any:
        norm = norm_of(*args, **kwargs)
        if norm is not None and not isfinite(float(norm)):
            raise TrainingStopped(_nan_text(trainer.state.global_step, "gradient"))
        return norm

    trainer.training_step, trainer._get_grad_norm = training_step, finite_norm


def stop_without_variance(trainer: Any) -> None:
    """Stop a GRPO run after `SILENT_STEPS` steps without reward variance in any group: all advantages are zero."""
    from transformers import TrainerCallback

    class Variance(TrainerCallback):
        silent = 0

        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any) -> None:
            if SILENT_GROUPS not in logs:
                return
            if logs["episode/invalid"] == 1:
                raise TrainingStopped(
                    f"step {state.global_step}: no video of the step could be read; check them with vt-env index"
                )
            self.silent = self.silent + 1 if logs[SILENT_GROUPS] >= 1 else 0
            if self.silent == SILENT_STEPS:
                raise TrainingStopped(
                    f"step {state.global_step}: for {SILENT_STEPS} steps all rewards of every group were equal (mean "
                    f"{logs['reward']:.2f}), so nothing is learned: take other tasks, a better model, larger groups or "
                    "a higher temperature"
                )

    trainer.add_callback(Variance())


def _nan_text(step: int, what: str) -> str:
    return (
        f"step {step}: the {what} is not a finite number, so training has stopped; the last checkpoint is from before: "
        "check the model that it started from, or lower --lr or --max-grad-norm and give another --out"
    )
