"""Which run from the clues alone belongs to which run on whole videos, for CG-Bench's clue-acc and CRR."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from experiments import runs
from experiments.models import ModelConfig
from vt_env.benchmarks.cgbench import CLUES
from vt_env.benchmarks.registry import view_of
from vt_env.errors import ConfigError

FRAMES = "uniform_frames"
"""The one setting of the model that may differ: whole videos are often shown by more frames."""


class ConfiguredRun(Protocol):
    """What is needed of an evaluation."""

    config: Mapping[str, Any]


RunT = TypeVar("RunT", bound=ConfiguredRun)


def clue_run_of(run: RunT, others: Sequence[RunT]) -> RunT | None:
    """Find the one run of the same agent and model on the clues of the same tasks; `None` where none or several are.

    Args:
        run: A run on whole videos.
        others: All runs at hand.
    """
    wanted = {**_identity(run.config), "tasks": f"{run.config.get('tasks')}/{CLUES}"}
    found = [it for it in others if {**_identity(it.config), "tasks": it.config.get("tasks")} == wanted]
    return found[0] if len(found) == 1 else None


def refuse_unless_clues(path: Path) -> None:
    """Refuse a run directory that was not played from clues alone; replies of another harness are taken at their word.

    Raises:
        ConfigError: It was played on something else, or is no run directory.
    """
    if not path.is_dir():
        return
    config = runs.read_json(path / runs.CONFIG)
    tasks = str(config.get("tasks", ""))
    if view_of(tasks) != CLUES:
        remedy = f"evaluate with --tasks {tasks}/{CLUES}"
        raise ConfigError(f"--clues {path}: played on tasks={tasks!r}, which shows whole videos; {remedy}")


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    model = runs.what_only(ModelConfig(), dict(config.get("model", {})))
    model.pop(FRAMES, None)
    return {"agent": config.get("agent"), "split": config.get("split"), "model": model}
