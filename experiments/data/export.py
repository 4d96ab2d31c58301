"""Tasks as files for other trainers: `vt-env export verl`.

    vt-env export verl --tasks talks --split train --out verl-data
    vt-env export verl --tasks talks --split test --out verl-data

writes `train.parquet`, `test.parquet` and `agent_loops.json`, which names the loop of each split with its rules.
Trajectories are exported by `vt-env synth --export`.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.settings.prompts import EpisodeConfig, choose_prompts
from vt_env.config import MediaConfig, resolve_budget
from vt_env.errors import ConfigError, DataError
from vt_env.integrations.shared_source import session_source
from vt_env.integrations.verl.rows import loop_entry, verl_rows
from vt_env.jsonl import replace_file
from vt_env.task_sources import load_tasks

LOOPS_FILE = "agent_loops.json"


@dataclass(frozen=True)
class ExportRun(EpisodeConfig):
    """Write tasks for another trainer."""

    form: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="verl")] = ()
    """The trainer: `verl`."""
    out: Path = Path("verl-data")
    """Folder of the files; other splits in it stay."""
    tasks: str = "world"
    """Name, folder or JSONL file of tasks."""
    split: str = "train"
    """Split of the tasks; rows of `train` are for updates."""
    limit: int | None = None
    """Number of tasks, the first of the split; by default all."""
    budget: str = "default"
    """Budget of an episode: a preset, optionally with changes (`default,max_calls=16`)."""
    rewards: str = "default"
    """Reward preset."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form != ("verl",):
            got = " ".join(self.form) or "no trainer"
            raise ConfigError(
                f"export {got}: allowed is verl; trajectories for trl, ms-swift, llama-factory and datasets are "
                "written by vt-env synth --export"
            )
        if self.asr or self.screen_text:
            raise ConfigError("--asr and --screen-text: transcribe with vt-env index first; the loop reads the results")


def main(run: ExportRun) -> None:
    """Write the rows of a split and the entry of its loop.

    Raises:
        ConfigError: The tasks are not to be trained on, or pyarrow is not installed.
        DataError: The tasks, or the loops of a folder that is there, cannot be read.
    """
    tasks = load_tasks(run.tasks, run.split)
    kept = tasks if run.limit is None else tasks.head(run.limit)
    rows = verl_rows(kept, run.split, is_training=run.split == "train")
    source = {**_source(run), "split": run.split}
    # What a training would stumble over hours later.
    session_source(source)
    run.out.mkdir(parents=True, exist_ok=True)
    path = run.out / f"{run.split}.parquet"
    _write_parquet(path, rows)
    loops = run.out / LOOPS_FILE
    entry = loop_entry(run.split, source)
    others = [it for it in _read_loops(loops) if it["name"] != entry["name"]]
    with replace_file(loops) as part:
        part.write_text(json.dumps([*others, entry], indent=2) + "\n", encoding="utf-8")
    print(f"{path}: {len(rows)} rows; {loops}: {', '.join(it['name'] for it in (*others, entry))}")


def _source(run: ExportRun) -> dict[str, Any]:
    """Return the arguments of `SessionSource` that are not those by default; files by absolute paths for workers."""
    prompts = choose_prompts(run.prompts, None)
    chosen = {
        "tasks": _absolute(run.tasks),
        "budget": run.budget,
        "rewards": run.rewards,
        "prompts": _absolute(run.prompts) if run.prompts else prompts.name,
        "encoder": run.encoder,
        "media": _changes(run.media),
    }
    resolve_budget(run.budget)
    return {name: value for name, value in chosen.items() if value}


def _absolute(name_or_path: str) -> str:
    return str(Path(name_or_path).resolve()) if Path(name_or_path).exists() else name_or_path


def _changes(media: MediaConfig) -> Mapping[str, Any]:
    usual = asdict(MediaConfig())
    return {name: value for name, value in asdict(media).items() if value != usual[name]}


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as reason:
        raise ConfigError("writing Parquet needs pyarrow: add the extra parquet") from reason
    with replace_file(path) as part:
        parquet.write_table(arrow.Table.from_pylist(list(rows)), part)


def _read_loops(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        loops = json.loads(path.read_text(encoding="utf-8"))
        return [it for it in loops if it["name"]]
    except (ValueError, TypeError, KeyError) as reason:
        raise DataError(f"{path}: no list of agent loops: {reason}; remove the file") from reason
