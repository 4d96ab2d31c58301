"""Spans of video that a message names as its evidence. Our choice: the paper and the benchmarks define no such form.

`05:20-05:40`, `1:02:03 to 1:02:10` and the same with a long dash are read, inside `<evidence>` tags where the message
has them and anywhere in it otherwise. Bare numbers of seconds are read inside the tags alone, since elsewhere they may
be anything. A reversed span is kept as it stands; what measures it decides.
"""

import re

from vt_env.benchmarks.readers.rows import Span
from vt_env.types import parse_time

_TAGGED = re.compile(r"<evidence>(.*?)</evidence>", re.DOTALL | re.IGNORECASE)
_CLOCK = r"(?<![\d:.])((?:\d{1,3}:)?\d{1,3}:\d{2}(?:\.\d{1,3})?)"
_SECONDS = r"(?<![\d:.])(\d{1,6}(?:\.\d{1,3})?)"
_END = r"(?![\d:])"
_BETWEEN = "\\s?(?:-|\u2013|\u2014|to|,)\\s?"
_CLOCKS = re.compile(f"{_CLOCK}{_BETWEEN}{_CLOCK}{_END}")
_ANY = re.compile(f"(?:{_CLOCK}|{_SECONDS}){_BETWEEN}(?:{_CLOCK}|{_SECONDS}){_END}")


def cited_spans(message: str) -> tuple[Span, ...]:
    """Read the spans that a message names, in the order in which it does; see the top of this module."""
    # Without a closing tag the search for one would start again at each of many opening tags.
    tagged = _TAGGED.findall(message) if "</evidence>" in message.lower() else []
    form, texts = (_ANY, tagged) if tagged else (_CLOCKS, [message])
    found = [match for text in texts for match in form.finditer(text)]
    pairs = [[parse_time(mark) for mark in match.groups() if mark] for match in found]
    return tuple((start, end) for start, end in pairs if start is not None and end is not None)
