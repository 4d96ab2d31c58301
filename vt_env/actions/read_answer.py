"""Matching of an answer to one of the options.

Pure and strict: an answer that cannot be read is wrong and counted as such, never a guess.

Accepted, with any case, spacing and trailing punctuation: the text of an option; its letter as `B`, `(B)`, `B.`, `B)`
or `option B`; letter and text together. A text that is an option is always read as that option, so an option that is
itself a letter or a number means itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vt_env.control_tokens import as_plain_text
from vt_env.gold import Gold
from vt_env.types import Item
from vt_env.valid_text import normalised

_LETTER = re.compile(
    r"(?P<word>option\s+)?(?:\((?P<enclosed>[a-z])\)|(?P<bare>[a-z])(?![a-z0-9])(?P<mark>\s*[.):])?)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_TRAILING = ".,;:!?"


class AnswerStatus(StrEnum):
    """Outcome of matching an answer to the options."""

    MATCHED = "matched"
    """As exactly one option."""
    AMBIGUOUS = "ambiguous"
    """As more than one option, or its letter and its text disagree."""
    UNPARSED = "unparsed"
    """As no option."""


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """Result of matching an answer to the options."""

    option_idx: int | None
    """Position of the option; `None` unless the status is `MATCHED`."""
    status: AnswerStatus


def read_answer(text: str, options: Sequence[str]) -> ReadAnswer:
    """Read `text` as one of `options`; never raises."""
    as_text = _options_named(text, options)
    if as_text:
        return _read(as_text)
    match = _LETTER.fullmatch(text.strip())
    if match is None:
        return _read(set())
    letter_idx = ord((match["enclosed"] or match["bare"]).upper()) - ord("A")
    as_letter = {letter_idx} if letter_idx < len(options) else set[int]()
    rest = match["rest"].strip(_TRAILING + " ")
    if not rest:
        return _read(as_letter)
    if not (match["word"] or match["enclosed"] or match["mark"]):
        return _read(set())
    # Letter and words must mean the same option; words that are no option contradict every letter.
    as_words = _options_named(match["rest"], options)
    if as_letter and as_letter == as_words:
        return _read(as_letter)
    return ReadAnswer(None, AnswerStatus.AMBIGUOUS if as_letter | as_words else AnswerStatus.UNPARSED)


def is_correct(text: str, item: Item, gold: Gold) -> bool:
    """Tell whether `text` is read as the right option."""
    return read_answer(text, item.options).option_idx == gold.answer_idx


def _read(found: set[int]) -> ReadAnswer:
    if len(found) == 1:
        return ReadAnswer(min(found), AnswerStatus.MATCHED)
    return ReadAnswer(None, AnswerStatus.AMBIGUOUS if found else AnswerStatus.UNPARSED)


def _options_named(text: str, options: Sequence[str]) -> set[int]:
    """Return the positions of the options with this text: exact ones if there are any, else those that read alike."""
    for form in (str, str.strip, plain_text):
        wanted = form(text)
        found = {idx for idx, option in enumerate(options) if wanted and form(option) == wanted}
        if found:
            return found
    return set()


def plain_text(text: str) -> str:
    """Return what is compared of a text that is not written exactly as an option: no case, spacing or last mark."""
    # A policy read the option as plain text and may copy it as it stood there.
    folded = normalised(as_plain_text(text), "NFC").casefold()
    return " ".join(folded.split()).rstrip(_TRAILING + " ")
