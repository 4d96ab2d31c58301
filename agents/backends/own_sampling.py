"""A checkpoint's own sampling settings, by its `generation_config.json`, and the length of its replies."""

from pathlib import Path
from typing import Any

from agents.backends.sampling import Sampling
from vt_env.actions.thoughts import THOUGHT_END
from vt_env.errors import ConfigError

REPLY_TOKENS = 2048
"""Maximum length of a reply where the checkpoint names none."""
THINKING_REPLY_TOKENS = 8192
"""The same for chat templates that know thoughts, which count as part of the reply."""
SERVED_REPLY_TOKENS = 4096
"""The same for a server, whose template is not known."""


def own_sampling(
    model: str | Path, processor: Any = None, context_tokens: int | None = None, reply_tokens: int | None = None
) -> Sampling:
    """Read how a checkpoint asks to be sampled.

    Only what its file says counts, as in vLLM: transformers fills a missing `top_k` with 50 where it samples. As in
    transformers, a file that does not ask for sampling means greedy replies.

    Args:
        model: A checkpoint folder or hub name.
        processor: Its processor or tokenizer, whose chat template tells whether it thinks.
        context_tokens: Maximum sequence length; replies take a quarter of it at most.
        reply_tokens: Maximum length of a reply where the checkpoint names none and its template knows no thoughts;
            `None` for `REPLY_TOKENS`.
    """
    from transformers import GenerationConfig

    try:
        file: Any = GenerationConfig.from_pretrained(model)
    except OSError:
        file = GenerationConfig()
    template: Any = getattr(processor, "chat_template", None)
    longest = THINKING_REPLY_TOKENS if THOUGHT_END in str(template) else reply_tokens or REPLY_TOKENS
    length: int = file.max_new_tokens or _within(longest, context_tokens)
    if not file.do_sample:
        return Sampling(0.0, repetition_penalty=file.repetition_penalty, max_new_tokens=length)
    return Sampling(
        1.0 if file.temperature is None else file.temperature,
        file.top_p,
        # Files write "all" as 0 or -1.
        None if file.top_k is None else max(0, file.top_k),
        file.min_p,
        repetition_penalty=file.repetition_penalty,
        max_new_tokens=length,
    )


def served_sampling(context_tokens: int | None) -> Sampling:
    """Return what is sent to a server that was given no settings: the length of a reply alone."""
    return Sampling(max_new_tokens=_within(SERVED_REPLY_TOKENS, context_tokens))


def check_local(sampling: Sampling) -> None:
    """Refuse settings that an engine in this process does not have.

    Raises:
        ConfigError: There are fields for servers.
    """
    if sampling.extra:
        raise ConfigError(
            f"extra_body={sampling.extra_body}: only a server takes further fields; use a server or leave it out"
        )


def _within(length: int, context_tokens: int | None) -> int:
    return length if context_tokens is None else max(1, min(length, context_tokens // 4))
