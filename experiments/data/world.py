"""Write a generated world to disk: `vt-env world --out data/world`; other commands take `--tasks data/world`."""

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from experiments.data.video_paths import run_parallel
from vt_env.errors import ConfigError
from vt_env.jsonl import encode_record, write_lines
from vt_env.tasks.read_rows import TASKS_FILE
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.world.config import full_world
from vt_env.world.script import WorldConfig
from vt_env.world.single_scene_questions import FAMILIES
from vt_env.world.tasks import world_tasks
from vt_env.world2.config import World2Config
from vt_env.world2.tasks import world2_tasks


@dataclass(frozen=True)
class WorldRun:
    """Write videos, subtitles, captions and tasks as files, the same on every machine."""

    out: Path
    """Output folder; existing videos are kept."""
    version: Literal[1, 2] = 1
    """Version of the world: 1 is that of `--tasks world`, 2 that of `--tasks world2`."""
    split: str = "test"
    """Split: `train`, `val` or `test`; no video is in two of them."""
    families: tuple[str, ...] = ()
    """Question families: by default `needle subtitle reference`; `all` for all eight; of version 2 all 13."""
    seed: int = 0
    """Seed of the videos and tasks; 0 gives those of `--tasks world` and `--tasks world2`."""
    processes: int = 2
    """Number of worker processes, one video each."""
    world: WorldConfig = field(default_factory=WorldConfig)
    """Number and properties of the videos of version 1; values that a family needs default to those of `--tasks
    world/all`."""
    world2: World2Config = field(default_factory=World2Config)
    """Number and properties of the videos of version 2."""

    def __post_init__(self) -> None:
        if self.version == 2 and self.world != WorldConfig():
            raise ConfigError("version=2: settings of world.* are of version 1; give those of world2.*")
        if self.version == 1 and self.world2 != World2Config():
            raise ConfigError("version=1: settings of world2.* are of version 2; give --version 2 or those of world.*")


def main(run: WorldRun) -> None:
    """Write the videos, then the tasks.

    Raises:
        ConfigError: The split or a family does not exist.
    """
    tasks = generate_tasks(run)
    videos = {task.item.video: task for task in tasks}
    run_parallel(prepare_task, list(videos.values()), run.processes, "videos")
    write_lines(run.out / TASKS_FILE, (encode_record(task_row(task, run.out)) for task in tasks))
    print(f"{len(videos)} videos and {len(tasks)} tasks in {run.out / TASKS_FILE}")


def generate_tasks(run: WorldRun) -> TaskSet:
    """Generate the tasks of a version of the world.

    Raises:
        ConfigError: The split or a family does not exist.
    """
    if run.version == 2:
        return world2_tasks(run.split, run.families, run.world2, run.out, run.seed)
    return world_tasks(run.split, run.families or None, world_config(run), run.out, run.seed)


def world_config(run: WorldRun) -> WorldConfig:
    """Return the world configuration with the values that the families need; values set by flags are kept."""
    if set(run.families) <= set(FAMILIES):
        return run.world
    plain, full = asdict(WorldConfig()), asdict(full_world())
    needed = {name: full[name] for name, value in asdict(run.world).items() if value == plain[name] != full[name]}
    return replace(run.world, **needed)


def prepare_task(task: Task) -> None:
    """Write the video of a task if it does not exist."""
    task.prepare(task.item.video)


def task_row(task: Task, folder: Path) -> dict[str, Any]:
    """Return a task as a row of a tasks file; paths below its folder are relative, others are whole."""
    item, gold = task.item, task.gold
    video = item.video
    files = {"video": video.path, "subtitles": video.subtitles_path, "captions": video.captions_path}
    row: dict[str, Any] = {name: _path(path, folder) for name, path in files.items() if path is not None}
    if video.subtitles_encoding is not None:
        row["subtitles_encoding"] = video.subtitles_encoding
    row |= {"question": item.question, "options": list(item.options)}
    if gold is not None:
        row |= {"answer": gold.answer_idx, "evidence": [[span.start_s, span.end_s] for span in gold.evidence]}
        row |= {"evidence_boxes": [[it.left, it.top, it.right, it.bottom] for it in gold.evidence_boxes]}
    return row | {"task_id": item.task_id, "family": item.family, "split": item.split, "world": video.world}


def _path(path: str, folder: Path) -> str:
    relative = os.path.relpath(path, folder)
    # A tasks file cannot lead out of its folder by a relative path.
    return os.path.abspath(path) if relative.split(os.sep)[0] == os.pardir else relative
