"""Load questions and report the unusable ones, before any paid model call.

Only an empty result is an error: a set of real questions has bad rows.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vt_env.benchmarks.readers.find_media import MediaFolder
from vt_env.benchmarks.readers.registry import find_annotations
from vt_env.benchmarks.readers.rows import Annotations, DefectKind
from vt_env.benchmarks.readers.to_tasks import benchmark_tasks
from vt_env.errors import ConfigError
from vt_env.task_sources import load_tasks
from vt_env.tasks.read_rows import TASKS_FILE, LineDefect, scan_tasks
from vt_env.tasks.task_set import Task, TaskSet

_LINE_KINDS = {
    "options": "no usable options",
    "answer": "gold is no option",
    "task_id": "duplicate id",
    "video": "missing video",
}
UNSCORED, NO_CAPTIONS = "no answer key", "no captions"
_NAMED = 3


@dataclass(frozen=True)
class Problem:
    """Defect of a question that cannot be used."""

    kind: str
    where: str
    detail: str = ""


@dataclass(frozen=True)
class LoadedQuestions:
    """Usable questions, and the defects of the others."""

    tasks: TaskSet
    problems: tuple[Problem, ...] = ()
    missing_videos: tuple[str, ...] = ()
    """Names of missing videos, in the order of their first questions."""
    videos: int = 0
    """Number of videos with questions, missing ones included."""

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems by kind, the most frequent first."""
        return dict(Counter(it.kind for it in self.problems).most_common())

    def report(self) -> str:
        """Summarise usable and unusable questions and missing videos, one finding a line."""
        lines = [f"{len(self.tasks)} questions can be asked, {len(self.problems)} cannot"]
        for kind, count in self.counts.items():
            first = next(it for it in self.problems if it.kind == kind)
            lines.append(f"  {count} {kind}, first {first.where}{': ' + first.detail if first.detail else ''}")
        if self.missing_videos:
            named = ", ".join(self.missing_videos[:_NAMED])
            more = len(self.missing_videos) - _NAMED
            lines.append(
                f"{len(self.missing_videos)} of {self.videos} videos are missing: {named}"
                f"{f' and {more} more' if more > 0 else ''}"
            )
        return "\n".join(lines)


def load_questions(tasks: str, split: str | None, captions_needed: bool) -> LoadedQuestions:
    """Load questions without the unusable ones.

    Args:
        tasks: As for `load_tasks`: a name, a folder or a file.
        split: As for `load_tasks`; of a benchmark that has no question of it, all questions are read.
        captions_needed: Leave out questions about videos without captions of their own.

    Raises:
        ConfigError: There is no such source, or a file has no question of the split.
        DataError: It cannot be read at all.
    """
    path = Path(tasks)
    if (path / TASKS_FILE).is_file():
        scanned = _from_lines(path, split)
    elif tasks.partition("/")[0] == "world" and not path.is_file():
        scanned = LoadedQuestions(load_tasks(tasks, split))
    elif (annotations := find_annotations(tasks)) is not None:
        scanned = _from_benchmark(annotations, split)
    elif path.is_file():
        scanned = _from_lines(path, split)
    else:
        scanned = LoadedQuestions(load_tasks(tasks, split))
    return _usable(scanned, captions_needed)


def _from_lines(path: Path, split: str | None) -> LoadedQuestions:
    found, defects = scan_tasks(path)
    problems = tuple(map(_line_problem, defects))
    wanted = [task for task in found if split in (None, task.item.split)]
    if found and not wanted:
        raise ConfigError(f"split={split!r}: {path} has no task of it; allowed are {found.splits}")
    missing = dict.fromkeys(it.detail for it in problems if it.kind == _LINE_KINDS["video"])
    videos = len({task.item.video.handle for task in found}) + len(missing)
    return LoadedQuestions(TaskSet(tuple(wanted)), problems, tuple(missing), videos)


def _line_problem(defect: LineDefect) -> Problem:
    kind = _LINE_KINDS.get(defect.field, "unreadable line")
    if kind == _LINE_KINDS["options"] and "occurs twice" in defect.detail:
        kind = str(DefectKind.DUPLICATE_OPTIONS)
    return Problem(kind, f"line {defect.number}", defect.detail)


def _from_benchmark(annotations: Annotations, split: str | None) -> LoadedQuestions:
    problems = [Problem(str(it.kind), it.where, it.detail) for it in annotations.defects]
    rows = [row for row in annotations.rows if split in (None, row.split)] or list(annotations.rows)
    problems += [Problem(str(DefectKind.TOO_FEW_OPTIONS), row.question_id) for row in rows if len(row.options) < 2]
    asked = [row for row in rows if len(row.options) >= 2]
    folder = MediaFolder(annotations.root)
    found = {row.video_id: folder.video(row.video_names) is not None for row in asked}
    there = tuple(row for row in asked if found[row.video_id])
    problems += [
        Problem(str(DefectKind.MISSING_VIDEO), row.question_id, row.video_id)
        for row in asked
        if not found[row.video_id]
    ]
    clean = replace(annotations, rows=there, defects=())
    tasks = benchmark_tasks(clean, None, folder) if there else TaskSet(())
    missing = tuple(video_id for video_id, is_there in found.items() if not is_there)
    return LoadedQuestions(tasks, tuple(problems), missing, len(found))


def _usable(loaded: LoadedQuestions, captions_needed: bool) -> LoadedQuestions:
    unscored = [task for task in loaded.tasks if task.gold is None]
    silent = [
        task
        for task in loaded.tasks
        if task.gold is not None and captions_needed and task.item.video.captions_path is None
    ]
    left_out = {id(task) for task in (*unscored, *silent)}
    problems = (*_problems(UNSCORED, unscored), *_problems(NO_CAPTIONS, silent))
    kept = tuple(task for task in loaded.tasks if id(task) not in left_out)
    return replace(loaded, tasks=TaskSet(kept), problems=(*loaded.problems, *problems))


def _problems(kind: str, tasks: Iterable[Task]) -> list[Problem]:
    return [Problem(kind, task.item.task_id) for task in tasks]


def check_not_empty(loaded: LoadedQuestions, tasks: str) -> None:
    """Raise if no question is usable.

    Raises:
        ConfigError: There is no task left; the message says why.
    """
    if not loaded.tasks:
        raise ConfigError(f"tasks={tasks!r}: {'; '.join(loaded.report().splitlines())}")
