"""Import of replies from other evaluation harnesses, to score their runs under every rule.

JSON Lines with `task_id` (or `question_id`) and `text`, or an lmms-eval sample file with `doc_id`, the row index in the
annotations, and `filtered_resps` (or `resps`), the reply inside lists.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from vt_env.benchmarks.readers.rows import Annotations
from vt_env.benchmarks.scoring.replies import Reply
from vt_env.errors import DataError
from vt_env.jsonl import decode_object, read_numbered


def read_replies(path: Path, annotations: Annotations) -> dict[str, Reply]:
    """Read a file of replies; a torn last line (its writer was killed) does not count.

    Args:
        path: The JSONL file.
        annotations: The benchmark, to look up tasks by id or by row index.

    Raises:
        DataError: A line is invalid, refers to no question, or repeats a question.
    """
    by_id = {row.question_id: row.task_id for row in annotations.rows}
    by_id |= {row.task_id: row.task_id for row in annotations.rows}
    replies: dict[str, Reply] = {}

    def decode(line: bytes) -> Reply:
        row = decode_object(line)
        return Reply(_task_id(row, annotations, by_id), _text(row))

    need = "need task_id or doc_id of this benchmark, and text or filtered_resps"
    for number, reply in read_numbered(path, decode, skip_torn=True, remedy=need):
        if reply.task_id in replies:
            second = f"{path}:{number}: second reply to {reply.task_id}"
            raise DataError(f"{second}, allowed is one; remove one of the lines")
        replies[reply.task_id] = reply
    return replies


def _task_id(row: Mapping[str, Any], annotations: Annotations, by_id: Mapping[str, str]) -> str:
    name = row.get("task_id", row.get("question_id"))
    if name is not None:
        return by_id[str(name)]
    position = int(row["doc_id"])
    if position < 0:
        raise ValueError(f"doc_id={position}")
    return annotations.rows[position].task_id


def _text(row: Mapping[str, Any]) -> str:
    keys = [key for key in ("text", "filtered_resps", "resps") if key in row]
    value: Any = row[keys[0] if keys else "text"]
    while isinstance(value, list):
        value = cast("list[Any]", value)[0]
    if not isinstance(value, str):
        raise TypeError(f"reply {str(value)[:40]!r} is not a text")
    return value
