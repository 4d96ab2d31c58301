"""The answer as a call: `answer(option="B")`, offered where the prompt set says so. An extension.

Readers and episodes take a call of it for the answer that it holds, so that everything behind them knows one kind of
answer.
"""

from collections.abc import Collection, Mapping

from vt_env.actions.parsed_reply import ParsedAction
from vt_env.types import Action, Answer, Malformed, ToolCall

NAME, OPTION = "answer", "option"


def is_offered(tools: Mapping[str, Collection[str]]) -> bool:
    """Tell whether a policy answers by the tool.

    Args:
        tools: Names of the arguments of each tool on offer.
    """
    return set(tools.get(NAME, ())) == {OPTION}


def as_answer(action: Action, text: str = "") -> Action:
    """Return the answer that a call of the tool holds; any other action is returned as it is.

    Args:
        action: An action of a policy to which the tool is offered.
        text: The reply, for a call that holds no answer, which is malformed.
    """
    if not isinstance(action, ToolCall) or action.name != NAME:
        return action
    option = action.arguments.get(OPTION)
    if isinstance(option, str) and option.strip():
        return Answer(option.strip(), action.thought, action.form)
    return Malformed(text, 'answer needs option, the letter of the option; call it as answer(option="B")')


def parsed_answer(text: str, found: ParsedAction) -> ParsedAction:
    """Return what was read as `as_answer` does; the span of an answer is that of its option."""
    action = as_answer(found.action, text)
    if not isinstance(action, Answer) or found.span is None or action is found.action:
        return ParsedAction(action, None if isinstance(action, Malformed) else found.span)
    start = text.rfind(action.text, *found.span)
    return ParsedAction(action, found.span if start < 0 else (start, start + len(action.text)))
