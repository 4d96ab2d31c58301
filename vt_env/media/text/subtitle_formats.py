"""Subtitle parser for SubRip (SRT, used by Video-MME), WebVTT, Advanced SubStation (ASS) and LongVideoBench's JSON.

Accepts files as they occur in practice, beyond the specifications.
"""

import html
import json
import re
from typing import Any

from vt_env.types import Interval, SubtitleLine, parse_time

_CLOCK = r"(-?)(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d{1,9})?)"
_TIMING = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?$")
# The tags that SubRip and WebVTT know, such as `<i>`, `</font>`, `<c.yellow>`, `<v Anna>` and `<00:01.500>`; other
# words between brackets are text. And the `{\an8}` of Advanced SubStation.
_TAG = re.compile(
    r"</?(?:b|i|u|s|c|v|lang|ruby|rt|font|span|em|strong|br|p)(?:[.\s/][^<>]*)?>|<[\d:.]+>|\{\\[^{}]*\}", re.IGNORECASE
)
# Bounded, since numbers of thousands of digits cannot be converted.
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]\w{1,31});")
_DRAWING = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}.*?(?:\{[^{}]*\\p0[^{}]*\}|$)")
"""From `{\\p1}` to `{\\p0}`: vector drawings, of which the text is coordinates."""
_OVERRIDE = re.compile(r"\{[^{}]*\}")
MAX_CUE_CHARS = 10_000
"""Maximum characters of a line: three pages of print. A longer one would fill a model's context."""
_ASS_FIELDS = "Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
"""Fields of an ASS event where its section does not name them."""


def parse_cues(text: str) -> tuple[list[SubtitleLine], int]:
    """Parse SRT, VTT, ASS or JSON text; the format is detected from the text.

    Returns: the lines in time order, and the number of lines dropped for invalid times.
    """
    rows_or_none = _json_rows(text)
    if rows_or_none is not None:
        return _parse_rows(rows_or_none)
    if text.lstrip("\ufeff \t\r\n").lower().startswith("[script info]"):
        return _parse_ass(text)
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
    except (ValueError, RecursionError):
        return None
    return [row for row in rows if isinstance(row, dict)]


def _parse_rows(rows: list[dict[str, Any]]) -> tuple[list[SubtitleLine], int]:
    """Parse rows of `timestamp`, `text` or of `start`, `end`, `line`; a missing end is the start of the next row."""
    times = [_row_times(row) for row in rows]
    following = [*(start_s for start_s, _ in times[1:]), None][: len(rows)]
    lines: list[SubtitleLine] = []
    dropped = 0
    for row, (start_s, end_s), next_s in zip(rows, times, following, strict=True):
        written = row.get("text", row.get("line"))
        spoken = plain_text(written) if isinstance(written, str) else ""
        end_s = next_s if end_s is None else end_s
        if start_s is None or end_s is None or not max(0.0, start_s) < end_s:
            dropped += 1
        elif spoken:
            lines.append(SubtitleLine(Interval(max(0.0, start_s), end_s), spoken))
    return sorted(lines, key=lambda line: line.interval), dropped


def _row_times(row: dict[str, Any]) -> tuple[float | None, float | None]:
    pair = row.get("timestamp", (row.get("start"), row.get("end")))
    start, end = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (None, None)
    return parse_time(str(start)), parse_time(str(end))


def _parse_ass(text: str) -> tuple[list[SubtitleLine], int]:
    """Parse the `Dialogue` events of Advanced SubStation; comments are left out."""
    fields = [name.strip() for name in _ASS_FIELDS.split(",")]
    section = ""
    lines: list[SubtitleLine] = []
    dropped = 0
    for row in re.split(r"\r\n|\r|\n", text):
        kind, _, rest = row.partition(":")
        kind = kind.strip().lower()
        if row.startswith("["):
            section = row.strip().lower()
        elif section == "[events]" and kind == "format":
            fields = [name.strip() for name in rest.split(",")]
        elif section == "[events]" and kind == "dialogue":
            event = dict(zip(fields, rest.split(",", len(fields) - 1), strict=False))
            interval = _interval(f"{event.get('Start', '')} --> {event.get('End', '')}")
            spoken = ass_text(event.get("Text", ""))
            dropped += interval is None
            if interval is not None and spoken:
                lines.append(SubtitleLine(interval, spoken))
    return sorted(lines, key=lambda line: line.interval), dropped


def plain_text(marked_up: str) -> str:
    """Remove markup tags, resolve character entities and collapse white space into one line, cut to `MAX_CUE_CHARS`."""
    untagged = _TAG.sub(_break_or_nothing, marked_up.replace("\\N", " "))
    return " ".join(_ENTITY.sub(lambda entity: html.unescape(entity[0]), untagged).split())[:MAX_CUE_CHARS]


def ass_text(event: str) -> str:
    """Remove the markup of an event of Advanced SubStation: drawings, overrides, comments, its breaks and spaces."""
    return plain_text(_OVERRIDE.sub("", _DRAWING.sub("", event)).replace("\\n", " ").replace("\\h", " "))


def _break_or_nothing(tag: re.Match[str]) -> str:
    return " " if tag[0].lower().startswith("<br") else ""


def _interval(row: str) -> Interval | None:
    timing = _TIMING.match(row)
    if timing is None:
        return None
    start_s, end_s = max(0.0, _seconds(timing.groups()[:4])), _seconds(timing.groups()[4:])
    return Interval(start_s, end_s) if start_s < end_s else None


def _seconds(clock: tuple[str | None, ...]) -> float:
    sign, hours, minutes, seconds = clock
    after_s = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float((seconds or "0").replace(",", "."))
    return -after_s if sign else after_s


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
