"""Tasks about talks: generated from fixed seeds; a talk's files are written when it is first opened."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from vt_env.errors import ConfigError, suggest
from vt_env.gold import Gold
from vt_env.media.cache.build_once import cache_root
from vt_env.talks.material import Subject, subjects
from vt_env.talks.questions import FAMILIES, OPTIONS, PER_FAMILY, TalkQuestion
from vt_env.talks.script import SCRIPT_VERSION, TalkScript, write_script
from vt_env.talks.write_files import write_files
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import Item, VideoRef
from vt_env.world.write_files import CAPTIONS_FILE, SUBTITLES_FILE, VIDEO_FILE

SPLITS = ("train", "val", "test")
"""Splits; the order is part of every seed."""
SHORTEST_S, LONGEST_S = 600, 2400
_DURATIONS, _QUESTIONS, _LETTERS = 1, 2, 3
"""Purposes of seeds, so that none of them changes another one's draws."""


@dataclass(frozen=True)
class Talk:
    """One talk; calling it writes its files, as `Task.prepare` requires."""

    split: str
    number: int
    """Number of the subject, from 0."""
    folder: Path

    @property
    def subject(self) -> Subject:
        """Material of the talk."""
        return subjects()[self.number]

    def script(self) -> TalkScript:
        """Generate the script of the talk."""
        return _script(self.split, self.number)

    def ref(self) -> VideoRef:
        """Return the reference to the files, which need not exist yet."""
        name = f"talks/{SCRIPT_VERSION}/{self.split}/{self.number}"
        return VideoRef(
            handle=hashlib.blake2b(name.encode(), digest_size=8).hexdigest(),
            path=str(self.folder / VIDEO_FILE),
            subtitles_path=str(self.folder / SUBTITLES_FILE),
            captions_path=str(self.folder / CAPTIONS_FILE),
        )

    def __call__(self, ref: VideoRef) -> None:
        """Write the files of this talk if they do not exist; `ref` is ignored."""
        if not self.folder.is_dir():
            write_files(self.script(), self.folder)


def talks(split: str, root: Path | None = None) -> list[Talk]:
    """List the talks of a split, one for each subject.

    Args:
        split: `"train"`, `"val"` or `"test"`: the same subjects with other values, orders, speakers and lengths.
        root: Folder for the files; by default the cache.

    Raises:
        ConfigError: The split is unknown.
    """
    if split not in SPLITS:
        raise ConfigError(f"split={split!r}: allowed are {', '.join(map(repr, SPLITS))}{suggest(split, SPLITS)}")
    folder = (root or cache_root()) / "talks" / f"{SCRIPT_VERSION}-{split}"
    return [Talk(split, number, folder / f"{number:02d}") for number in range(len(subjects()))]


def talk_tasks(split: str, families: Sequence[str] | None = None, root: Path | None = None) -> TaskSet:
    """Generate the tasks of a split, 144 in all; the same on every machine.

    Consecutive tasks have different talks, families and right letters, so that every head of the set is a fair sample:
    each 24 tasks hold every letter once in every family.

    Args:
        split: As in `talks`.
        families: Names of `vt_env.talks.questions.FAMILIES`; `None` means all.
        root: As in `talks`.

    Raises:
        ConfigError: The split or a family is unknown.
    """
    names = list(FAMILIES)
    for family in families or ():
        if family not in FAMILIES:
            raise ConfigError(f"family {family!r}: the talks have {', '.join(names)}{suggest(family, names)}")
    listed = talks(split, root)
    asked = [_ask(talk, letters) for talk, letters in zip(listed, _letters(split, len(listed)), strict=True)]
    rounds = [
        asked[place][(place + turn) % len(names)][(place + turn // len(names)) % PER_FAMILY]
        for turn in range(PER_FAMILY * len(names))
        for place in range(len(listed))
    ]
    return TaskSet(tuple(task for task in _balanced(rounds) if not families or task.item.family in families))


def _balanced(tasks: Sequence[Task]) -> Iterator[Task]:
    """Order tasks so that those of which few were taken come first, by letter and family, then by each and by talk."""
    left, taken = list(tasks), Counter[object]()
    while left:
        chosen = min(left, key=lambda it: [taken[mark] for mark in _marks(it)])
        taken.update(_marks(chosen))
        left.remove(chosen)
        yield chosen


def _marks(task: Task) -> tuple[object, ...]:
    letter = task.gold.answer_idx if task.gold else 0
    return (task.item.family, letter), letter, task.item.family, task.item.video.handle


def _ask(talk: Talk, letters: Sequence[Sequence[int]]) -> list[list[Task]]:
    """Make the questions of a talk by family; `letters` holds the place of each right option."""
    script, ref = talk.script(), talk.ref()
    asked: list[list[Task]] = []
    for number, (ask, places) in enumerate(zip(FAMILIES.values(), letters, strict=True)):
        rng = _rng(talk.split, talk.number, _QUESTIONS, number)
        questions = enumerate(zip(ask(script, rng), places, strict=True), PER_FAMILY * number)
        asked.append([_task(question, place, talk, ref, turn) for turn, (question, place) in questions])
    return asked


def _task(question: TalkQuestion, place: int, talk: Talk, ref: VideoRef, turn: int) -> Task:
    options = (*question.wrong[:place], question.right, *question.wrong[place:])
    task_id = f"talks-{talk.split}-{talk.number:02d}-{turn:02d}"
    item = Item(task_id, question.text, options, ref, question.family, talk.split)
    return Task(item, Gold(place, question.evidence), talk)


def _letters(split: str, count: int) -> list[list[list[int]]]:
    """Draw the place of each right option: by talk, family and question, balanced within each family."""
    by_family: list[list[list[int]]] = []
    for number in range(len(FAMILIES)):
        places = np.arange(count * PER_FAMILY) % OPTIONS
        shuffled = _rng(split, 0, _LETTERS, number).permutation(places).reshape(count, PER_FAMILY)
        by_family.append(shuffled.tolist())
    return [[family[place] for family in by_family] for place in range(count)]


@cache
def _script(split: str, number: int) -> TalkScript:
    """Write a script; lengths are spread evenly over the talks of a split, in random order."""
    lengths_s = np.linspace(SHORTEST_S, LONGEST_S, len(subjects())).round().astype(int)
    duration_s = int(_rng(split, 0, _DURATIONS).permutation(lengths_s)[number])
    return write_script((SPLITS.index(split), number), subjects()[number], duration_s)


def _rng(split: str, number: int, *purpose: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([SCRIPT_VERSION, SPLITS.index(split), number, *purpose]))
