"""Tokenizer of the base for both worlds: a word and the space before it are one token.

With the space as a token of its own, the token before every word is the same one, so that the shortest way to copy
(write what followed the previous token last time) says nothing about words. docs/lab_log.md (2026-12-01) has the
measurement. There are also tokens for half seconds and for the words of the second world.
"""

from collections.abc import Iterator, Mapping, Sequence

from transformers import PreTrainedTokenizerFast

from experiments.tiny_model.tokenizer import THINGS, pieces, tokenizer_of
from vt_env.world2.vocabulary import NEW_WORDS

SPACE = "Ġ"
"""Name of the space's token in a byte-level vocabulary."""
DIGITS = tuple("0123456789")
REQUESTS = ("longest", "before")
"""Words of requests that no text of the worlds has."""
MARKS = ("0.", "1.", ".5")
"""Beginnings of scores, and the second half of a second."""
JOINED_SIZE = 1152
"""Number of embedding rows: the vocabulary, padded to a multiple of 64."""


def build_joined_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer; the same on every machine."""
    return tokenizer_of(_texts(), JOINED_SIZE)


def joined_parts() -> Mapping[str, Sequence[str]]:
    """Return the tokens that each composed token begins as the sum of, in an order in which parts come first.

    A name is its colour and its shape, a number with a mark is both, and a joined word is the word and the space. So
    the two tokens of a word begin alike, and one direction tells them apart.
    """
    words = set(_words())
    parts: dict[str, Sequence[str]] = {f"{colour} {shape}": (colour, shape) for colour, shape in THINGS}
    for word in sorted(words):
        if len(word) == 3 and word[:2].isdigit():
            parts[word] = (word[:2], word[2:])
    return {**parts, **{f" {word}": (word, SPACE) for word in sorted(words)}}


def _texts() -> list[str]:
    words = [*_words()]
    others = {text for text in pieces() if text not in words} | {*MARKS}
    return sorted(text for text in {*others, *words, *(f" {word}" for word in words)} if len(text) > 1)


def _words() -> Iterator[str]:
    """Yield the texts that may stand behind a space."""
    yield from sorted({*(text for text in pieces() if text[0].isalnum()), *NEW_WORDS, *REQUESTS, *DIGITS, "0.", "1."})
