"""How sure a model was of its answer: log-probabilities of the answer's own tokens.

VideoThinker (arXiv 2601.15724) takes the geometric mean of the answer's token probabilities. Which tokens these are is
not published; our choice is every token that holds a character of what `vt_env.actions.parse` reads as the answer,
without its tags, since tags are the same for all answers and would make every answer look sure.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from vt_env.actions.parse import parse_action
from vt_env.types import Answer

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def answer_span(text: str) -> tuple[int, int] | None:
    """Find the characters of the answer; `None` where the text is no answer."""
    if not isinstance(parse_action(text), Answer):
        return None
    match = _ANSWER.search(text)
    if match is None:
        return None
    inner = match[1]
    start = match.start(1) + len(inner) - len(inner.lstrip())
    return start, start + len(inner.strip())


def answer_logprob(
    logprobs: Sequence[float], end_of: Callable[[int], int], span: tuple[int, int] | None
) -> float | None:
    """Average the log-probabilities of the tokens that hold characters of the span.

    Args:
        logprobs: One a token.
        end_of: Length in characters of the text of the first so many tokens; never falls.
        span: Characters of the answer, as from `answer_span`.
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
    """Average log-probabilities; `None` for none."""
    return sum(logprobs) / len(logprobs) if logprobs else None
