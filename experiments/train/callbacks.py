"""What is shown, written and watched while a trainer runs: a bar, metrics, curves, and losses that are no numbers.

Made for the trainers of transformers and TRL, which are imported where they are used.
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
"""Steps in a row without any difference in reward after which nothing more is to be expected."""

Record = Callable[[int, Mapping[str, Any]], Mapping[str, object] | None]
"""Makes a line of metrics of a step and what the trainer logged; `None` writes nothing."""


class TrainingStopped(VtEnvError):
    """Going on would train on nothing or on nonsense. The message says what to change."""


def add_callbacks(trainer: Any, run: Run | None, record: Record, shown: Mapping[str, str], out: Path) -> None:
    """Give a trainer everything in this module, instead of its own bar and prints.

    Args:
        trainer: A trainer of transformers or TRL.
        run: Where metrics go; `None` in all processes but the first, which only watch the loss.
        record: Makes the lines of metrics.
        shown: What the bar shows: a word to the name of what the trainer logs.
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
    """Refuse trackers that are not installed.

    Raises:
        ConfigError: One of them is not.
    """
    for name in trackers:
        if find_spec(name) is None:
            raise ConfigError(f"report_to={name}: it is not installed; pip install {name}, or give another --report-to")


def trackers_of(trackers: Sequence[Tracker], out: Path) -> list[str]:
    """Return what a trainer's `report_to` takes; files of the trackers go below the run directory."""
    folders = {"tensorboard": "TENSORBOARD_LOGGING_DIR", "wandb": "WANDB_DIR", "trackio": "TRACKIO_DIR"}
    for name in trackers:
        os.environ[folders[name]] = str(out / name)
        (out / name).mkdir(parents=True, exist_ok=True)
    for variable in ("WANDB_PROJECT", "TRACKIO_PROJECT"):
        os.environ.setdefault(variable, "vt-env")
    return list(trackers) or ["none"]


class TokenCounter:
    """Counts the tokens that a trainer's updates read, padding left out: what training costs, whatever the method.

    Args:
        trainer: A trainer of transformers or TRL. Other processes are taken to read as many.
    """

    def __init__(self, trainer: Any) -> None:
        self._tokens = 0
        compute_loss = trainer.compute_loss

        def counted(model: Any, inputs: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
            masks = [inputs[name] for name in ("attention_mask", "prompt_mask", "completion_mask") if name in inputs]
            self._tokens += sum(int(mask.sum()) for mask in masks)
            return compute_loss(model, inputs, *args, **kwargs)

        trainer.compute_loss = counted

    def take(self) -> int:
        """Return the tokens since the last time, over all processes."""
        taken, self._tokens = self._tokens * process_count(), 0
        return taken


def metrics_callback(run: Run, record: Record, counter: TokenCounter) -> Any:
    """Return a `TrainerCallback` that appends what the trainer logs to the run's metrics, with the tokens it read."""
    from transformers import TrainerCallback

    class Metrics(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any) -> None:
            line = record(state.global_step, logs)
            if line is not None:
                run.metric({**line, "trained_tokens": counter.take()})

    return Metrics()


def progress_callback(shown: Mapping[str, str], name: str) -> Any:
    """Return a `TrainerCallback` with one bar: steps, time left, and what the trainer last logged."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._bar = tqdm(desc=name, total=state.max_steps, initial=state.global_step, unit="step")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._bar.update(state.global_step - self._bar.n)

        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any) -> None:
            # Of a step without any reward there is no mean.
            self._bar.set_postfix({word: f"{logs[it]:.3g}" for word, it in shown.items() if logs.get(it) is not None})

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._bar.close()

    return Progress()


def stop_at_nan(trainer: Any) -> None:
    """Stop before an update whose loss or gradient is no number; transformers would go on and log the last good loss.

    The trainer then raises `TrainingStopped` from `train`. DeepSpeed updates within the backward pass: there it is
    raised after the update, and before anything is saved.
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
    """Stop a GRPO run in which no group's rewards have differed for `SILENT_STEPS` steps: it learns nothing."""
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
