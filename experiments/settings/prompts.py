"""The prompt set of a run: from the flag, the run that goes on, the model's folder, or the default."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from experiments.runs.run_dir import CONFIG, HOW_ONLY, read_json
from experiments.settings.library import LibraryConfig
from vt_env.errors import ConfigError
from vt_env.prompts import DEFAULT, SETS, TINY, PromptSet, load_prompts, resolve_prompts

PROMPTS_FILE = "vt_env_prompts.json"
"""File of a model folder that holds the prompt set the model was trained on."""
BEFORE_SETS: Mapping[str, str] = {"prompts": TINY.id}
"""What runs played with that were made before there were several sets; their `config.json` does not say."""


@dataclass(frozen=True, kw_only=True)
class EpisodeConfig(LibraryConfig):
    """Settings of every command that plays episodes."""

    prompts: str | None = field(default=None, metadata=HOW_ONLY)
    """Wording of all that a model reads: `default`, `tiny` (of the shipped model), or a JSON or TOML file; by default
    what the model was trained on, and `default` where that is not known."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompts is not None:
            resolve_prompts(self.prompts)


def model_prompts(model: str | None) -> PromptSet | None:
    """Read which prompt set a model was trained on; `None` where its folder does not say.

    Raises:
        ConfigError: The file in its folder is damaged.
    """
    path = Path(model or "", PROMPTS_FILE)
    return load_prompts(path) if model and path.is_file() else None


def choose_prompts(
    flag: str | None, model: str | None, run: Path | None = None, other: PromptSet = DEFAULT
) -> PromptSet:
    """Choose the prompt set of a run.

    Args:
        flag: The value of `--prompts`, if it was given.
        model: Folder or hub name of the model that plays, if one does.
        run: Run directory; a run that goes on keeps its set.
        other: The set where nothing else decides.

    Raises:
        ConfigError: There is no such set or file.
    """
    trained_on = model_prompts(model)
    if flag is None:
        return (None if run is None else _run_prompts(run)) or trained_on or other
    chosen = resolve_prompts(flag)
    if trained_on is not None and chosen != trained_on:
        warn(f"{model} was trained on prompts {trained_on.id}, now it reads {chosen.id}")
    return chosen


def student_prompts(tasks: str, teacher: str = "") -> PromptSet:
    """Return the set for training data whose model is not known: that of the shipped model, for its own world.

    Args:
        tasks: Name, folder or file of the tasks.
        teacher: Kind of the teacher; the scripted one plays the generated world alone.
    """
    return TINY if teacher == "scripted" or tasks.partition("/")[0] == "world" else DEFAULT


def trajectory_prompts(ids: Iterable[str], flag: str | None, model: str | None) -> PromptSet:
    """Return the prompt set that trajectories were written with, which a model is then trained on.

    Args:
        ids: `Trajectory.prompts` of each.
        flag: The value of `--prompts`, if it was given; it must agree.
        model: The model that training starts from.

    Raises:
        ConfigError: There are several sets, the flag names another one, or no set of that id is known.
    """
    trained_on, found = model_prompts(model), sorted(set(ids))
    if len(found) != 1:
        raise ConfigError(f"trajectories of prompts {' and '.join(found)}: a model reads one set; train on one of them")
    known = [trained_on, *SETS.values()] if flag is None else [resolve_prompts(flag)]
    chosen = next((it for it in known if it is not None and it.id == found[0]), None)
    if chosen is None:
        got = f"trajectories of prompts {found[0]}, prompts={flag!r}"
        raise ConfigError(
            f"{got}: give --prompts with the file of that set, or write trajectories with another --prompts"
        )
    if trained_on is not None and chosen != trained_on:
        warn(f"{model} was trained on prompts {trained_on.id}, these trajectories are of {chosen.id}")
    return chosen


def _run_prompts(run: Path) -> PromptSet | None:
    return read_recorded(read_json(run / CONFIG).get("prompts")) if (run / CONFIG).is_file() else None


def recorded(prompts: PromptSet) -> dict[str, object]:
    """Write a prompt set for `config.json`: its id, and the texts of one that does not ship with the code."""
    return {"prompts": prompts.id if prompts in SETS.values() else asdict(prompts)}


def read_recorded(value: object) -> PromptSet:
    """Read what `recorded` wrote; `None` means a run of the time before there were several sets.

    Raises:
        ConfigError: It names a version that this code does not have.
    """
    if value is None:
        return TINY
    if isinstance(value, dict):
        return PromptSet(**value)  # pyright: ignore[reportUnknownArgumentType]
    return prompts_of_id(str(value))


def prompts_of_id(name: str) -> PromptSet:
    """Return the set that ships under an id such as `tiny@1`.

    Raises:
        ConfigError: None does.
    """
    for it in SETS.values():
        if it.id == name:
            return it
    raise ConfigError(f"prompts {name}: allowed are {', '.join(it.id for it in SETS.values())}; give --prompts FILE")


def warn(message: str) -> None:
    """Write one line to stderr."""
    print(f"note: {message}", file=sys.stderr)
