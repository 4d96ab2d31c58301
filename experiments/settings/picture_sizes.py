"""Width and height of the videos of tasks, read from their first frames; nothing is generated or indexed."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from vt_env.errors import DataError
from vt_env.media.decode.video_file import read_size_px
from vt_env.talks.render import SIZE_PX
from vt_env.talks.tasks import Talk
from vt_env.tasks.task_set import Task
from vt_env.world.tasks import WorldVideo
from vt_env.world2.tasks import World2Video


def native_sizes_px(tasks: Iterable[Task]) -> tuple[Counter[tuple[int, int]], list[str]]:
    """Count the shapes of the videos of tasks.

    Returns:
        Width and height with the number of videos that have it, and one line for each video that cannot be read.
    """
    first = {task.item.video: task for task in reversed(list(tasks))}
    sizes_px: Counter[tuple[int, int]] = Counter()
    unread: list[str] = []
    for task in reversed(list(first.values())):
        try:
            sizes_px[_size_px(task)] += 1
        except DataError as reason:
            unread.append(str(reason))
    return sizes_px, unread


def _size_px(task: Task) -> tuple[int, int]:
    path = Path(task.item.video.path)
    if not path.exists() and isinstance(task.prepare, WorldVideo | World2Video):
        return task.prepare.config.size_px, task.prepare.config.size_px
    if not path.exists() and isinstance(task.prepare, Talk):
        return SIZE_PX
    return read_size_px(path)
