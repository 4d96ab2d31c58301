"""Prepare a processor for tool calling in TRL: a chat template with tool calls, and a parser for them.

The processor is tested by behaviour: it must render a call and an image in a result, and read the call back.
"""

from itertools import takewhile
from typing import Any

from vt_env.errors import ConfigError

_CALL = {"name": "look", "arguments": {"start_s": "05:20"}}
_TURNS = (
    {"role": "user", "content": [{"type": "text", "text": "?"}]},
    {
        "role": "assistant",
        "content": [{"type": "text", "text": "thought"}],
        "tool_calls": [{"type": "function", "function": _CALL}],
    },
    {"role": "tool", "name": "look", "content": [{"type": "image"}, {"type": "text", "text": "seen"}]},
)
_QWEN_TOKENS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|image_pad|>", "<|vision_end|>")


def prepare_processor(processor: Any) -> Any:
    """Return the processor, ready for tools whose results hold images; one that is ready is left unchanged.

    A Qwen2.5-VL processor, whose own template drops calls, gets Qwen3-VL's template as TRL ships it. Where the
    tokenizer cannot read calls yet, TRL's response template is added; both are saved with the processor.

    Args:
        processor: A transformers processor; it is changed in place.

    Raises:
        ConfigError: The tokenizer has no image token, or the template cannot call tools and cannot be replaced.
    """
    from trl.chat_template_utils import add_response_schema, qwen3_template, qwen3_vl_chat_template

    name = type(processor).__name__
    vocabulary = processor.tokenizer.get_vocab() if hasattr(processor, "tokenizer") else {}
    image_token: Any = getattr(processor, "image_token", None)
    if image_token not in vocabulary:
        raise ConfigError(f"{name}: no image token in its tokenizer; use the processor of a vision-language model")
    if not _renders_tools(processor, image_token):
        if not all(token in vocabulary for token in _QWEN_TOKENS):
            raise ConfigError(f"{name}: its chat template cannot show tool calls and pictures in results; use Qwen-VL")
        processor.chat_template = qwen3_vl_chat_template
    if getattr(processor.tokenizer, "response_template", None) is None:
        try:
            add_response_schema(processor)
        except ValueError:
            # TRL knows templates by their exact text; whether this one reads the calls of another is checked below.
            processor.tokenizer.response_template = qwen3_template
    if not _renders_tools(processor, image_token) or not _reads_calls(processor):
        raise ConfigError(f"{name}: a call that its chat template writes is not read back; use Qwen2.5-VL or Qwen3-VL")
    return processor


def _renders_tools(processor: Any, image_token: str) -> bool:
    from jinja2 import TemplateError

    if processor.chat_template is None:
        return False
    try:
        text = processor.apply_chat_template(list(_TURNS), tokenize=False)
    except (TemplateError, TypeError):
        return False
    return all(part in text for part in ("look", "05:20", "seen")) and text.count(image_token) == 1


def _reads_calls(processor: Any) -> bool:
    """Tell whether the call in a rendered reply, from its header to the next turn, is read back as it was."""
    asked = processor.apply_chat_template(list(_TURNS[:1]), tokenize=False, add_generation_prompt=True)
    replied = processor.apply_chat_template(list(_TURNS[:2]), tokenize=False)
    # A template may open the reply with a thought, which it leaves out of earlier turns.
    header = "".join(char for char, _ in takewhile(lambda pair: pair[0] == pair[1], zip(asked, replied, strict=False)))
    message = processor.tokenizer.parse_response(replied[len(header) :], prefix=header)
    return [call["function"] for call in message.get("tool_calls", [])] == [_CALL]
