"""Version of the generated world that a tiny model was made for, checked against the tasks that it meets."""

from pathlib import Path

from experiments.runs.read_run import read_json
from experiments.settings.prompts import model_prompts
from vt_env.errors import ConfigError
from vt_env.prompts import TINY
from vt_env.tasks.task_set import TaskSet

WORLD_FIELD = "vt_env_world"
"""Field of a checkpoint's `config.json` with the version of its world; the first base has none."""


def model_world(model: str | Path | None) -> int | None:
    """Return the version of the world whose words a model knows; `None` for models of ordinary language.

    Args:
        model: Folder of a checkpoint, or a name on a hub.

    Raises:
        ConfigError: The file with its prompt set is damaged.
        DataError: Its `config.json` cannot be read.
    """
    prompts = model_prompts(None if model is None else str(model))
    if model is None or prompts is None or prompts.name != TINY.name:
        return None
    config = Path(model) / "config.json"
    return int(read_json(config).get(WORLD_FIELD, 1)) if config.is_file() else None


def check_world(model: str | Path | None, tasks: TaskSet) -> None:
    """Check that a tiny model plays the world that it was made for; the words of the other one are no words to it.

    Raises:
        ConfigError: Tasks are of the other world.
    """
    made_for = model_world(model)
    others = sorted({video.world for video in tasks.videos} - {0, made_for})
    if made_for is not None and others:
        name = {1: "world", 2: "world2"}
        raise ConfigError(
            f"{model} was made for tasks of {name.get(made_for, made_for)}, these are of {name[others[0]]}: give "
            "--tasks of that world or a model of this one"
        )
