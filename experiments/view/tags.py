"""Writing tags of episodes: failure classes that a reader notes. `experiments.runs.read_tags` reads them."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.runs.read_tags import BAD_QUESTION, Key, tags_path
from vt_env.errors import ConfigError
from vt_env.jsonl import append_line

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
    BAD_QUESTION: "the question or its key is wrong",
}
"""Tags that the viewer offers; free words are tags, too. Our own list."""
_TAG = re.compile(r"[\w][\w .:/+-]{0,39}")


def write_tags(run: Path, key: Key, tags: Sequence[str]) -> list[str]:
    """Set all tags of an attempt of a run; none removes them. Returns the tags, sorted.

    Raises:
        ConfigError: A tag is too long or holds other characters than letters, digits, spaces and ``.:/+-``.
    """
    own = sorted({tag.strip() for tag in tags})
    for tag in own:
        if not _TAG.fullmatch(tag):
            raise ConfigError(f"tag {tag!r}: need 1 to 40 letters, digits, spaces or . : / + - and a word first")
    append_line(tags_path(run), json.dumps({"task_id": key[0], "sample": key[1], "tags": own}))
    return own
