"""Subtitle parser for SubRip (SRT, used by Video-MME), WebVTT and LongVideoBench's JSON.

Accepts files as they occur in practice, beyond the specifications.
"""

import html
import json
import re
from typing import Any

from vt_env.types import Interval, SubtitleLine, parse_time

_CLOCK = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d{1,3})?)"
_TIMING = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?$")
# `<i>`, `</font>`, `<c.yellow>`, `<v Anna>` and `<00:01.500>`, and the `{\an8}` of Advanced SubStation.
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}")
_ENTITY = re.compile(r"&#?\w+;")


def parse_cues(text: str) -> tuple[list[SubtitleLine], int]:
    """Parse SRT, VTT or JSON text; the format is detected from the text.

    Returns: the lines in time order, and the number of lines dropped for invalid times.
    """
    rows_or_none = _json_rows(text)
    if rows_or_none is not None:
        return _parse_rows(rows_or_none)
    lines: list[SubtitleLine] = []
    dropped = 0
    rows = re.split(r"\r\n|\r|\n", text)
    at = 0
    while at < len(rows):
        if "-->" not in rows[at]:
            at += 1
            continue
        interval = _interval(rows[at])
        spoken, at = _cue_text(rows, at + 1)
        dropped += interval is None
        if interval is not None and spoken:
            lines.append(SubtitleLine(interval, spoken))
    return sorted(lines, key=lambda line: line.interval), dropped


def _json_rows(text: str) -> list[dict[str, Any]] | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        rows = json.loads(text)
    except ValueError:
        return None
    return [row for row in rows if isinstance(row, dict)]


def _parse_rows(rows: list[dict[str, Any]]) -> tuple[list[SubtitleLine], int]:
    """Parse rows of `timestamp`, `text` or of `start`, `end`, `line`; a missing end is the start of the next row."""
    times = [_row_times(row) for row in rows]
    following = [*(start_s for start_s, _ in times[1:]), None][: len(rows)]
    lines: list[SubtitleLine] = []
    dropped = 0
    for row, (start_s, end_s), next_s in zip(rows, times, following, strict=True):
        spoken = plain_text(str(row.get("text", row.get("line", ""))))
        end_s = next_s if end_s is None else end_s
        if start_s is None or end_s is None or not 0 <= start_s < end_s:
            dropped += 1
        elif spoken:
            lines.append(SubtitleLine(Interval(start_s, end_s), spoken))
    return sorted(lines, key=lambda line: line.interval), dropped


def _row_times(row: dict[str, Any]) -> tuple[float | None, float | None]:
    pair = row.get("timestamp", (row.get("start"), row.get("end")))
    start, end = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (None, None)
    return parse_time(str(start)), parse_time(str(end))


def plain_text(marked_up: str) -> str:
    """Remove markup tags, resolve character entities and collapse whitespace into one line."""
    untagged = _TAG.sub("", marked_up.replace("\\N", " ").replace("\\n", " ").replace("\\h", " "))
    return " ".join(_ENTITY.sub(lambda entity: html.unescape(entity[0]), untagged).split())


def decode_text(data: bytes) -> str:
    """Decode a subtitle file: UTF-8 or UTF-16 with or without a byte order mark, else Windows-1252 or Latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data[:200]:
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", errors="replace")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _interval(row: str) -> Interval | None:
    timing = _TIMING.match(row)
    if timing is None:
        return None
    start_s, end_s = _seconds(timing.groups()[:3]), _seconds(timing.groups()[3:])
    return Interval(start_s, end_s) if start_s < end_s else None


def _seconds(clock: tuple[str | None, ...]) -> float:
    hours, minutes, seconds = clock
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float((seconds or "0").replace(",", "."))


def _cue_text(rows: list[str], at: int) -> tuple[str, int]:
    """Join the text rows of a cue; return the text and the index of the row after it.

    An empty row ends a cue. A row of white space does not: rolling captions hold one.
    """
    start = at
    while at < len(rows) and rows[at] and not _TIMING.match(rows[at]):
        at += 1
    end = at
    # Without a blank row between cues, the number of the next cue looks like text.
    if at < len(rows) and rows[at].strip() and end > start and rows[end - 1].strip().isdigit():
        end -= 1
    return plain_text("\n".join(rows[start:end])), at
