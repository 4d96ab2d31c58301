"""Captions written by `vt-env captions`: which model wrote those of a task folder, and which a checkpoint learned from.

A checkpoint that learned to read one model's captions, errors included, is not what another model's captions measure.
"""

from pathlib import Path

from experiments.runs.read_run import CONFIG, read_json
from experiments.settings.models import checkpoint_hash
from vt_env.errors import ConfigError

CAPTIONS_RUN = "captions"
"""Kind of the run that writes captions, in its `config.json`."""
CAPTIONS_FILE = "vt_env_captions.json"
"""Key of the captions that a checkpoint was trained on, as a file in its folder."""


def captioner_key(model: str) -> str:
    """Return the key of a captioner: the hash of a checkpoint folder, else the model's name."""
    return checkpoint_hash(model) or model


def captions_key(tasks: str | Path) -> str | None:
    """Return the key of the model that wrote the captions of a task folder; `None` if `vt-env captions` did not."""
    path = Path(tasks) / CONFIG
    config = read_json(path) if path.is_file() else {}
    return str(config["captioner"]) if config.get("run") == CAPTIONS_RUN else None


def trained_on(model: str | None) -> str | None:
    """Return the key of the captions that a checkpoint was trained on; `None` if its folder names none."""
    path = Path(model or "", CAPTIONS_FILE)
    return str(read_json(path)["captioner"]) if model and path.is_file() else None


def check_captions(tasks: str, model: str | None) -> None:
    """Refuse captions of another model than those that a checkpoint was trained on.

    Raises:
        ConfigError: Both keys are known and differ.
    """
    written, learned = captions_key(tasks), trained_on(model)
    if written is not None and learned is not None and written != learned:
        raise ConfigError(
            f"tasks={tasks}: captions of the model {written}, but {model} was trained on captions of {learned}; give "
            "--tasks with those, or train on these"
        )
