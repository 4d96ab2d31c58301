"""The canonical form of actions: `<tool_call>` around JSON, `<answer>` around an option. `parse` writes it.

One text holds one or more calls, or one answer: a call and an answer are malformed, and so is text with neither. A text
is read whole or not at all, so one call that cannot be read makes all of them malformed. Tags inside
`<think>...</think>` do not count. Knows the form of calls, not which tools exist.
"""

import re
from dataclasses import dataclass

from vt_env.actions.call_json import Unreadable, decode_value, read_own_call, skip_space
from vt_env.actions.parsed_reply import ParsedAction
from vt_env.types import Answer, Malformed
from vt_env.valid_text import is_valid_text

OPENING_TAG = re.compile(r"<(tool_call|answer)>")
"""Start of an action."""
_CLOSING_CALL = "</tool_call>"
_FORM = '<tool_call>{"name": ..., "arguments": {...}}</tool_call> or <answer>the option</answer>'


def read_canonical(text: str, start: int = 0, max_calls: int | None = 1) -> tuple[ParsedAction, ...]:
    """Read the actions of a text in canonical form; never raises.

    A call whose closing tag is missing is accepted if it is the last and its JSON is complete, since generation often
    stops there. An answer without its closing tag is malformed, since it may have been cut. Times (arguments whose
    names end in `_s`) are read into seconds; values are not checked any further.

    Args:
        text: Reply of a model.
        start: Position from which tags count, see `vt_env.actions.thoughts.after_thinking`.
        max_calls: Calls that a reply may hold; `None` sets no limit.

    Returns:
        The calls in their order, or one answer or malformed action.
    """
    try:
        if not is_valid_text(text):
            raise Unreadable("the text is not valid Unicode")
        opening = OPENING_TAG.search(text, start)
        if opening is None:
            raise Unreadable(f"neither a call nor an answer; write {_FORM}")
        if opening[1] == "answer":
            return (_read_answer(text, opening, max_calls),)
        return tuple(_read_calls(text, opening, max_calls))
    except Unreadable as reason:
        return (ParsedAction(Malformed(text, str(reason)), None),)


def too_many(max_calls: int) -> Unreadable:
    """Say that a reply holds more calls than it may."""
    if max_calls == 1:
        return Unreadable("more than one call or answer; write exactly one")
    return Unreadable(f"more than {max_calls} calls in one reply; write {max_calls} or fewer")


def call_beside_answer(max_calls: int | None) -> Unreadable:
    """Say that a reply holds more than one answer, or a call beside an answer."""
    if max_calls == 1:
        return too_many(1)
    return Unreadable("a call or another answer beside an answer; write calls or one answer, never both")


def _read_answer(text: str, opening: re.Match[str], max_calls: int | None) -> ParsedAction:
    start = opening.end()
    if OPENING_TAG.search(text, start):
        raise call_beside_answer(max_calls)
    end = text.find("</answer>", start)
    if end < 0:
        raise Unreadable("the answer does not end; write <answer>the option</answer>")
    answer = text[start:end].strip()
    if not answer:
        raise Unreadable("the answer is empty; write <answer>the option</answer>")
    start = text.index(answer, start)
    return ParsedAction(Answer(answer, text[: opening.start()].strip()), (start, start + len(answer)))


@dataclass(frozen=True, slots=True)
class _Written:
    value: object
    span: tuple[int, int]
    thought: str


def _read_calls(text: str, opening: re.Match[str] | None, max_calls: int | None) -> list[ParsedAction]:
    written: list[_Written] = []
    thought_from = 0
    while opening is not None:
        start = skip_space(text, opening.end())
        try:
            value, end = decode_value(text, start)
        except ValueError:
            raise Unreadable('the call is not JSON; write {"name": ..., "arguments": {...}}') from None
        closing = skip_space(text, end)
        if closing < len(text) and not text.startswith(_CLOSING_CALL, closing):
            raise Unreadable("there is text after the JSON of the call; close it with </tool_call>")
        written.append(_Written(value, (start, end), text[thought_from : opening.start()].strip()))
        opening = OPENING_TAG.search(text, end)
        if opening is not None and max_calls is not None and len(written) >= max_calls:
            raise too_many(max_calls)
        if opening is not None and opening[1] == "answer":
            raise call_beside_answer(max_calls)
        thought_from = closing + len(_CLOSING_CALL)
    return [ParsedAction(read_own_call(it.value, it.thought), it.span) for it in written]
