"""Parser of the video spans that a message cites as evidence.

Accepts `05:20-05:40`, `1:02:03 to 1:02:10` and dashes of any length, inside `<evidence>` tags if the message has them,
else anywhere. Plain seconds are accepted only inside the tags, since elsewhere any two numbers would match. Reversed
spans are kept; the metric decides. The format is our choice: neither the paper nor the benchmarks define one.
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
    """Return the spans that a message cites, in the order of the text."""
    # Without any closing tag, the lazy pattern would take quadratic time on many opening tags.
    tagged = _TAGGED.findall(message) if "</evidence>" in message.lower() else []
    form, texts = (_ANY, tagged) if tagged else (_CLOCKS, [message])
    found = [match for text in texts for match in form.finditer(text)]
    pairs = [[parse_time(mark) for mark in match.groups() if mark] for match in found]
    return tuple((start, end) for start, end in pairs if start is not None and end is not None)
