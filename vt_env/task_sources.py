"""Task sources: a name, a folder, a JSONL file or a function becomes a `TaskSet` with answer keys.

Rows of a JSONL file, and those that a function yields, are described in `vt_env.tasks.read_rows`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vt_env.errors import ConfigError, DataError, suggest
from vt_env.tasks.read_rows import TASKS_FILE, load_file, read_task
from vt_env.tasks.task_set import Task, TaskSet

TaskSource = Callable[[str | None], Iterable[Task | Mapping[str, Any]]]
"""Yields the tasks of one split, `None` for all: tasks, or rows with paths relative to the working directory.

A row that names no split is of the split asked for.
"""


def load_tasks(tasks: str | Path | TaskSource, split: str | None = None) -> TaskSet:
    """Load the tasks of one split, or of all splits.

    Args:
        tasks: A name (`"world"`, one of its families as `"world/counting"`, `"world/all"` for all eight, `"world2"`,
            `"world2/flash"`, `"talks"`, `"talks/chart"`, `"lvbench"` and other benchmarks below `$VT_ENV_DATA`), a
            folder that holds `tasks.jsonl`, a JSONL file, a benchmark's own folder or annotation file, or a function of
            the split.
            `"cgbench/clues"`, or `/clues` behind its folder, shows frames of the clue intervals alone.
        split: Keep only tasks of this split; `None` keeps all. Worlds and talks are made by split: there `None` is
            `"test"`.

    Raises:
        ConfigError: There is no such name, file or folder, or no task of that split.
        DataError: A line cannot be used; the message names file and line.
    """
    if callable(tasks):
        return _load_source(tasks, split)
    name, _, family = str(tasks).partition("/")
    path = Path(tasks)
    is_own = bool(family) and (path.is_file() or (path / TASKS_FILE).is_file())
    if name == "world" and not is_own:
        return _load_world(family, split)
    if name == "world2" and not is_own and not (path / TASKS_FILE).is_file():
        return _load_world2(family, split)
    if name == "talks" and not (path / TASKS_FILE).is_file():
        return _load_talks(family, split)
    if not (path / TASKS_FILE).is_file() and (benchmark := _load_benchmark(tasks, split)) is not None:
        return benchmark
    path = path / TASKS_FILE if path.is_dir() else path
    if not path.is_file():
        raise ConfigError(_unknown(str(tasks)))
    return _of_split(load_file(path), split, str(path))


def _of_split(loaded: Sequence[Task], split: str | None, source: str) -> TaskSet:
    chosen = TaskSet(tuple(task for task in loaded if split in (None, task.item.split)))
    if not chosen:
        splits = sorted({task.item.split for task in loaded})
        raise ConfigError(f"split={split!r}: {source} has no task of it; allowed are {splits}")
    return chosen


def _load_source(source: TaskSource, split: str | None) -> TaskSet:
    name = getattr(source, "__name__", type(source).__name__)
    tasks: list[Task] = []
    for number, row in enumerate(source(split), start=1):
        try:
            tasks.append(row if isinstance(row, Task) else read_task({"split": split or "test", **row}, Path.cwd()))
        except (TypeError, ValueError) as reason:
            raise DataError(f"tasks={name}, row {number}: {reason}") from reason
    return _of_split(tasks, split, name)


def _load_world(family: str, split: str | None) -> TaskSet:
    # Imported here since the world needs encoders that nobody else does.
    from vt_env.world.tasks import world_tasks

    return world_tasks(split or "test", (family,) if family else None)


def _load_world2(family: str, split: str | None) -> TaskSet:
    # Imported here for the same reason.
    from vt_env.world2.tasks import world2_tasks

    return world2_tasks(split or "test", (family,) if family else None)


def _load_talks(family: str, split: str | None) -> TaskSet:
    # Imported here since the talks need a decoder that nobody else does.
    from vt_env.talks.tasks import talk_tasks

    return talk_tasks(split or "test", (family,) if family else None)


def _load_benchmark(tasks: str | Path, split: str | None) -> TaskSet | None:
    # Imported here since benchmarks make tasks.
    from vt_env.benchmarks.readers.registry import find_annotations
    from vt_env.benchmarks.readers.to_tasks import benchmark_tasks

    annotations = find_annotations(tasks)
    return None if annotations is None else benchmark_tasks(annotations, split)


def _unknown(tasks: str) -> str:
    from vt_env.benchmarks.readers.registry import BENCHMARKS

    views = [f"{name}/{view}" for name, benchmark in BENCHMARKS.items() for view in benchmark.views]
    near_view = suggest(tasks, views) if "/" in tasks else ""
    hint = near_view or suggest(tasks.partition("/")[0], ["world", "world2", "talks", *BENCHMARKS])
    generated = [it for name in ("world", "world2", "talks") for it in (f"'{name}'", f"'{name}/FAMILY'")]
    allowed = f"{', '.join(generated)}, a benchmark's name, 'cgbench/clues', a folder or JSONL file"
    return f"tasks={tasks!r}: no such file or folder; allowed are {allowed}{hint}"
