"""Replies with calls as models write them: one writer a form."""

import json
from collections.abc import Callable, Sequence

from vt_env.types import ToolCall

Writer = Callable[[Sequence[ToolCall]], str]


def _arguments(call: ToolCall, key: str = "arguments") -> str:
    return json.dumps({"name": call.name, key: dict(call.arguments)}, ensure_ascii=False)


def _bare(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _each(write: Callable[[ToolCall], str], between: str = "\n", before: str = "", after: str = "") -> Writer:
    return lambda calls: f"{before}{between.join(map(write, calls))}{after}"


def _text_arguments(call: ToolCall) -> str:
    row = {"name": call.name, "arguments": json.dumps(dict(call.arguments))}
    return f"<tool_call>\n{json.dumps(row)}\n</tool_call>"


def _filled_schema(call: ToolCall) -> str:
    parameters = {"type": "object", "properties": dict(call.arguments), "required": list(call.arguments)[:1]}
    function = {"name": call.name, "description": "What it does.", "parameters": parameters}
    return f"<tools>\n{json.dumps({'type': 'function', 'function': function})}\n</tools>"


def _attributes(call: ToolCall) -> str:
    return f"<function name=\"{call.name}\" arguments='{json.dumps(dict(call.arguments))}'/>"


def _qwen3_coder(call: ToolCall) -> str:
    parts = [f"<parameter={key}>\n{_bare(it)}\n</parameter>\n" for key, it in call.arguments.items()]
    return f"<tool_call>\n<function={call.name}>\n{''.join(parts)}</function>\n</tool_call>"


def _glm(call: ToolCall) -> str:
    parts = [f"<arg_key>{key}</arg_key>\n<arg_value>{_bare(it)}</arg_value>\n" for key, it in call.arguments.items()]
    return f"<tool_call>{call.name}\n{''.join(parts)}</tool_call>"


def _deepseek_v3(call: ToolCall) -> str:
    fence = f"```json\n{json.dumps(dict(call.arguments), ensure_ascii=False)}\n```"
    return (
        f"<\uff5ctool\u2581call\u2581begin\uff5c>function<\uff5ctool\u2581sep\uff5c>{call.name}\n{fence}"
        "<\uff5ctool\u2581call\u2581end\uff5c>"
    )


def _deepseek_v31(call: ToolCall) -> str:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return (
        f"<\uff5ctool\u2581call\u2581begin\uff5c>{call.name}<\uff5ctool\u2581sep\uff5c>{arguments}"
        "<\uff5ctool\u2581call\u2581end\uff5c>"
    )


def _deepseek_v32(call: ToolCall) -> str:
    mark = "\uff5cDSML\uff5c"
    parts = [
        f'<{mark}parameter name="{key}" string="{str(isinstance(it, str)).lower()}">{_bare(it)}</{mark}parameter>\n'
        for key, it in call.arguments.items()
    ]
    return f'<{mark}invoke name="{call.name}">\n{"".join(parts)}</{mark}invoke>'


def _python(call: ToolCall) -> str:
    return f"{call.name}({', '.join(f'{key}={it!r}' for key, it in call.arguments.items())})"


def _gemma(quote: str, before: str, after: str, *, are_all_quoted: bool = False) -> Callable[[ToolCall], str]:
    def write_value(value: object) -> str:
        if are_all_quoted:
            return f"{quote}{_bare(value)}{quote}"
        if isinstance(value, list):
            return f"[{','.join(map(write_value, value))}]"
        return f"{quote}{value}{quote}" if isinstance(value, str) else json.dumps(value)

    def write(call: ToolCall) -> str:
        arguments = ",".join(f"{key}:{write_value(it)}" for key, it in call.arguments.items())
        return f"{before}call:{call.name}{{{arguments}}}{after}"

    return write


_DEEPSEEK = {"before": "<\uff5ctool\u2581calls\u2581begin\uff5c>", "after": "<\uff5ctool\u2581calls\u2581end\uff5c>"}
WRITERS: dict[str, tuple[str, Writer]] = {
    "qwen2.5": ("", _each(lambda it: f"<tool_call>\n{_arguments(it)}\n</tool_call>")),
    "qwen2.5-text-arguments": ("tagged_json", _each(_text_arguments)),
    "qwen2.5-coder": ("tagged_json", _each(_arguments, before="<tools>\n", after="\n</tools>")),
    "qwen2.5-coder-schema": ("tagged_json", _each(_filled_schema)),
    "qwen2.5-coder-attributes": (
        "function_attributes",
        _each(_attributes, before="<tools>\n", after="\n</tools>"),
    ),
    "qwen3-coder": ("function_tag", _each(_qwen3_coder)),
    "llama-3.1": ("bare_json", _each(lambda it: _arguments(it, "parameters"), "; ")),
    "llama-3.1-tag": ("python_tag_json", _each(lambda it: _arguments(it, "parameters"), "; ", "<|python_tag|>")),
    "llama-3.1-function": (
        "function_tag",
        _each(lambda it: f"<function={it.name}>{json.dumps(dict(it.arguments))}</function>"),
    ),
    "llama-3.2": ("pythonic", _each(_python, ", ", "[", "]")),
    "mistral": ("mistral", _each(_arguments, ", ", "[TOOL_CALLS][", "]")),
    "mistral-v11": (
        "mistral",
        _each(lambda it: f"[TOOL_CALLS]{it.name}[ARGS]{json.dumps(dict(it.arguments))}", ""),
    ),
    "gemma-3": ("fenced_python", _each(_python, "\n", "```tool_code\n", "\n```")),
    "functiongemma": (
        "gemma",
        _each(_gemma("<escape>", "<start_function_call>", "<end_function_call>"), ""),
    ),
    "functiongemma-quoted": (
        "gemma",
        _each(_gemma("<escape>", "<start_function_call>", "<end_function_call>", are_all_quoted=True), ""),
    ),
    "gemma-4": ("gemma", _each(_gemma('<|"|>', "<|tool_call>", "<tool_call|>"), "")),
    "glm-4.5": ("glm", _each(_glm)),
    "deepseek-v3": ("deepseek", _each(_deepseek_v3, "\n", **_DEEPSEEK)),
    "deepseek-v3.1": ("deepseek", _each(_deepseek_v31, "", **_DEEPSEEK)),
    "deepseek-v3.2": (
        "invoke_tag",
        _each(_deepseek_v32, "\n", "<\uff5cDSML\uff5cfunction_calls>\n", "\n</\uff5cDSML\uff5cfunction_calls>"),
    ),
    "paravt": ("tool_code", _each(_python, "\n", "<tool_code>\n", "\n</tool_code>")),
    "fenced": ("fenced_json", _each(_arguments, "\n", "```json\n", "\n```")),
    "openai": (
        "tagged_json",
        _each(lambda it: f'<tool_call>{{"type": "function", "function": {_arguments(it)}}}</tool_call>'),
    ),
}
"""Form as the reader names it and writer, by model."""
