"""Half surrogates: code points that are half of a character, which no file, request or tokenizer in UTF-8 can hold.

Servers send them where they cut a text inside an emoji; JSON can escape them, and Python keeps them in a `str`. A reply
that holds one is malformed, a journal escapes it, and what is sent or printed shows U+FFFD in its place.
"""

import re

_HALF = re.compile(r"[\ud800-\udfff]")


def is_valid_text(text: str) -> bool:
    """Tell whether a text can be encoded as UTF-8."""
    return _HALF.search(text) is None


def as_valid_text(text: str) -> str:
    """Return the text with U+FFFD in place of each half surrogate; a valid text comes back unchanged."""
    return _HALF.sub("\ufffd", text)
