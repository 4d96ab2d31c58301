"""Trainer callbacks: progress bar, `metrics.jsonl`, tracker curves, and a stop without variance in rewards.

For the trainers of transformers and TRL, which are imported on use.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.runs.run_dir import Run
from experiments.train.trainer_config import Tracker
from experiments.train.training_run import process_count
from vt_env.errors import ConfigError
from vt_env.integrations.trl.checked_trainer import TrainingStopped
from vt_env.integrations.trl.zero_advantage import SILENT_GROUPS
from vt_env.media.terminal import progress_bar

SILENT_STEPS = 10
"""Consecutive steps without reward variance in any group after which training stops."""

Record = Callable[[int, Mapping[str, Any]], Mapping[str, object] | None]
"""Converts a step and the trainer's logs to a line of metrics; `None` writes none."""


def add_callbacks(trainer: Any, run: Run | None, record: Record, shown: Mapping[str, str], out: Path) -> None:
    """Add a progress bar and metrics to a trainer, instead of its own bar and prints.

    Args:
        trainer: A `vt_env.integrations.trl.checked_trainer.CheckedTrainer`.
        run: The open run, for metrics; `None` in all processes but the first.
        record: Builds the lines of metrics.
        shown: Metrics of the progress bar: label to the trainer's name.
        out: The run directory.
    """
    from transformers import PrinterCallback, ProgressCallback

    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    if run is not None:
        counter = TokenCounter()
        trainer.batch_observers.append(counter.observe)
        trainer.add_callback(metrics_callback(run, record, counter))
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
    """Counts the tokens that updates read, without padding: the cost of training, whatever the method."""

    def __init__(self) -> None:
        self._tokens = 0

    def observe(self, batch: Mapping[str, Any]) -> None:
        """Count a batch of an update. Other processes are taken to read as many tokens."""
        masks = [batch[name] for name in ("attention_mask", "prompt_mask", "completion_mask") if name in batch]
        self._tokens += sum(int(mask.sum()) for mask in masks)

    def pop(self) -> int:
        """Return the number of tokens over all processes and reset the counter."""
        taken, self._tokens = self._tokens * process_count(), 0
        return taken


def metrics_callback(run: Run, record: Record, counter: TokenCounter) -> Any:
    """Return a `TrainerCallback` that appends the trainer's logs and token counts to the run's metrics.

    It copies the run at each checkpoint, see `experiments.runs.run_dir`.
    """
    from transformers import TrainerCallback

    class Metrics(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any) -> None:
            line = record(state.global_step, logs)
            if line is not None:
                # An evaluation trains on nothing, and its line shares a step with that of an update.
                run.metric(line if "eval" in line else {**line, "trained_tokens": counter.pop()})

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            run.sync()

    return Metrics()


def progress_callback(shown: Mapping[str, str], name: str) -> Any:
    """Return a `TrainerCallback` with one progress bar: steps, time left and the latest metrics."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._bar = progress_bar(name, state.max_steps, state.global_step, "step")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._bar.update(state.global_step - self._bar.n)

        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any) -> None:
            # A step without any reward has no mean reward.
            self._bar.set_postfix({word: f"{logs[it]:.3g}" for word, it in shown.items() if logs.get(it) is not None})

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._bar.close()

    return Progress()


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
