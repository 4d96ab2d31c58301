"""Texts that no writer means: halves of characters, and marks without end.

Half surrogates: code points that are half of a character, which no file, request or tokenizer in UTF-8 can hold.

Servers send them where they cut a text inside an emoji; JSON can escape them, and Python keeps them in a `str`. A reply
that holds one is malformed, a journal escapes it, and what is sent or printed shows U+FFFD in its place.

Runs of combining marks: sorting them takes quadratic time in every implementation of the normal forms.
"""

import re
import unicodedata
from typing import Literal

_HALF = re.compile(r"[\ud800-\udfff]")


_CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
_MAX_MARKS = 30
"""Maximum number of combining marks in a row (Unicode Standard Annex 15, section 13, Stream-Safe Text Format)."""
_LONG_RUN = re.compile(f"[\u0300-\U0010ffff]{{{_MAX_MARKS + 1},}}")
"""No combining mark is below U+0300."""


def normalised(text: str, form: Literal["NFC", "NFKC"]) -> str:
    """Return the normal form of a text in linear time; of more than 30 combining marks in a row the rest is dropped."""
    return unicodedata.normalize(form, _LONG_RUN.sub(_without_long_marks, text))


def _without_long_marks(run: re.Match[str]) -> str:
    kept: list[str] = []
    marks = 0
    for char in run[0]:
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        if marks <= _MAX_MARKS:
            kept.append(char)
    return "".join(kept)


def printable(text: str) -> str:
    """Return the text as a terminal shows it: controls, marks of writing direction and half surrogates are escaped."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def is_valid_text(text: str) -> bool:
    """Tell whether a text can be encoded as UTF-8."""
    return _HALF.search(text) is None


def as_valid_text(text: str) -> str:
    """Return the text with U+FFFD in place of each half surrogate; a valid text comes back unchanged."""
    return _HALF.sub("\ufffd", text)
