"""Lines of an observation that name an interval: records of clips, subtitles and captions, and a parser of their text.

They have one form in all prompt sets. Agents get the records in `Observation.lines`; the parser is for recorded texts.
"""

import re
from collections.abc import Iterable

from vt_env.control_tokens import as_plain_text
from vt_env.types import Interval, ScoredInterval, SubtitleLine, TimedLine, parse_time

_LINE = re.compile(r"^((?:#\d+ )?(\d+:\d\d)-(\d+:\d\d)) (\S.*)$", re.MULTILINE)


def clip_lines(clips: Iterable[ScoredInterval]) -> tuple[TimedLine, ...]:
    """Make the lines of retrieved clips, the best first: rank and interval."""
    return tuple(
        TimedLine(_shown(clip.interval), "", f"#{rank} {clip.interval}", float(f"{clip.score:.2f}"))
        for rank, clip in enumerate(clips, start=1)
    )


def spoken_lines(lines: Iterable[SubtitleLine]) -> tuple[TimedLine, ...]:
    """Make the lines of subtitles or captions: interval and text, with control tokens broken."""
    texts = ((line.interval, as_plain_text(" ".join(line.text.split()))) for line in lines)
    return tuple(TimedLine(_shown(interval), text, f"{interval} {text}") for interval, text in texts)


def full_line(line: TimedLine) -> str:
    """Return the line as an observation holds it, a clip's with its score."""
    return line.line if line.score is None else f"{line.line} {line.score:.2f}"


def read_lines(text: str) -> tuple[TimedLine, ...]:
    """Read the lines of a recorded observation that name an interval, in their order."""
    lines: list[TimedLine] = []
    for match in _LINE.finditer(text):
        head, start, end, rest = match.groups()
        start_s, end_s = parse_time(start), parse_time(end)
        if start_s is not None and end_s is not None:
            interval = _shown(Interval(start_s, max(end_s, start_s + 1)))
            score = _score(rest) if head.startswith("#") else None
            lines.append(TimedLine(interval, rest, match[0]) if score is None else TimedLine(interval, "", head, score))
    return tuple(lines)


def _shown(interval: Interval) -> Interval:
    # Both ends are shown rounded down, so a line that is shorter than a second names the same one twice.
    start_s, end_s = float(int(interval.start_s)), float(int(interval.end_s))
    return Interval(start_s, max(end_s, start_s + 1))


def _score(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
