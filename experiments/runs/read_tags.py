"""Tags of episodes, noted by readers of a run; they are written by `experiments.view.tags`.

The run directory itself belongs to the run; tags of `runs/eval` are in `runs/eval.tags.jsonl`, one change a line: the
task, the attempt and all its tags. The last line about an attempt counts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vt_env.errors import DataError
from vt_env.jsonl import read_jsonl

Key = tuple[str, int]
"""Task id and sample."""
BAD_QUESTION = "bad-question"
"""Tag of an attempt whose question or answer key is wrong: it holds for all attempts at the question."""


def tags_path(run: Path) -> Path:
    """Return the path of the tags of a run directory."""
    own = run.resolve()
    return own.with_name(f"{own.name}.tags.jsonl")


def read_tags(run: Path) -> dict[Key, list[str]]:
    """Read the tags of a run by task id and sample; attempts without tags are absent.

    Raises:
        DataError: A line is damaged.
    """
    path = tags_path(run)
    if not path.exists():
        return {}
    tags: dict[Key, list[str]] = {}
    for row in read_jsonl(path, skip_torn=True, remedy="remove the line"):
        key, own = _checked(path, row)
        tags[key] = own
    return {key: own for key, own in tags.items() if own}


def _checked(path: Path, row: Mapping[str, Any]) -> tuple[Key, list[str]]:
    task_id, sample, tags = row.get("task_id"), row.get("sample"), row.get("tags")
    if not isinstance(task_id, str) or type(sample) is not int or not isinstance(tags, list):
        raise DataError(f"{path}: {str(dict(row))[:60]}: need task_id, sample and tags; remove the line")
    return (task_id, sample), [str(tag) for tag in tags]
