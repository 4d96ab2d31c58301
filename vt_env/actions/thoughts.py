"""Boundary between what a model thinks and what it says: the last `</think>`, or what stands for it.

Most models write `<think>`; `<thinking>`, Kimi-VL's `◁think▷` and Mistral's `[THINK]` are the same.
"""

import re

THOUGHT_END = "</think>"
UNCLOSED_THOUGHT = "<think>"
"""Text of a reply whose whole length is a thought that is kept elsewhere; it reads as malformed."""
_START = re.compile(r"<think(?:ing)?>|◁think▷|\[THINK\]")
_END = re.compile(r"</think(?:ing)?>|◁/think▷|\[/THINK\]")


def after_thinking(text: str, tag: re.Pattern[str]) -> int:
    """Return the position behind the last `</think>` if a tag follows it, else 0.

    A tag inside a thought is thereby no tag, whether or not `<think>` was written, which some templates leave out. With
    no tag behind the thought the whole text counts, since some models write `</think>` behind their answer.

    Args:
        text: Reply of a model.
        tag: Pattern of the opening tags of actions.
    """
    end = _last_end(text)
    return end[1] if end is not None and tag.search(text, end[1]) else 0


def split_thoughts(text: str) -> tuple[str, str]:
    """Split a reply at its last `</think>`: the thoughts without tags, and the rest."""
    start, end = _last_end(text) or (0, 0)
    return _START.sub("", text[:start]), text[end:]


def is_unclosed(text: str) -> bool:
    """Tell whether a reply begins with a thought that it never closes: all of it is thought."""
    return _begins_with_thought(text) and _last_end(text) is None


def said_text(text: str) -> str:
    """Return a reply without its thoughts; nothing if it is thoughts alone.

    Text before a `</think>` that ends the reply counts as said unless it begins with `<think>`.
    """
    thoughts, said = split_thoughts(text)
    is_thought = _begins_with_thought(text)
    return "" if is_thought and not thoughts else said.strip() or ("" if is_thought else thoughts.strip())


def _begins_with_thought(text: str) -> bool:
    return _START.match(text.lstrip()) is not None


def _last_end(text: str) -> tuple[int, int] | None:
    """Return where the last end of a thought stands; `None` if there is none."""
    spans = [found.span() for found in _END.finditer(text)]
    return spans[-1] if spans else None
