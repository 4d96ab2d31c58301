"""Accuracy ceilings of the talks' question families: `python -m experiments.bench.talks_ceilings`.

| column | policy |
|---|---|
| random | a random option |
| first letter | always the first option |
| subtitles | an errorless reader of all subtitles, and of no picture; guesses among the options left |
| captions | an errorless reader of all captions, and of no subtitle; guesses among the options left |
| evidence | an errorless reader of subtitles and captions of the evidence alone |
| oracle | the same, of the whole talk |

Expected accuracies over guesses, computed from scripts of talks; nothing is drawn and no video is rendered.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import tyro

from experiments.bench.fixtures.talks_reader import Read, possible_options
from vt_env.markdown import markdown_table
from vt_env.talks.captions import write_captions
from vt_env.talks.questions import FAMILIES
from vt_env.talks.script import TalkScript
from vt_env.talks.tasks import Talk, talk_tasks
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import SubtitleLine


@dataclass(frozen=True)
class TalksCeilingsBench:
    """Compute the ceilings of all families."""

    split: str = "test"
    """Split of the talks."""


def main(run: TalksCeilingsBench) -> None:
    """Print the table in Markdown."""
    tasks = talk_tasks(run.split)
    rows = {family: ceilings(tasks.filter(lambda item, name=family: item.family == name)) for family in FAMILIES}
    cells = [
        [family, len(tasks) // len(FAMILIES), *(f"{value:.2f}" for value in row.values())]
        for family, row in rows.items()
    ]
    print("\n".join(markdown_table(["family", "n", *READERS], cells)))


def ceilings(tasks: TaskSet) -> dict[str, float]:
    """Return reader to expected accuracy."""
    return {name: float(np.mean([_chance(task, read) for task in tasks])) for name, read in READERS.items()}


def _chance(task: Task, reader: Callable[[Task], list[int]]) -> float:
    left = reader(task)
    return (task.gold is not None and task.gold.answer_idx in left) / max(1, len(left))


def read_subtitles(task: Task) -> list[int]:
    """Return the options left after all subtitles."""
    return possible_options(task.item, Read(subtitles=_script(task).subtitles))


def read_captions(task: Task) -> list[int]:
    """Return the options left after all captions."""
    return possible_options(task.item, Read(captions=write_captions(_script(task))))


def read_evidence(task: Task) -> list[int]:
    """Return the options left after the subtitles and captions of the evidence."""
    spans = task.gold.evidence if task.gold else ()

    def is_evidence(line: SubtitleLine) -> bool:
        return any(line.interval.overlap_s(span) for span in spans)

    script = _script(task)
    read = Read(list(filter(is_evidence, script.subtitles)), list(filter(is_evidence, write_captions(script))))
    return possible_options(task.item, read)


def read_everything(task: Task) -> list[int]:
    """Return the options left after the whole talk."""
    script = _script(task)
    return possible_options(task.item, Read(script.subtitles, write_captions(script)))


READERS: Mapping[str, Callable[[Task], list[int]]] = {
    "random": lambda task: list(range(len(task.item.options))),
    "first letter": lambda task: [0],
    "subtitles": read_subtitles,
    "captions": read_captions,
    "evidence": read_evidence,
    "oracle": read_everything,
}
"""Readers by name: each returns the indices of the options that it does not rule out."""


def _script(task: Task) -> TalkScript:
    assert isinstance(task.prepare, Talk), task.item.task_id
    return task.prepare.script()


if __name__ == "__main__":
    main(tyro.cli(TalksCeilingsBench))
