"""Lines of an observation that name an interval: records of clips, subtitles and captions, and a parser of their text.

They have one form in all prompt sets. Agents get the records in `Observation.lines`; the parser is for recorded texts.
"""

import re
from collections.abc import Iterable

from vt_env.control_tokens import as_plain_text
from vt_env.types import Interval, ScoredInterval, SubtitleLine, TimedLine, parse_time

_LINE = re.compile(r"^((?:#\d+ )?(\d+:\d\d)-(\d+:\d\d)) (\S.*)$", re.MULTILINE)
_CLIP = re.compile(r"(?P<score>-?\d+(?:\.\d+)?)(?: \((?P<sources>[^()]+)\))?")


def clip_lines(clips: Iterable[ScoredInterval], *, named: bool = False) -> tuple[TimedLine, ...]:
    """Make the lines of retrieved clips, the best first: rank and interval.

    Args:
        clips: The clips.
        named: Whether lines say what found them, as they do where a video is searched by more than one source.
    """
    ranked = ((f"#{rank} {clip.interval}", clip) for rank, clip in enumerate(clips, start=1))
    return tuple(
        TimedLine(_shown(clip.interval), "", head, float(f"{clip.score:.2f}"), clip.sources if named else ())
        for head, clip in ranked
    )


def spoken_lines(lines: Iterable[SubtitleLine]) -> tuple[TimedLine, ...]:
    """Make the lines of subtitles or captions: interval and text, with control tokens broken."""
    texts = ((line.interval, as_plain_text(" ".join(line.text.split()))) for line in lines)
    return tuple(TimedLine(_shown(interval), text, f"{interval} {text}") for interval, text in texts)


def full_line(line: TimedLine) -> str:
    """Return the line as an observation holds it, a clip's with its score and what found it."""
    scored = line.line if line.score is None else f"{line.line} {line.score:.2f}"
    return f"{scored} ({', '.join(line.sources)})" if line.sources else scored


def read_lines(text: str) -> tuple[TimedLine, ...]:
    """Read the lines of a recorded observation that name an interval, in their order."""
    lines: list[TimedLine] = []
    for match in _LINE.finditer(text):
        head, start, end, rest = match.groups()
        start_s, end_s = parse_time(start), parse_time(end)
        if start_s is not None and end_s is not None:
            interval = _shown(Interval(start_s, max(end_s, start_s + 1)))
            clip = _CLIP.fullmatch(rest) if head.startswith("#") else None
            lines.append(TimedLine(interval, rest, match[0]) if clip is None else _clip(interval, head, clip))
    return tuple(lines)


def _clip(interval: Interval, head: str, match: re.Match[str]) -> TimedLine:
    sources = tuple(match["sources"].split(", ")) if match["sources"] else ()
    return TimedLine(interval, "", head, float(match["score"]), sources)


def _shown(interval: Interval) -> Interval:
    # Both ends are shown rounded down, so a line that is shorter than a second names the same one twice.
    start_s, end_s = float(int(interval.start_s)), float(int(interval.end_s))
    return Interval(start_s, max(end_s, start_s + 1))
