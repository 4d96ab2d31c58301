"""Tables of the errors of captions, as lines of Markdown."""

from collections.abc import Iterator

from experiments.analysis.caption_errors import CaptionErrors, shares_of
from vt_env.markdown import markdown_table


def caption_error_table(found: CaptionErrors) -> Iterator[str]:
    """Yield the share of exact captions, and the errors by kind of word."""
    low, high = found.exact_ci95
    counted = f"n = {found.clips} clips, {found.videos} videos"
    yield f"Exact captions: {found.exact:.3f} [{low:.3f}, {high:.3f}] ({counted})."
    yield ""
    rows = ([it.kind, it.n, *(f"{value:.3f}" for value in shares_of(it))] for it in found.kinds)
    yield from markdown_table(("kind", "words", "right", "wrong", "missing", "invented"), rows)


def caption_word_table(found: CaptionErrors, count: int) -> Iterator[str]:
    """Yield the words with most errors, and what was written in their place.

    Args:
        found: The errors.
        count: Number of words.
    """
    yield from markdown_table(("word", "n", "right", "most often written instead"), _word_rows(found, count))


def _word_rows(found: CaptionErrors, count: int) -> Iterator[list[object]]:
    errors = {word: sum(of.values()) - of.get(word, 0) for word, of in found.words.items()}
    for word in sorted(errors, key=lambda it: (-errors[it], it))[:count]:
        of = found.words[word]
        others = [f"{it or '(nothing)'} {number}" for it, number in of.items() if it != word][:3]
        yield [word, sum(of.values()), f"{of.get(word, 0) / sum(of.values()):.3f}", ", ".join(others) or "-"]
