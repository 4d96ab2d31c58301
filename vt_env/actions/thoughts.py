"""Boundary between what a model thinks and what it says: the last `</think>`."""

import re

_THOUGHT_START, THOUGHT_END = "<think>", "</think>"
UNCLOSED_THOUGHT = _THOUGHT_START
"""Text of a reply whose whole length is a thought that is kept elsewhere; it reads as malformed."""


def after_thinking(text: str, tag: re.Pattern[str]) -> int:
    """Return the position behind the last `</think>` if a tag follows it, else 0.

    A tag inside a thought is thereby no tag, whether or not `<think>` was written, which some templates leave out. With
    no tag behind the thought the whole text counts, since some models write `</think>` behind their answer.

    Args:
        text: Reply of a model.
        tag: Pattern of the opening tags of actions.
    """
    end = text.rfind(THOUGHT_END)
    start = end + len(THOUGHT_END)
    return start if end >= 0 and tag.search(text, start) else 0


def split_thoughts(text: str) -> tuple[str, str]:
    """Split a reply at its last `</think>`: the thoughts without tags, and the rest."""
    thoughts, _, rest = text.rpartition(THOUGHT_END)
    return thoughts.replace(_THOUGHT_START, ""), rest


def is_unclosed(text: str) -> bool:
    """Tell whether a reply begins with a thought that it never closes: all of it is thought."""
    return text.lstrip().startswith(_THOUGHT_START) and THOUGHT_END not in text


def said_text(text: str) -> str:
    """Return a reply without its thoughts; nothing if it is thoughts alone.

    Text before a `</think>` that ends the reply counts as said unless it begins with `<think>`.
    """
    thoughts, said = split_thoughts(text)
    is_thought = text.lstrip().startswith(_THOUGHT_START)
    return "" if is_thought and not thoughts else said.strip() or ("" if is_thought else thoughts.strip())
