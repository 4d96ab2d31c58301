"""What both trainings share: loading and saving a model, finding the last checkpoint, writing metrics.

Transformers and torch are imported where they are used, so that `--help` does not wait for them.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.runs import Run
from vt_env.doors.trl import prepare_processor
from vt_env.errors import ConfigError

MODEL_FOLDER, CHECKPOINTS_FOLDER = "model", "checkpoints"
"""Where a training run keeps its result and what it resumes from."""

Record = Callable[[int, Mapping[str, Any]], Mapping[str, object] | None]
"""Makes a line of metrics of a step and what the trainer logged; `None` writes nothing."""


def load_model(path: str, *, freeze_vision: bool) -> tuple[Any, Any]:
    """Load a checkpoint and its processor, made ready for tools; in fp32 on the CPU, in its own type on a GPU.

    Raises:
        ConfigError: There is no such checkpoint folder, or its processor cannot call tools.
    """
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    if path.startswith((".", "/")) and not Path(path, "config.json").is_file():
        raise ConfigError(f"model={path!r}: no config.json there; give a checkpoint's folder or a hub name")
    processor = prepare_processor(AutoProcessor.from_pretrained(path))
    dtype = "auto" if torch.cuda.is_available() else torch.float32
    model = AutoModelForImageTextToText.from_pretrained(path, dtype=dtype)
    if freeze_vision:
        model.base_model.visual.requires_grad_(requires_grad=False)
    return model, processor


def save_model(model: Any, processor: Any, folder: Path) -> None:
    """Save a model and its processor, whole or not at all."""
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(draft)
    processor.save_pretrained(draft)
    os.replace(draft, folder)


def last_checkpoint(out: Path) -> str | None:
    """Return the newest finished checkpoint of a run; the trainer's state is the last file that it writes."""
    finished = [state.parent for state in (out / CHECKPOINTS_FOLDER).glob("checkpoint-*/trainer_state.json")]
    newest = max(finished, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)
    return None if newest is None else str(newest)


def metrics_callback(run: Run, record: Record) -> Any:
    """Return a `TrainerCallback` that appends what the trainer logs to the run's metrics."""
    from transformers import TrainerCallback

    class Metrics(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any) -> None:
            line = record(state.global_step, logs)
            if line is not None:
                run.metric(line)

    return Metrics()
