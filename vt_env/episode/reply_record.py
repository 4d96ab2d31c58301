"""Metadata of a model's reply: finish reason, tokens, log-probabilities, seconds, cost.

Backends measure these; nothing in `vt_env` reads a clock. A value that a backend does not report is `None`, never 0.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = ["GateRecord", "ReplyEnd", "ReplyRecord", "TokenUse", "token_use"]


class ReplyEnd(StrEnum):
    """Finish reason of a reply."""

    STOP = "stop"
    """By itself."""
    LENGTH = "length"
    """Cut at the limit of new tokens."""
    CONTEXT = "context"
    """The conversation no longer fitted the model's context: there is no reply, and the episode ends."""
    REFUSED = "refused"
    """The model or a filter before it declined."""


@dataclass(frozen=True, slots=True)
class ReplyRecord:
    """One reply of a language model."""

    ended: ReplyEnd = ReplyEnd.STOP
    prompt_tokens: int | None = None
    """Length of everything the model read for this reply, earlier turns and images included."""
    image_tokens: int | None = None
    """Image tokens among them."""
    completion_tokens: int | None = None
    """Length of the reply, its end-of-turn token included where the backend counts it."""
    mean_logprob: float | None = None
    """Mean natural log-probability of the reply's tokens, under the distribution at temperature 1."""
    answer_logprob: float | None = None
    """The same over the tokens of the answer alone; `None` where the reply holds no answer."""
    seed: int | None = None
    """Seed with which it was sampled."""
    cost_usd: float = 0.0
    """By the prices that the server's configuration gives."""
    latency_s: float | None = None
    """Seconds from asking to the whole reply. In a batch these are the batch's. Differs from run to run."""
    reasoning: str = ""
    """Thoughts that a server returned apart from the text; empty where they are part of it."""

    @property
    def confidence(self) -> float | None:
        """`exp` of `answer_logprob`: the geometric mean of the answer's token probabilities (arXiv 2601.15724)."""
        return None if self.answer_logprob is None else math.exp(self.answer_logprob)

    def without_times(self) -> "ReplyRecord":
        """Return it without what a clock measured."""
        return replace(self, latency_s=None)


@dataclass(frozen=True, slots=True)
class GateRecord:
    """Decision of a confidence gate before the turn that holds this record."""

    route: str
    """Source of the frames of the direct answer: `"uniform"` or `"retrieval"`."""
    text: str
    """The direct answer, as it was written."""
    confidence: float | None
    """Its confidence; `None` where it holds no answer, which counts as 0."""
    tau: float
    """Threshold of the confidence."""
    accepted: bool
    """Whether the direct answer was given; otherwise the tools took over."""
    reply: ReplyRecord | None = None
    """The direct answer's own record. Where it was accepted, the turn's `reply` is the same one."""


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Tokens of one episode by role. What stands in the conversation is counted once, however often it was read."""

    question: int
    """System text, tool descriptions and the question."""
    results: int
    """Tool results and what a script wrote in the model's place."""
    images: int | None
    """Images; `None` where the backend does not tell them apart, and they are in the two above."""
    replies: int
    """What the model wrote, a direct answer that a gate turned down included."""
    read: int
    """Sum of the prompts over all requests: what a backend without a prefix cache computes."""


def token_use(replies: list[ReplyRecord], turned_down: list[ReplyRecord]) -> TokenUse | None:
    """Sum up an episode.

    Args:
        replies: Those of the conversation, in order.
        turned_down: Direct answers that did not become part of it.

    Returns:
        The sums; `None` where no backend has counted.
    """
    counted = [it for it in replies if it.prompt_tokens is not None and it.completion_tokens is not None]
    every = [*counted, *(it for it in turned_down if it.prompt_tokens is not None)]
    if not every:
        return None
    is_known = all(it.image_tokens is not None for it in every)
    texts = [(it.prompt_tokens or 0) - (it.image_tokens or 0 if is_known else 0) for it in counted]
    writes = [it.completion_tokens or 0 for it in counted]
    added = [now - before - wrote for before, now, wrote in zip(texts, texts[1:], writes, strict=False)]
    return TokenUse(
        question=texts[0] if texts else 0,
        # A server may render earlier turns shorter later on, such as without their thoughts.
        results=sum(max(0, tokens) for tokens in added),
        images=max((it.image_tokens or 0 for it in every), default=0) if is_known else None,
        replies=sum(writes) + sum(it.completion_tokens or 0 for it in turned_down),
        read=sum(it.prompt_tokens or 0 for it in every),
    )
