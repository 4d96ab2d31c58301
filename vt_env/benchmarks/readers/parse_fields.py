"""Field parsers for annotation rows: texts, ids, numbers, options, letters and spans.

Parsers raise `ValueError` with the value and the requirement; the caller adds file and row.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from vt_env.benchmarks.readers.rows import Defect, DefectKind, Span
from vt_env.types import parse_time

_POSITION_DIGITS = 6
_QUOTED = 80
"""Maximum number of characters of a value in a message."""
_PLACEHOLDERS = ("n/a", "")
_LETTER_MARK = re.compile(r"\s*(?:\(([A-Z])\)|([A-Z])[.):])\s*")


def quoted(value: object) -> str:
    """Return the start of a value as Python writes it, for a message of one line."""
    try:
        written = repr(value)
    except ValueError:
        # A number of thousands of digits, which Python does not write.
        return "a long number"
    return written if len(written) <= _QUOTED else f"{written[:_QUOTED]}…"


def object_of(value: object, name: str) -> Mapping[str, Any]:
    """Return a JSON object, such as a row within a row."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}={quoted(value)}; need an object")
    return cast("Mapping[str, Any]", value)


def text_of(row: Mapping[str, Any], key: str) -> str:
    """Return a non-blank text, stripped."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key}={quoted(value)}; need a text")
    return value.strip()


def question_of(row: Mapping[str, Any]) -> str:
    """Return the text of the question, stripped; it may be blank, as in one published row of MLVU."""
    value = row.get("question")
    if not isinstance(value, str):
        raise ValueError(f"question={quoted(value)}; need a text")
    return value.strip()


def cell_of(row: Mapping[str, Any], key: str) -> str:
    """Return a cell of a table as text, stripped; whole numbers are what other readers make of texts of digits."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{key}={quoted(value)}; need a text")
    return str(value).strip()


def id_of(row: Mapping[str, Any], key: str) -> str:
    """Return an id, a text or an integer, as text."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise ValueError(f"{key}={quoted(value)}; need an id")
    return str(value).strip()


def number_of(row: Mapping[str, Any], key: str) -> float | None:
    """Return a finite number; `None` if the field is missing, empty or not finite."""
    value = row.get(key)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{key}={quoted(value)}; need a number") from None
    return number if math.isfinite(number) else None


def texts_of(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return a list of texts; a single text counts as a list of one."""
    value = row.get(key)
    values = cast("list[Any]", [value] if isinstance(value, str) else value if isinstance(value, list) else [None])
    if not all(isinstance(one, str) for one in values):
        raise ValueError(f"{key}={str(value)[:60]!r}; need a list of texts")
    return tuple(values)


def unlettered(options: Sequence[str]) -> tuple[str, ...]:
    """Remove the letters (`"A. One"`, `"(B) Two"`) if every option has the letter of its index; always strip."""
    marks = [_LETTER_MARK.match(option) for option in options]
    letters = [mark and (mark[1] or mark[2]) for mark in marks]
    if letters != [letter_at(idx) for idx in range(len(options))]:
        return tuple(option.strip() for option in options)
    return tuple(option[mark.end() :].strip() for option, mark in zip(options, marks, strict=True) if mark)


def letter_at(idx: int) -> str:
    """Return the letter of an option index: 0 is `A`."""
    return chr(ord("A") + idx)


def idx_of_letter(letter: object, count: int) -> int | None:
    """Return the index that a letter names among `count` options, or `None`."""
    # Some letters are several as capitals.
    capital = letter.strip().upper() if isinstance(letter, str) else ""
    if len(capital) != 1:
        return None
    idx = ord(capital) - ord("A")
    return idx if 0 <= idx < count else None


def position_of(digits: str, count: int) -> int | None:
    """Return the index below `count` that a text of digits is, or `None`."""
    # Numbers of thousands of digits cannot be converted.
    idx = int(digits) if digits.isdecimal() and len(digits) <= _POSITION_DIGITS else count
    return idx if idx < count else None


def checked_options(
    options: Sequence[str | None], where: str, *, drop_placeholders: bool = False
) -> tuple[tuple[str, ...], list[Defect]]:
    """Check options for placeholders (`"N/A"`, blank), duplicates and too few options.

    Args:
        options: Texts without letters.
        where: Question id, for the defects.
        drop_placeholders: Remove placeholders, which changes the letters of later options. Correct only for
            LongVideoBench, which pads its options.

    Returns: the remaining options, and the defects.
    """
    texts = tuple("" if option is None else option.strip() for option in options)
    placeholders = sum(text.lower() in _PLACEHOLDERS for text in texts)
    kept = tuple(text for text in texts if not (drop_placeholders and text.lower() in _PLACEHOLDERS))
    defects: list[Defect] = []
    if placeholders:
        done = "left out" if drop_placeholders else "kept"
        defects.append(Defect(DefectKind.PLACEHOLDER_OPTION, where, f"{placeholders} {done}"))
    repeated = sorted({text for text in kept if kept.count(text) > 1})
    if repeated:
        defects.append(Defect(DefectKind.DUPLICATE_OPTIONS, where, ", ".join(map(repr, repeated))))
    if len(kept) < 2:
        defects.append(Defect(DefectKind.TOO_FEW_OPTIONS, where, f"{len(kept)} left"))
    return kept, defects


def gold_defects(answer_idx: int | None, answer: object, where: str) -> list[Defect]:
    """Return a defect if the gold answer is not an option; a null or blank one is hidden, and so not scored."""
    is_hidden = answer is None or (isinstance(answer, str) and not answer.strip())
    is_wrong = answer_idx is None and not is_hidden
    return [Defect(DefectKind.GOLD_NOT_AN_OPTION, where, repr(answer)[:60])] if is_wrong else []


def spans_of(value: object) -> tuple[Span, ...]:
    """Parse `[[start_s, end_s], ...]`."""
    try:
        return tuple((float(start), float(end)) for start, end in cast("Iterable[tuple[Any, Any]]", value))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{str(value)[:60]!r}; need [[start_s, end_s], ...]") from None


def valid_spans(spans: Sequence[Span]) -> list[Span]:
    """Return the parts of spans inside the video; reversed, empty and infinite spans are left out."""
    inside = ((max(0.0, start_s), end_s) for start_s, end_s in spans)
    return [(start_s, end_s) for start_s, end_s in inside if start_s < end_s < math.inf]


def span_of_clock(text: str) -> tuple[Span, ...]:
    """Parse `MM:SS-MM:SS` or `HH:MM:SS-HH:MM:SS`; return an empty tuple for other texts."""
    bounds = [parse_time(part) for part in text.split("-")]
    start, end = bounds if len(bounds) == 2 else (None, None)
    return () if start is None or end is None else ((start, end),)


def span_defects(spans: Sequence[Span], duration_s: float | None, where: str) -> list[Defect]:
    """Return defects of spans that are reversed, empty or outside the video.

    Annotated durations are often rounded down to seconds, so an end may exceed the duration by less than one second.
    """
    defects: list[Defect] = []
    for start_s, end_s in spans:
        shown = f"[{start_s:g}, {end_s:g}]"
        if end_s < start_s:
            defects.append(Defect(DefectKind.REVERSED_INTERVAL, where, shown))
        elif end_s == start_s:
            defects.append(Defect(DefectKind.EMPTY_INTERVAL, where, shown))
        if start_s < 0 or (duration_s is not None and max(start_s, end_s) >= duration_s + 1):
            defects.append(Defect(DefectKind.INTERVAL_OUTSIDE, where, f"{shown} of {duration_s} s"))
    return defects
