"""Confidence of an answer: mean log-probability of its tokens.

VideoThinker (arXiv 2601.15724) takes the geometric mean of the answer's token probabilities. Which tokens these are is
not published; our choice is every token that overlaps the answer's text as `vt_env.actions.parse` finds it
(`ParsedReply.answer_span`). Tags are left out: they are the same for all answers and would raise every confidence.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from vt_env.actions.parsed_reply import CharSpan


def answer_logprob(logprobs: Sequence[float], end_of: Callable[[int], int], span: CharSpan | None) -> float | None:
    """Average the log-probabilities of the tokens that overlap the answer.

    Args:
        logprobs: Natural log-probability of each token.
        end_of: Length in characters of the text of the first `n` tokens; must not fall with `n`.
        span: Characters of the answer, as `ParsedReply.answer_span`.

    Returns:
        Mean log-probability; `None` without an answer or without log-probabilities.
    """
    if span is None or not logprobs:
        return None
    ends = range(1, len(logprobs) + 1)
    # The first token that ends behind the span's start, and the first that ends at or behind its end.
    first = bisect_right(ends, span[0], key=end_of)
    last = min(bisect_left(ends, span[1], key=end_of), len(logprobs) - 1)
    held = logprobs[first : last + 1]
    return mean(held) if held else None


def mean(logprobs: Sequence[float]) -> float | None:
    """Average log-probabilities; `None` for an empty sequence."""
    return sum(logprobs) / len(logprobs) if logprobs else None
