"""Import of replies from other evaluation harnesses, to score their runs under every rule.

JSON Lines with `task_id` (or `question_id`) and `text`, or an lmms-eval sample file with `filtered_resps` (or `resps`),
the reply inside lists. A sample belongs to the question whose id it holds; without one, to the only question whose text
and options are in its `input`; without that, to row `doc_id` of the split, counted in the raw rows of the annotations.
Its question and target are compared with the annotations in every case.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vt_env.benchmarks.readers.parse_fields import letter_at
from vt_env.benchmarks.readers.rows import Annotations, Row
from vt_env.benchmarks.scoring.replies import Reply
from vt_env.errors import DataError
from vt_env.jsonl import decode_object, read_numbered

_ID_KEYS = ("question_id", "id", "uid", "qid", "q_uid", "video_idx")
_GOLD_KEYS = ("answer", "right_answer", "correct_choice")
_ADD = "add question_id to the samples, or give the annotations and the split that they were made from"


def read_replies(path: Path, annotations: Annotations, split: str | None = None) -> dict[str, Reply]:
    """Read a file of replies; a torn last line (its writer was killed) does not count.

    Args:
        path: The JSONL file.
        annotations: The benchmark, to look up tasks by id, text or row number.
        split: Split of the rows that `doc_id` counts; `None` tries every split.

    Raises:
        DataError: A line is invalid, refers to no question or to several, does not fit the question that it refers to,
            or repeats a question.
    """
    questions = _Questions.of(annotations, split)
    replies: dict[str, Reply] = {}
    left_out: list[str] = []

    def decode(line: bytes) -> Reply | None:
        sample = decode_object(line)
        row = questions.row_of(sample)
        if row is None:
            left_out.append(f"doc_id={sample['doc_id']}")
            return None
        return Reply(row.task_id, _text(sample))

    need = "need task_id or doc_id of this benchmark, and text or filtered_resps"
    for number, reply in read_numbered(path, decode, skip_torn=True, remedy=need):
        if reply is None:
            continue
        if reply.task_id in replies:
            second = f"{path}:{number}: second reply to {reply.task_id}"
            raise DataError(f"{second}, allowed is one; remove one of the lines")
        replies[reply.task_id] = reply
    if left_out:
        named = f"{len(left_out)} replies are to rows that are left out, first {left_out[0]}"
        warnings.warn(f"{path}: {named}; vt-env audit names them", stacklevel=2)
    return replies


@dataclass(frozen=True, slots=True)
class _Questions:
    """Questions of a benchmark by id, by a line of their text, and by row number."""

    by_id: Mapping[str, Row]
    by_task: Mapping[str, Row]
    by_line: Mapping[str, list[Row]]
    positions: tuple[tuple[str, ...], ...]
    """Task id of each raw row of each split; blank for one that is left out."""

    @classmethod
    def of(cls, annotations: Annotations, split: str | None) -> "_Questions":
        by_line: defaultdict[str, list[Row]] = defaultdict(list)
        for row in annotations.rows:
            by_line[_line(row.question.partition("\n")[0])].append(row)
        return cls(
            by_id={row.question_id: row for row in annotations.rows},
            by_task={row.task_id: row for row in annotations.rows},
            by_line=dict(by_line),
            positions=tuple(ids for name, ids in annotations.positions.items() if split in (None, name)),
        )

    def row_of(self, sample: Mapping[str, Any]) -> Row | None:
        """Return the question of a sample; `None` if its row is left out.

        Raises:
            ValueError: It refers to no question or to several, or does not fit the question.
            KeyError: Its id is unknown, or it has none.
        """
        name = sample.get("task_id", sample.get("question_id"))
        prompt = _prompt(sample)
        if name is not None:
            row = self.by_task.get(str(name)) or self.by_id[str(name)]
        else:
            row = self._by_own_id(sample) or self._by_text(prompt)
        if row is None:
            return self._by_position(sample, prompt)
        misfit = _misfit(row, sample, prompt)
        if misfit:
            raise ValueError(f"reply to {row.task_id}, {misfit}; {_ADD}")
        return row

    def _by_own_id(self, sample: Mapping[str, Any]) -> Row | None:
        """Find the id in the annotation that a sample repeats, or in its metrics; other values are no ids."""
        for holder in _mappings(sample):
            names = [holder.get(key) for key in _ID_KEYS]
            names.append(f"{holder.get('video', holder.get('video_id'))}_{holder.get('qid')}")
            for name in names:
                if str(name) in self.by_id:
                    return self.by_id[str(name)]
        return None

    def _by_text(self, prompt: str) -> Row | None:
        lines = {_line(line) for line in prompt.split("\n")} - {""}
        plain = _line(prompt)
        found = {
            row.task_id: row
            for line in lines
            for row in self.by_line.get(line, ())
            if _line(row.question) in plain and all(_line(option) in plain for option in row.options)
        }
        return next(iter(found.values())) if len(found) == 1 else None

    def _by_position(self, sample: Mapping[str, Any], prompt: str) -> Row | None:
        position = sample["doc_id"]
        if type(position) is not int or position < 0:
            raise ValueError(f"doc_id={position!r}; need a row number")
        found = [ids[position] for ids in self.positions if position < len(ids)]
        if not found:
            raise ValueError(f"doc_id={position}: the annotations have no such row; {_ADD}")
        if not prompt and sample.get("target") in (None, ""):
            raise ValueError(f"doc_id={position} without input or target cannot be checked; {_ADD}")
        rows = [self.by_task[task_id] for task_id in found if task_id]
        fitting = [row for row in rows if not _misfit(row, sample, prompt)]
        if len(fitting) > 1:
            raise ValueError(f"doc_id={position} fits a question in {len(fitting)} splits; give --split")
        if fitting or not rows:
            return fitting[0] if fitting else None
        raise ValueError(f"doc_id={position} is {rows[0].task_id}, {_misfit(rows[0], sample, prompt)}; {_ADD}")


def _misfit(row: Row, sample: Mapping[str, Any], prompt: str) -> str:
    """Return how a sample contradicts a question; an empty text if it does not."""
    if prompt and _line(row.question) not in _line(prompt):
        return f"whose question {row.question[:60]!r} is not in its input"
    target = sample.get("target")
    if target in (None, "") or row.answer_idx is None:
        return ""
    letter, text = letter_at(row.answer_idx), row.options[row.answer_idx]
    known = {letter, f"({letter})", str(row.answer_idx), text, f"({letter}) {text}", f"{letter}. {text}"}
    known |= {str(row.raw[key]) for key in _GOLD_KEYS if key in row.raw}
    if str(target).strip() in known:
        return ""
    return f"whose answer is {letter!r}, but its target is {str(target)[:40]!r}"


def _prompt(sample: Mapping[str, Any]) -> str:
    doc = sample.get("doc")
    given = cast("Mapping[str, Any]", doc).get("question") if isinstance(doc, dict) else None
    return "\n".join(_texts(sample.get("input"))) or (given if isinstance(given, str) else "")


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a prompt, which is a text or a list of messages."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        parts = cast("dict[str, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)
        for part in parts:
            yield from _texts(part)


def _mappings(sample: Mapping[str, Any]) -> list[dict[str, Any]]:
    values = [sample.get("doc"), *(value for key, value in sample.items() if key != "doc")]
    return [cast("dict[str, Any]", value) for value in values if isinstance(value, dict)]


def _line(text: str) -> str:
    """Return a text in one line, without what prompts put before a question."""
    return " ".join(text.split()).removeprefix("Question: ")


def _text(sample: Mapping[str, Any]) -> str:
    keys = [key for key in ("text", "filtered_resps", "resps") if key in sample]
    value: Any = sample[keys[0] if keys else "text"]
    while isinstance(value, list):
        value = cast("list[Any]", value)[0]
    if not isinstance(value, str):
        raise TypeError(f"reply {str(value)[:40]!r} is not a text")
    return value
