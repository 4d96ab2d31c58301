"""Our reading of each form is that of vLLM's own tool parser, where vLLM is installed."""

import json
from typing import Any

import pytest
from support.model_replies import WRITERS

from vt_env.actions.parse import ActionReader
from vt_env.tools.builtin import tools_for
from vt_env.types import ToolCall

pytest.importorskip("vllm")
pytestmark = pytest.mark.slow
TOOLS = tools_for("frames")
CALLS = [
    ToolCall("clip_retrieval", {"query": "red car, 2nd", "top_k": 3}),
    ToolCall("frame_zoom", {"start_s": 320, "end_s": 340.5}),
    ToolCall("spatial_zoom", {"time_s": 330, "box": [0.1, 0.2, 0.5, 0.6]}),
]
PARSERS = {
    "qwen2.5": "hermes",
    "qwen3-coder": "qwen3_coder",
    "llama-3.1": "llama3_json",
    "llama-3.1-tag": "llama3_json",
    "llama-3.2": "pythonic",
    "mistral": "mistral",
    "mistral-v11": "mistral",
    "functiongemma-quoted": "functiongemma",
    "gemma-4": "gemma4",
    "glm-4.5": "glm47",
    "deepseek-v3": "deepseek_v3",
    "deepseek-v3.1": "deepseek_v31",
    "deepseek-v3.2": "deepseek_v32",
}
"""Name of vLLM's parser (0.32.0, `--tool-call-parser`) by model."""


class Vocabulary(dict[str, int]):
    """Holds every token, but those of `without`."""

    def __init__(self, without: str) -> None:
        super().__init__()
        self._without = without

    def __contains__(self, token: object) -> bool:
        return token != self._without

    def get(self, token: str, default: Any = None) -> Any:
        """Return some id."""
        return hash(token) % 100_000 if token in self else default


class Tokenizer:
    """What vLLM's parsers ask of a tokenizer for a whole text."""

    chat_template = None

    def __init__(self, without: str) -> None:
        self._vocabulary = Vocabulary(without)

    def get_vocab(self) -> Vocabulary:
        """Return the vocabulary."""
        return self._vocabulary

    def encode(self, text: str, **options: object) -> list[int]:
        """Return some id."""
        return [1]

    def decode(self, ids: list[int], **options: object) -> str:
        """Return no text."""
        return ""


@pytest.mark.parametrize("model", PARSERS)
def test_a_text_holds_the_calls_that_vllm_finds_in_it(model: str):
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest, ChatCompletionToolsParam
    from vllm.tool_parsers import ToolParserManager

    # Mistral's tokenizers before version 11 have no such token, and their models write a list.
    tokenizer = Tokenizer("[ARGS]" if model == "mistral" else "")
    tools = [ChatCompletionToolsParam(**tool.schema) for tool in TOOLS]
    parser = ToolParserManager.get_tool_parser(PARSERS[model])(tokenizer, tools)
    text = WRITERS[model][1](CALLS)
    found = parser.extract_tool_calls(text, ChatCompletionRequest(messages=[], tools=tools, model="m")).tool_calls
    theirs = [(call.function.name, json.loads(call.function.arguments)) for call in found]
    ours = [(call.name, dict(call.arguments)) for call in ActionReader.for_tools(TOOLS).read(text).calls]
    assert ours == theirs == [(call.name, dict(call.arguments)) for call in CALLS]
