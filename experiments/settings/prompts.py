"""Prompt set of a run: from the flag, else the resumed run, else the model's folder, else the default."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from experiments.runs.read_run import CONFIG, read_json
from experiments.settings.library import LibraryConfig
from experiments.settings.profile import PROFILE_IF_MISSING, WORLD_NAMES
from vt_env.config import HOW_ONLY
from vt_env.errors import ConfigError
from vt_env.profiles import Profile
from vt_env.prompts import DEFAULT, DEFAULT_TOOL, SETS, TINY, PromptSet, load_prompts, resolve_prompts

PROMPTS_FILE = "vt_env_prompts.json"
"""Prompt set that a model was trained on, as a file in its folder."""
IF_MISSING: Mapping[str, str] = {"prompts": TINY.id, **PROFILE_IF_MISSING}
"""Values in a `config.json` without them, written when there was one prompt set only and no profile."""


@dataclass(frozen=True, kw_only=True)
class EpisodeConfig(LibraryConfig):
    """Settings of every command that plays episodes."""

    prompts: str | None = field(default=None, metadata=HOW_ONLY)
    """Prompt set: `default`, `default-tool`, `tiny` (of the shipped model), or a JSON or TOML file; by default the set
    that the model was trained on, or `default` if its folder names none."""
    answers: Literal["tag", "tool"] | None = field(default=None, metadata=HOW_ONLY)
    """Form of answers: `tag` (`<answer>B</answer>`) or `tool`, a call of the tool `answer`, which is `--prompts
    default-tool`; by default that of the prompt set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.answers == "tool" and self.prompts in (None, DEFAULT.name):
            object.__setattr__(self, "prompts", DEFAULT_TOOL.name)
        prompts = None if self.prompts is None else resolve_prompts(self.prompts)
        if self.answers is not None and prompts is not None and prompts.answers != self.answers:
            raise ConfigError(
                f"--answers {self.answers} --prompts {self.prompts}: that set asks for answers by {prompts.answers}; "
                "give one of the two flags"
            )


def model_prompts(model: str | None) -> PromptSet | None:
    """Return the prompt set that a model was trained on; `None` if its folder names none.

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
        flag: Value of `--prompts`, if given.
        model: Folder or hub name of the policy's model, if it has one.
        run: Run directory; a resumed run keeps its set.
        other: Set to use if nothing else decides.

    Raises:
        ConfigError: The set or file does not exist.
    """
    trained_on = model_prompts(model)
    if flag is None:
        return (None if run is None else _run_prompts(run)) or trained_on or other
    chosen = resolve_prompts(flag)
    if trained_on is not None and chosen != trained_on:
        warn(f"{model} was trained on prompts {trained_on.id}, now it reads {chosen.id}")
    return chosen


def student_prompts(tasks: str, profile: Profile, teacher: str = "") -> PromptSet:
    """Return the default set for demonstrations: `tiny` for a generated world, else the profile's.

    The student is not known when demonstrations are written; the shipped model is the one for the generated world.

    Args:
        tasks: Name, folder or file of the tasks.
        profile: Parts of the episodes.
        teacher: Kind of the teacher; `scripted` plays the generated world only.
    """
    is_tiny = teacher == "scripted" or tasks.partition("/")[0] in WORLD_NAMES
    return TINY if is_tiny else resolve_prompts(profile.prompts)


def trajectory_prompts(ids: Iterable[str], flag: str | None, model: str | None) -> PromptSet:
    """Return the prompt set that trajectories were written with, for training on them.

    Args:
        ids: `Trajectory.prompts` of each trajectory.
        flag: Value of `--prompts`, if given; it must name the same set.
        model: Model that training starts from.

    Raises:
        ConfigError: The trajectories have several sets, the flag names another one, or the id is unknown.
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
    return read_prompts_record(read_json(run / CONFIG).get("prompts")) if (run / CONFIG).is_file() else None


def prompts_record(prompts: PromptSet) -> dict[str, object]:
    """Return a prompt set for `config.json`: the id of a shipped set, all texts of another one."""
    return {"prompts": prompts.id if prompts in SETS.values() else asdict(prompts)}


def read_prompts_record(value: object) -> PromptSet:
    """Read a value of `prompts_record`; `None` means a run made when there was one set only.

    Raises:
        ConfigError: The id names a version that this code does not have, or the texts are not those of a set.
    """
    if value is None:
        return TINY
    if isinstance(value, dict):
        try:
            return PromptSet(**value)  # pyright: ignore[reportUnknownArgumentType]
        except TypeError as reason:
            said = str(reason).removeprefix("PromptSet.__init__() ")
            raise ConfigError(f"prompts in {CONFIG}: {said}; restore the file or start a new run") from None
    return prompts_of_id(str(value))


def prompts_of_id(name: str) -> PromptSet:
    """Return the shipped set with an id such as `tiny@1`.

    Raises:
        ConfigError: No shipped set has this id.
    """
    for it in SETS.values():
        if it.id == name:
            return it
    raise ConfigError(f"prompts {name}: allowed are {', '.join(it.id for it in SETS.values())}; give --prompts FILE")


def warn(message: str) -> None:
    """Write one line to stderr."""
    print(f"note: {message}", file=sys.stderr)
