"""Match each whole-video run with its clue-only run (CG-Bench clue-acc, CRR)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.analysis.finished_run import FinishedRun
from experiments.runs import read_run
from experiments.settings.models import BASE_MODEL, ModelConfig
from experiments.settings.policies import MODELS
from vt_env.benchmarks.readers.cgbench import CLUES
from vt_env.benchmarks.readers.registry import view_of
from vt_env.errors import ConfigError

FRAMES = "uniform_frames"
"""Model setting that may differ between both runs: whole videos often need more frames."""


def clue_run_of(run: FinishedRun, others: Sequence[FinishedRun]) -> FinishedRun | None:
    """Find the clue-only run of the same agent, model and tasks; `None` without one, or with several.

    Args:
        run: A run on whole videos.
        others: Candidate runs.
    """
    wanted = {**_identity(run.config), "tasks": f"{run.config.get('tasks')}/{CLUES}"}
    found = [it for it in others if {**_identity(it.config), "tasks": it.config.get("tasks")} == wanted]
    return found[0] if len(found) == 1 else None


def refuse_unless_clues(path: Path, whole: Path) -> None:
    """Reject a run that is not clue-only, or is of another model than the whole-video run.

    Files of replies from another harness are not checked.

    Raises:
        ConfigError: The run shows whole videos or is of another model.
        DataError: The directory is no run directory.
    """
    if not path.is_dir():
        return
    config = read_run.read_json(path / read_run.CONFIG)
    tasks = str(config.get("tasks", ""))
    if view_of(tasks) != CLUES:
        remedy = f"evaluate with --tasks {tasks}/{CLUES}"
        raise ConfigError(f"--clues {path}: tasks={tasks!r} show whole videos; {remedy}")
    if whole.is_dir():
        models = [_model_name(it) for it in (config, read_run.read_json(whole / read_run.CONFIG))]
        if models[0] != models[1]:
            raise ConfigError(
                f"--clues {path}: played by {models[0]}, {whole} by {models[1]}; "
                "CRR compares one model with itself, give the clue run of that model"
            )


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    model = read_run.drop_how_only(ModelConfig(), dict(config.get("model", {})))
    model.pop(FRAMES, None)
    return {"agent": config.get("agent"), "split": config.get("split"), "model": model}


def _model_name(config: Mapping[str, Any]) -> str:
    """Return the served model, the resolved path of the checkpoint, or the agent without a model."""
    model = config.get("model", {})
    if model.get("server", {}).get("model"):
        return str(model["server"]["model"])
    path = model.get("path") or (str(BASE_MODEL) if config.get("agent") in MODELS else "")
    return str(Path(path).resolve() if path and Path(path).is_dir() else path or config.get("agent"))
