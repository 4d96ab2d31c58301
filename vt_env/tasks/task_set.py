"""A task and a set of them: views that are sets again, and the checks that a set is fit to be used."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np

from vt_env.actions.read_answer import plain_text, read_answer
from vt_env.errors import ConfigError, suggest
from vt_env.gold import Gold
from vt_env.protocols import Library
from vt_env.types import Item, VideoRef

ROUNDING_S = 1.0
"""Tolerance for evidence past the end of its video, in seconds: annotations are rounded."""


def nothing_to_prepare(ref: VideoRef) -> None:
    """Do nothing: the video exists."""


@dataclass(frozen=True, slots=True)
class Task:
    """A question with its answer key."""

    item: Item
    gold: Gold | None
    """`None` where the right answer is not known; such a task is never scored."""
    prepare: Callable[[VideoRef], None] = nothing_to_prepare
    """Makes the video exist; called with the item's video before it is opened."""


@dataclass(frozen=True)
class TaskSet(Sequence[Task]):
    """Tasks in order; all views of it are task sets too.

    Raises:
        ConfigError: Two tasks share an id.
    """

    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for task in self.tasks:
            if task.item.task_id in seen:
                raise ConfigError(f"task_id {task.item.task_id!r} occurs twice: ids must differ")
            seen.add(task.item.task_id)

    def __len__(self) -> int:
        """Number of tasks."""
        return len(self.tasks)

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> "TaskSet": ...
    def __getitem__(self, index: int | slice) -> "Task | TaskSet":
        """Return one task, or a slice as a task set."""
        return TaskSet(self.tasks[index]) if isinstance(index, slice) else self.tasks[index]

    def __iter__(self) -> Iterator[Task]:
        """Iterate over the tasks in order."""
        return iter(self.tasks)

    def __repr__(self) -> str:
        """Number of tasks, never their answers."""
        return f"TaskSet({len(self)} tasks)"

    def head(self, count: int) -> "TaskSet":
        """Return the first `count` tasks, or all if there are fewer."""
        return TaskSet(self.tasks[:count])

    def shuffle(self, rng: np.random.Generator) -> "TaskSet":
        """Return the tasks in random order."""
        return TaskSet(tuple(self.tasks[index] for index in rng.permutation(len(self.tasks))))

    def split(self, name: str) -> "TaskSet":
        """Return the tasks of one split.

        Raises:
            ConfigError: There are none; the message names the splits.
        """
        chosen = self.filter(lambda item: item.split == name)
        if not chosen:
            raise ConfigError(f"split={name!r}: no task of it; allowed are {self.splits}{suggest(name, self.splits)}")
        return chosen

    def filter(self, keep: Callable[[Item], bool]) -> "TaskSet":
        """Return the tasks whose item `keep` accepts."""
        return TaskSet(tuple(task for task in self.tasks if keep(task.item)))

    def with_captions(self, folder: Path) -> "TaskSet":
        """Return the tasks with other captions of their videos: the file `HANDLE.jsonl` of a folder for each.

        Rows are those of any caption file: `start_s`, `end_s`, `text`. Policies with `perception="captions"` read them.

        Raises:
            ConfigError: The folder lacks the file of a video.
        """
        paths = {video: folder / f"{video.handle}.jsonl" for video in self.videos}
        missing = [path for path in paths.values() if not path.is_file()]
        if missing:
            got = f"{len(missing)} of {len(paths)} videos have none"
            raise ConfigError(f"captions in {folder}: {got}; write {missing[0].name} and the like")

        def captioned(task: Task) -> Task:
            video = replace(task.item.video, captions_path=str(paths[task.item.video]))
            return replace(task, item=replace(task.item, video=video))

        return TaskSet(tuple(map(captioned, self.tasks)))

    @property
    def splits(self) -> list[str]:
        """Names of the splits that the tasks are of, in alphabetical order."""
        return sorted({task.item.split for task in self.tasks})

    @property
    def families(self) -> list[str]:
        """Kinds of question among the tasks, in alphabetical order."""
        return sorted({task.item.family for task in self.tasks})

    @property
    def videos(self) -> list[VideoRef]:
        """Videos that the tasks are about, each once, in the order of the tasks."""
        return list(dict.fromkeys(task.item.video for task in self.tasks))

    @property
    def is_excerpt(self) -> bool:
        """Whether any of the tasks shows parts of its video alone, see `Item.shown`."""
        return any(task.item.shown for task in self.tasks)

    def by_id(self, task_id: str) -> Task:
        """Return the task of that id.

        Raises:
            ConfigError: There is none.
        """
        if task_id not in self._by_id:
            raise ConfigError(f"task_id={task_id!r}: not among the {len(self)} tasks{suggest(task_id, self._by_id)}")
        return self._by_id[task_id]

    @cached_property
    def _by_id(self) -> dict[str, Task]:
        return {task.item.task_id: task for task in self.tasks}

    def validate(self, library: Library | None = None) -> list[str]:
        """Check that the set is fit to be used, before anything is measured with it.

        Every gold answer is accepted by the scorer, every option is read as itself, no question is asked twice of a
        video, evidence has a box for each interval or none; with a library also: videos open, evidence lies in them.

        Args:
            library: Where videos are opened, which can take long; `None` leaves out what needs them.

        Returns:
            What is wrong, a line a finding, in the order of the tasks; empty for a sound set.

        Raises:
            DataError: A video cannot be opened.
        """
        found = [f"{task.item.task_id}: {text}" for task in self.tasks for text in _task_findings(task)]
        found += [f"{ids[0]} and {ids[1]}: the same question about the same video" for ids in self._doubles()]
        return found + ([] if library is None else self._outside(library))

    def _doubles(self) -> list[tuple[str, str]]:
        first: dict[tuple[str, str, frozenset[str]], str] = {}
        doubles: list[tuple[str, str]] = []
        for item in (task.item for task in self.tasks):
            key = (item.video.handle, " ".join(item.question.casefold().split()), frozenset(item.options))
            if key in first:
                doubles.append((first[key], item.task_id))
            first.setdefault(key, item.task_id)
        return doubles

    def _outside(self, library: Library) -> list[str]:
        durations_s: dict[VideoRef, float] = {}
        found: list[str] = []
        for task in self.tasks:
            ref = task.item.video
            if ref not in durations_s:
                task.prepare(ref)
                durations_s[ref] = library.open(ref).duration_s
            evidence = task.gold.evidence if task.gold else ()
            found += [
                f"{task.item.task_id}: evidence {it} ends after the video, {it.end_s} > {durations_s[ref]} s"
                for it in evidence
                if it.end_s > durations_s[ref] + ROUNDING_S
            ]
        return found


def _task_findings(task: Task) -> list[str]:
    options, gold = task.item.options, task.gold
    alike = Counter(map(plain_text, options))
    found = [
        f"option {option!r} is not read as itself; options need letters or digits, and to differ in more than case, "
        "spacing and last mark"
        for idx, option in enumerate(options)
        if read_answer(option, options).option_idx != idx or not plain_text(option) or alike[plain_text(option)] > 1
    ]
    if gold is None:
        return found
    if not 0 <= gold.answer_idx < len(options):
        found.append(f"answer_idx={gold.answer_idx}; need 0 to {len(options) - 1}")
    if gold.evidence_boxes and len(gold.evidence_boxes) != len(gold.evidence):
        found.append(f"{len(gold.evidence_boxes)} boxes for {len(gold.evidence)} evidence intervals; need one for each")
    return found
