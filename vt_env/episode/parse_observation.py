"""Parser of observation lines that name an interval; inverse of `vt_env.prompts`."""

import re
from dataclasses import dataclass

from vt_env.types import Interval, parse_time

_LINE = re.compile(r"^((#\d+ )?(\d+:\d\d)-(\d+:\d\d)) (\S.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TimedText:
    """Line of an observation about an interval: a retrieved clip, a subtitle or a caption."""

    interval: Interval
    text: str
    """Text behind the interval."""
    line: str
    """The line as a thought copies it: whole, a clip's without its score."""


def read_lines(text: str) -> list[TimedText]:
    """Read the lines of an observation that name an interval, in their order."""
    lines: list[TimedText] = []
    for match in _LINE.finditer(text):
        head, rank, start, end, rest = match.groups()
        start_s, end_s = parse_time(start), parse_time(end)
        if start_s is not None and end_s is not None:
            # Both ends are rounded down, so a line that is shorter than a second names the same one twice.
            interval = Interval(start_s, max(end_s, start_s + 1))
            lines.append(TimedText(interval, rest, head if rank else match[0]))
    return lines
