"""The final answer in a whole reply of any harness, before it is read as an option.

More lenient about the form than `vt_env.actions.parse`, since no episode waits for the next turn: tags in any case,
several answers, and answers without a tag are accepted. Which option is meant is decided by `read_answer`.
"""

import re

from vt_env.actions.parse import parse_action
from vt_env.types import Answer

_HIDDEN = re.compile(
    r"<(think|thinking|tool_call|tool_response)>.*?(?:</\1>|\Z)"
    r"|◁think▷.*?(?:◁/think▷|\Z)|\[THINK\].*?(?:\[/THINK\]|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_BEFORE_ANSWER = re.compile(r"\A.*(?:</think(?:ing)?>|◁/think▷|\[/THINK\])", re.DOTALL | re.IGNORECASE)
_ANSWER_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_ANSWER_END = re.compile(r"</answer>", re.IGNORECASE)
_FINAL_ANSWER = re.compile(r"\bfinal answer\s*[:=]\s*([^\n]+)", re.IGNORECASE)
_ANSWER_LINE = re.compile(r"^[ \t*_]*answer[ \t]*[:=]([^\n]*)$", re.IGNORECASE | re.MULTILINE)
_EMPHASIS = " \t\r*_"


def final_answer(text: str) -> str:
    """Return the part of a reply that answers.

    Reasoning and tool calls are taken out. Then the last `<answer>` counts; without one, what follows the last "final
    answer:", or a line of its own that begins with "answer:"; without that, an answer in the form of another agent
    (`vt_env.actions.dialects`), else the whole rest.
    """
    visible = _BEFORE_ANSWER.sub("", _HIDDEN.sub("", text))
    # Behind the last closing tag the search for one would start again at each of many opening tags.
    end = max((it.end() for it in _ANSWER_END.finditer(visible)), default=0)
    tagged = _ANSWER_TAG.findall(visible, 0, end)
    lines = [it.strip(_EMPHASIS) for it in _ANSWER_LINE.findall(visible)]
    marked = tagged or _FINAL_ANSWER.findall(visible) or [it for it in lines if it]
    if marked:
        return marked[-1]
    action = parse_action(visible)
    return action.text if isinstance(action, Answer) else visible
