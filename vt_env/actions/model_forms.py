"""Forms in which models write calls, read through one table; each row names the source of its form.

| form | written by | source |
|---|---|---|
| `tagged_json` | Qwen2.5, Qwen3, Hermes; Qwen2.5-Coder (`<tools>`) | vLLM `hermes_tool_parser.py` |
| `function_tag` | Qwen3-Coder, Qwen3.5 | vLLM `parser/qwen3.py` |
| | Llama 3.1: `<function=name>{...}</function>` | Meta's Llama 3.1 prompt format |
| `function_attributes` | Qwen2.5-Coder: `<function name="..." arguments='{...}'/>` | our choice: seen in the talks |
| `glm` | GLM-4.5 to GLM-4.7 | vLLM `parser/glm47_moe.py` |
| `deepseek` | DeepSeek-V3, R1, V3.1 | vLLM `deepseekv3_tool_parser.py`, `deepseekv31_tool_parser.py` |
| `invoke_tag` | DeepSeek-V3.2, MiniMax-M2 | vLLM `parser/deepseek_v32.py`, `parser/minimax_m2.py` |
| `mistral` | Mistral, Ministral, Pixtral | vLLM `parser/mistral.py` |
| `gemma` | FunctionGemma, Gemma 4 | vLLM `functiongemma_tool_parser.py`, `parser/gemma4.py` |
| `python_tag_json` | Llama 3.1 | vLLM `llama_tool_parser.py` |
| `python_tag` | Llama 3.1, built-in tools | Meta's Llama 3.1 prompt format |
| `fenced_python` | Gemma 3 (`tool_code`) | Google, Function calling with Gemma |
| `tool_code` | Qwen-VL trained with ParaVT | ParaVT (arXiv 2605.20342), `paravt/eval/driver.py` |
| `pythonic` | Llama 3.2, Llama 4 | vLLM `pythonic_tool_parser.py`, `llama4_pythonic_tool_parser.py` |
| `fenced_json` | models without a call form of their own | our choice |
| `bare_json` | Llama 3 | vLLM `llama_tool_parser.py` |
| `in_answer` | small models: a call inside `<answer>` | our choice: it is never an answer |

The parsers are those of vLLM 0.32.0, in `vllm/tool_parsers` unless a folder is named;
`tests/vt_env/test_call_forms_vllm.py` compares the readings. A text is read whole or not at all. Fenced and bare JSON
and Python have no mark of their own, so they are read only where no tag of an action stands, and Python only where it
calls tools on offer.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from vt_env.actions import forms_json, forms_markup, forms_python
from vt_env.actions.call_json import Unreadable
from vt_env.actions.canonical import OPENING_TAG, call_beside_answer, too_many
from vt_env.actions.forms_json import CALL_OBJECT, FoundCalls
from vt_env.actions.forms_markup import TextArguments
from vt_env.actions.parsed_reply import CharSpan, ParsedAction
from vt_env.types import Malformed, ToolCall

CALL_TOKENS = re.compile(
    r"\[TOOL_CALLS\]|\[ARGS\]|\[CALL_ID\]|<\|python_tag\|>|<(start|end)_function_call>|<escape>|<\|tool_call>|<tool_call\|>|"
    r'<\|"\|>|<[|\uff5c]tool[\u2581_](calls?[\u2581_](begin|end)|sep)[|\uff5c]>|</?tool_call>|</?arg_(key|value)>'
)
"""Tokens that mark calls and that some vocabulary holds as special ones."""
IN_ANSWER = "in_answer"
"""Form of a call that stands inside `<answer>`."""


@dataclass(frozen=True, slots=True)
class CallForm:
    """Form of calls."""

    name: str
    """As `ToolCall.form` and records name it."""
    mark: re.Pattern[str]
    """Where its first call begins."""
    read: Callable[[str, int, TextArguments], FoundCalls]
    """Reads all calls from a position on; raises `Unreadable`."""
    is_marked: bool = True
    """Whether the mark is a tag or a token; others are looked for only where no tag of an action stands."""
    is_python: bool = False
    """Whether only tools on offer may be called."""


def _plain(read: Callable[[str, int], FoundCalls]) -> Callable[[str, int, TextArguments], FoundCalls]:
    return lambda text, start, texts: read(text, start)


FORMS: tuple[CallForm, ...] = (
    CallForm(
        "tagged_json",
        re.compile(r"<(?:tool_call|tool_calls|tools|function_call)>\s*(?:```\w*\s*)?[\[{]"),
        _plain(forms_json.read_tagged),
    ),
    CallForm("function_tag", re.compile(r"(?:<tool_call>\s*)?<function="), forms_markup.read_functions),
    CallForm(
        "function_attributes",
        re.compile(r"(?:<(?:tools|tool_call)>\s*)?<function\s+name="),
        _plain(forms_markup.read_attributes),
    ),
    CallForm("glm", re.compile(r"<tool_call>\s*[A-Za-z][\w.-]*\s*(?:<arg_key>|</tool_call>)"), forms_markup.read_glm),
    CallForm(
        "deepseek",
        re.compile(r"<[|\uff5c]tool[\u2581_]calls?[\u2581_]begin[|\uff5c]>"),
        _plain(forms_json.read_deepseek),
    ),
    CallForm(
        "invoke_tag",
        re.compile(
            r"(?:<(?:\uff5cDSML\uff5c|minimax:)?(?:function_calls|tool_calls?)>\s*)?<(?:\uff5cDSML\uff5c)?invoke "
        ),
        forms_markup.read_invokes,
    ),
    CallForm("mistral", re.compile(r"\[TOOL_CALLS\]"), _plain(forms_json.read_mistral)),
    CallForm("gemma", re.compile(r"(?:<start_function_call>|<\|tool_call>)\s*call:"), forms_markup.read_gemma),
    CallForm("python_tag_json", re.compile(r"<\|python_tag\|>\s*[\[{]"), _plain(forms_json.read_python_tag)),
    CallForm(
        "python_tag", re.compile(r"<\|python_tag\|>\s*[A-Za-z]"), _plain(forms_python.read_tagged), is_python=True
    ),
    CallForm("tool_code", re.compile(r"<tool_code>\s*[\[A-Za-z]"), _plain(forms_python.read_tool_code), is_python=True),
    CallForm(
        "fenced_python",
        re.compile(r"```(?:tool_code|python|py)[ \t]*\n"),
        _plain(forms_python.read_fenced),
        is_marked=False,
        is_python=True,
    ),
    CallForm(
        "pythonic",
        re.compile(r"\[\s*[A-Za-z][\w.]*\s*\("),
        _plain(forms_python.read_list),
        is_marked=False,
        is_python=True,
    ),
    CallForm(
        "fenced_json",
        re.compile(rf"```\w*\s*(?:\[\s*)?{CALL_OBJECT}"),
        _plain(forms_json.read_bare),
        is_marked=False,
    ),
    CallForm("bare_json", re.compile(rf"(?:\[\s*)?{CALL_OBJECT}"), _plain(forms_json.read_bare), is_marked=False),
)
"""In the order in which they are tried; the table above names the source of each."""
_MARKS = "|".join(f"(?:{it.mark.pattern})" for it in FORMS if it.is_marked)
FIRST_MARK = re.compile(rf"{_MARKS}|{CALL_OBJECT}")
"""Start of a call in any of the forms but unmarked Python, which prose may look like."""
_CALL_IN_ANSWER = re.compile(rf'{_MARKS}|\{{\s*"(?:name|function|arguments|parameters)"\s*:')


def read_forms(
    text: str,
    start: int,
    tools: Collection[str],
    texts: TextArguments,
    *,
    max_calls: int | None,
    has_tags: bool,
) -> tuple[ParsedAction, ...] | None:
    """Read the calls of a reply in the first form that fits; never raises.

    Args:
        text: Reply of a model, valid Unicode.
        start: Position from which marks count.
        tools: Names of tools that Python may call.
        texts: Names of a tool's arguments that are texts, which some forms do not tell.
        max_calls: Calls that a reply may hold; `None` sets no limit.
        has_tags: Whether a tag of an action stands in the text.

    Returns:
        The calls, or one malformed action; `None` where no form is there, and where a tag of an action stands in the
        text and no form fits.
    """
    refused: Unreadable | None = None
    for form in FORMS:
        mark = None if has_tags and not form.is_marked else form.mark.search(text, start)
        if mark is None:
            continue
        try:
            calls = form.read(text, mark.start(), texts)
            if calls and not (form.is_python and any(call.name not in tools for call, _ in calls)):
                _check_count(text, start, calls, max_calls)
                return tuple(_parsed(text, mark.start(), number, it, form) for number, it in enumerate(calls))
        except _Refused as reason:
            return (ParsedAction(Malformed(text, str(reason)), None),)
        except Unreadable as reason:
            refused = refused or (reason if form.is_marked else None)
    # Where a tag of ours stands, its own reader says what is wrong.
    is_told = refused is None or has_tags
    return None if is_told else (ParsedAction(Malformed(text, f"{refused}"), None),)


def is_call(text: str, tools: Collection[str]) -> bool:
    """Tell whether a text that stands for an answer is a call, or the start of one, in any form."""
    if OPENING_TAG.search(text) or _CALL_IN_ANSWER.search(text):
        return True
    return any(re.match(rf"[\W_]*{re.escape(name)}\s*\(", text) for name in tools)


class _Refused(Exception):
    """Calls that can be read and may not stand together."""


def _check_count(text: str, start: int, calls: FoundCalls, max_calls: int | None) -> None:
    if max_calls is not None and len(calls) > max_calls:
        raise _Refused(str(too_many(max_calls)))
    inside = [span for _, span in calls]
    for tag in OPENING_TAG.finditer(text, start):
        if tag[1] == "answer" and not any(first <= tag.start() < last for first, last in inside):
            raise _Refused(str(call_beside_answer(max_calls)))


def _parsed(text: str, first: int, number: int, found: tuple[ToolCall, CharSpan], form: CallForm) -> ParsedAction:
    call, span = found
    thought = text[:first].strip() if number == 0 else ""
    return ParsedAction(replace(call, thought=thought, form=form.name), span)
