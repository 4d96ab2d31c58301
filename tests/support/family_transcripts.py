"""One episode as models of eight families write it, in the words of their published chat templates.

The texts are ours. The form of thoughts, calls and what stands between them is the family's, from the source that each
entry names; `tests/agents/test_family_transcripts.py` renders the templates that TRL ships and compares.

Every transcript is two groups of calls and an answer: a search and subtitles; a look, a look beyond the end of the
video, and a closer look.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vt_env.types import ToolCall

GROUPS: tuple[tuple[ToolCall, ...], ...] = (
    (
        ToolCall("clip_retrieval", {"query": "red square", "top_k": 2}),
        ToolCall("subtitle_retrieval", {"query": "code", "top_k": 1}),
    ),
    (
        ToolCall("frame_zoom", {"start_s": 320, "end_s": 330}),
        ToolCall("frame_zoom", {"start_s": 9000, "end_s": 9001}),
        ToolCall("spatial_zoom", {"time_s": 330, "box": [0, 0, 0.5, 1]}),
    ),
)
"""The calls of all transcripts."""


@dataclass(frozen=True)
class FamilyTranscript:
    """Replies of a model of one family."""

    family: str
    source: str
    """Where its form is published."""
    replies: Sequence[str]
    form: str
    """Form of the calls, as `vt_env.types.ToolCall.form` names it."""
    template: str = ""
    """Chat template that writes this, as TRL 1.16 names its file in `trl/chat_templates`; empty if it ships none."""
    response_template: str = ""
    """Its parser in `trl.chat_template_utils`; empty where TRL reads no calls of the family."""
    prefix: str = ""
    """What the chat template writes before a reply."""
    suffix: str = ""
    """What ends a turn."""


_TAGGED = (
    '<tool_call>\n{"name": "clip_retrieval", "arguments": {"query": "red square", "top_k": 2}}\n</tool_call>\n'
    '<tool_call>\n{"name": "subtitle_retrieval", "arguments": {"query": "code", "top_k": 1}}\n</tool_call>',
    '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": 320, "end_s": 330}}\n</tool_call>\n'
    '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": 9000, "end_s": 9001}}\n</tool_call>\n'
    '<tool_call>\n{"name": "spatial_zoom", "arguments": {"time_s": 330, "box": [0, 0, 0.5, 1]}}\n</tool_call>',
)
_QWEN = {"prefix": "<|im_start|>assistant\n", "suffix": "<|im_end|>\n"}

TRANSCRIPTS: tuple[FamilyTranscript, ...] = (
    FamilyTranscript(
        "Qwen2.5",
        "chat template of Qwen/Qwen2.5-7B-Instruct; TRL 1.16, chat_templates/qwen2_5.jinja",
        (f"I look.\n{_TAGGED[0]}", f"I look.\n{_TAGGED[1]}", "<answer>47</answer>"),
        "",
        "qwen2_5",
        "qwen3_template",
        **_QWEN,
    ),
    FamilyTranscript(
        "Qwen3",
        "chat template of Qwen/Qwen3-8B; TRL 1.16, chat_templates/qwen3.jinja",
        (
            f"<think>\nHm.\n</think>\n\nI look.\n{_TAGGED[0]}",
            f"<think>\nHm.\n</think>\n\nI look.\n{_TAGGED[1]}",
            "<think>\nIt is not <answer>12</answer>.\n</think>\n\n<answer>47</answer>",
        ),
        "",
        "qwen3",
        "qwen3_template",
        **_QWEN,
    ),
    FamilyTranscript(
        "Qwen3-Coder",
        "chat templates of Qwen/Qwen3-Coder-30B-A3B-Instruct and Qwen3.5; TRL 1.16, chat_templates/qwen3_5_think.jinja",
        (
            "Hm.\n</think>\n\nI look.\n\n<tool_call>\n<function=clip_retrieval>\n<parameter=query>\nred square\n"
            "</parameter>\n<parameter=top_k>\n2\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n"
            "<function=subtitle_retrieval>\n<parameter=query>\ncode\n</parameter>\n<parameter=top_k>\n1\n</parameter>\n"
            "</function>\n</tool_call>",
            "Hm.\n</think>\n\nI look.\n\n<tool_call>\n<function=frame_zoom>\n<parameter=start_s>\n320\n</parameter>\n"
            "<parameter=end_s>\n330\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=frame_zoom>\n"
            "<parameter=start_s>\n9000\n</parameter>\n<parameter=end_s>\n9001\n</parameter>\n</function>\n</tool_call>\n"
            "<tool_call>\n<function=spatial_zoom>\n<parameter=time_s>\n330\n</parameter>\n<parameter=box>\n"
            "[0, 0, 0.5, 1]\n</parameter>\n</function>\n</tool_call>",
            "Hm.\n</think>\n\n<answer>47</answer>",
        ),
        "function_tag",
        "qwen3_5_think",
        "qwen3_5_template",
        prefix="<|im_start|>assistant\n<think>\n",
        suffix="<|im_end|>\n",
    ),
    FamilyTranscript(
        "Llama 3",
        "Meta's Llama 3.1 prompt format (JSON-based tool calling), several calls as vLLM 0.32 reads them "
        "(tool_parsers/llama_tool_parser.py); TRL 1.16, chat_templates/llama3_1.jinja, which shows one call a reply",
        (
            '{"name": "clip_retrieval", "parameters": {"query": "red square", "top_k": 2}}; '
            '{"name": "subtitle_retrieval", "parameters": {"query": "code", "top_k": 1}}',
            '{"name": "frame_zoom", "parameters": {"start_s": 320, "end_s": 330}}; '
            '{"name": "frame_zoom", "parameters": {"start_s": 9000, "end_s": 9001}}; '
            '{"name": "spatial_zoom", "parameters": {"time_s": 330, "box": [0, 0, 0.5, 1]}}',
            "<answer>47</answer>",
        ),
        "bare_json",
        prefix="<|start_header_id|>assistant<|end_header_id|>\n\n",
        suffix="<|eot_id|>",
    ),
    FamilyTranscript(
        "Mistral",
        "mistral-common, tokens [TOOL_CALLS] and [ARGS] (tokenizer version 11); vLLM 0.32, parser/mistral.py",
        (
            '[TOOL_CALLS]clip_retrieval[ARGS]{"query": "red square", "top_k": 2}'
            '[TOOL_CALLS]subtitle_retrieval[ARGS]{"query": "code", "top_k": 1}',
            '[TOOL_CALLS]frame_zoom[ARGS]{"start_s": 320, "end_s": 330}'
            '[TOOL_CALLS]frame_zoom[ARGS]{"start_s": 9000, "end_s": 9001}'
            '[TOOL_CALLS]spatial_zoom[ARGS]{"time_s": 330, "box": [0, 0, 0.5, 1]}',
            "<answer>47</answer>",
        ),
        "mistral",
        suffix="</s>",
    ),
    FamilyTranscript(
        "Gemma",
        "chat template of Gemma 4; TRL 1.16, chat_templates/gemma4_v5.jinja",
        (
            '<|tool_call>call:clip_retrieval{query:<|"|>red square<|"|>,top_k:2}<tool_call|>'
            '<|tool_call>call:subtitle_retrieval{query:<|"|>code<|"|>,top_k:1}<tool_call|>I look.',
            "<|tool_call>call:frame_zoom{end_s:330,start_s:320}<tool_call|>"
            "<|tool_call>call:frame_zoom{end_s:9001,start_s:9000}<tool_call|>"
            "<|tool_call>call:spatial_zoom{box:[0,0,0.5,1],time_s:330}<tool_call|>I look.",
            "<answer>47</answer>",
        ),
        "gemma",
        "gemma4_v5",
        "gemma4_template",
        prefix="<|turn>model\n",
        suffix="<|tool_response>",
    ),
    FamilyTranscript(
        "GLM",
        "chat template of zai-org/GLM-4.5; TRL 1.16, chat_templates/glm4moe.jinja",
        (
            "\n<think>Hm.</think>\nI look.\n<tool_call>clip_retrieval\n<arg_key>query</arg_key>\n"
            "<arg_value>red square</arg_value>\n<arg_key>top_k</arg_key>\n<arg_value>2</arg_value>\n</tool_call>\n"
            "<tool_call>subtitle_retrieval\n<arg_key>query</arg_key>\n<arg_value>code</arg_value>\n"
            "<arg_key>top_k</arg_key>\n<arg_value>1</arg_value>\n</tool_call>",
            "\n<think>Hm.</think>\nI look.\n<tool_call>frame_zoom\n<arg_key>start_s</arg_key>\n"
            "<arg_value>320</arg_value>\n<arg_key>end_s</arg_key>\n<arg_value>330</arg_value>\n</tool_call>\n"
            "<tool_call>frame_zoom\n<arg_key>start_s</arg_key>\n<arg_value>9000</arg_value>\n"
            "<arg_key>end_s</arg_key>\n<arg_value>9001</arg_value>\n</tool_call>\n"
            "<tool_call>spatial_zoom\n<arg_key>time_s</arg_key>\n<arg_value>330</arg_value>\n"
            "<arg_key>box</arg_key>\n<arg_value>[0, 0, 0.5, 1]</arg_value>\n</tool_call>",
            "\n<think>Hm.</think>\n<answer>47</answer>",
        ),
        "glm",
        "glm4moe",
        "glm4moe_template",
        prefix="<|assistant|>",
    ),
    FamilyTranscript(
        "DeepSeek",
        "chat template of deepseek-ai/DeepSeek-V3; TRL 1.16, chat_templates/deepseekv3.jinja",
        (
            "I look.<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>function"
            '<\uff5ctool\u2581sep\uff5c>clip_retrieval\n```json\n{"query": "red square", "top_k": 2}\n```'
            "<\uff5ctool\u2581call\u2581end\uff5c>\n<\uff5ctool\u2581call\u2581begin\uff5c>function"
            '<\uff5ctool\u2581sep\uff5c>subtitle_retrieval\n```json\n{"query": "code", "top_k": 1}\n```'
            "<\uff5ctool\u2581call\u2581end\uff5c><\uff5ctool\u2581calls\u2581end\uff5c>",
            "I look.<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>function"
            '<\uff5ctool\u2581sep\uff5c>frame_zoom\n```json\n{"start_s": 320, "end_s": 330}\n```'
            "<\uff5ctool\u2581call\u2581end\uff5c>\n<\uff5ctool\u2581call\u2581begin\uff5c>function"
            '<\uff5ctool\u2581sep\uff5c>frame_zoom\n```json\n{"start_s": 9000, "end_s": 9001}\n```'
            "<\uff5ctool\u2581call\u2581end\uff5c>\n<\uff5ctool\u2581call\u2581begin\uff5c>function"
            '<\uff5ctool\u2581sep\uff5c>spatial_zoom\n```json\n{"time_s": 330, "box": [0, 0, 0.5, 1]}\n```'
            "<\uff5ctool\u2581call\u2581end\uff5c><\uff5ctool\u2581calls\u2581end\uff5c>",
            "<answer>47</answer>",
        ),
        "deepseek",
        "deepseekv3",
        prefix="<\uff5cAssistant\uff5c>",
        suffix="<\uff5cend\u2581of\u2581sentence\uff5c>",
    ),
)
"""One transcript a family."""
