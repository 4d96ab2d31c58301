"""Tags of episodes: failure classes that a reader notes, in a file beside the run directory.

The run directory itself belongs to the run; tags of `runs/eval` are in `runs/eval.tags.jsonl`, one change a line: the
task, the attempt and all its tags. The last line about an attempt counts.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vt_env.errors import ConfigError, DataError
from vt_env.jsonl import append_line, read_jsonl

FAILURE_CLASSES: Mapping[str, str] = {
    "never-looked": "answered without looking at the video",
    "wrong-place": "looked, but never at the evidence",
    "misread": "saw the evidence and read it wrongly",
    "misheard": "read the subtitle that says it and took it wrongly",
    "gave-up": "stopped before the evidence was found",
    "repeated": "made the same call again and again",
    "out-of-budget": "ran out of calls, frames or tokens",
    "bad-call": "wrote calls that could not be read or were refused",
    "no-option": "answered with no option",
    "bad-question": "the question or its key is wrong",
}
"""Tags that the viewer offers; free words are tags, too. Our own list."""
_TAG = re.compile(r"[\w][\w .:/+-]{0,39}")
Key = tuple[str, int]
"""Task id and sample."""


@dataclass(frozen=True)
class TagFile:
    """Tags of one run."""

    path: Path

    @staticmethod
    def of(run: Path) -> "TagFile":
        """Return the tags of a run directory."""
        own = run.resolve()
        return TagFile(own.with_name(f"{own.name}.tags.jsonl"))

    def read(self) -> dict[Key, list[str]]:
        """Read the tags by task id and sample; attempts without tags are absent.

        Raises:
            DataError: A line is damaged.
        """
        if not self.path.exists():
            return {}
        tags: dict[Key, list[str]] = {}
        for row in read_jsonl(self.path, skip_torn=True, remedy="remove the line"):
            key, own = _checked(self.path, row)
            tags[key] = own
        return {key: own for key, own in tags.items() if own}

    def write(self, key: Key, tags: Sequence[str]) -> list[str]:
        """Set all tags of an attempt; none removes them. Returns the tags, sorted.

        Raises:
            ConfigError: A tag is too long or holds other characters than letters, digits, spaces and ``.:/+-``.
        """
        own = sorted({tag.strip() for tag in tags})
        for tag in own:
            if not _TAG.fullmatch(tag):
                raise ConfigError(f"tag {tag!r}: need 1 to 40 letters, digits, spaces or . : / + - and a word first")
        append_line(self.path, json.dumps({"task_id": key[0], "sample": key[1], "tags": own}))
        return own


def _checked(path: Path, row: Mapping[str, Any]) -> tuple[Key, list[str]]:
    task_id, sample, tags = row.get("task_id"), row.get("sample"), row.get("tags")
    if not isinstance(task_id, str) or type(sample) is not int or not isinstance(tags, list):
        raise DataError(f"{path}: {str(dict(row))[:60]}: need task_id, sample and tags; remove the line")
    return (task_id, sample), [str(tag) for tag in tags]
