"""Boundary between what a model thinks and what it says: the last `</think>`."""

import re

_THOUGHT_END = "</think>"


def after_thinking(text: str, tag: re.Pattern[str]) -> int:
    """Return the position behind the last `</think>` if a tag follows it, else 0.

    A tag inside a thought is thereby no tag, whether or not `<think>` was written, which some templates leave out. With
    no tag behind the thought the whole text counts, since some models write `</think>` behind their answer.

    Args:
        text: Reply of a model.
        tag: Pattern of the opening tags of actions.
    """
    end = text.rfind(_THOUGHT_END)
    start = end + len(_THOUGHT_END)
    return start if end >= 0 and tag.search(text, start) else 0


def split_thoughts(text: str) -> tuple[str, str]:
    """Split a reply at its last `</think>`: the thoughts without tags, and the rest."""
    thoughts, _, rest = text.rpartition(_THOUGHT_END)
    return thoughts.replace("<think>", ""), rest
