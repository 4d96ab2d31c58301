"""Protection against control tokens: text from data is never read as a token of a chat template.

A tokenizer turns `<|im_end|>` into the token that ends a turn wherever the text stands, in a subtitle as well. So a
space is put behind the first character, `< |im_end|>`: it stays readable, no tokenizer drops it, and no special token
holds a space. Text without such a token is not changed by a byte. Applied where data enters a prompt
(`vt_env.prompts`, results of tools, elements of the observation space) and where answers are compared with options.
Our choice; the paper does not speak of it.
"""

import re

_PLACEHOLDERS = (
    "answer", "arg_key", "arg_value", "asr_text", "audio", "bos", "box", "end_function_call", "end_of_image",
    "end_of_turn", "end_of_utterance", "eos", "function", "function_call", "image", "image_soft_token", "img",
    "IMG_CONTEXT", "mask", "object", "pad", "quad", "ref", "s", "start_function_call", "start_of_image",
    "start_of_turn", "think", "tool", "tool_call", "tool_calls", "tool_response", "tools", "tts_pad", "tts_text_bos",
    "tts_text_bos_single", "tts_text_eod", "unk", "video", "vision_end", "vision_start",
)  # fmt: skip
"""Names that stand between `<` and `>` without bars in the vocabularies or templates of Qwen, Gemma, Llama, InternVL
and LLaVA, and the tags of actions."""

_BAR = r"[|\uff5c]"
_BARRED = r"[^\s<>|\uff5c]+"
_TOKEN = re.compile(rf"<(?={_BAR}{_BARRED}{_BAR}?>|{_BARRED}{_BAR}>|/?(?:{'|'.join(_PLACEHOLDERS)})>)")
"""The first character of `<|name|>`, also with DeepSeek's wide bars or one of Gemma's alone, or of `<name>` or
`</name>` with a name above."""


def as_plain_text(text: str) -> str:
    """Break every control token in `text` with a space; text without one comes back unchanged.

    Applying it twice is applying it once.
    """
    return _TOKEN.sub("< ", text)
