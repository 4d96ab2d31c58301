"""Protection against control tokens: text from data is never read as a token of a chat template.

A tokenizer turns `<|im_end|>` into the token that ends a turn wherever the text stands, in a subtitle as well. So a
space is put behind the first character, `< |im_end|>`: it stays readable, no tokenizer drops it, and no special token
holds a space. Text without such a token is not changed by a byte. Applied where data enters a prompt
(`vt_env.prompts`, results of tools, elements of the observation space) and where answers are compared with options.
Where a tokenizer is at hand, what it calls special itself is broken once more, `TokenBreaker`: the last edge before
token ids, which data sets that others wrote pass as well. Our choice; the paper does not speak of it.
"""

import re
from collections.abc import Iterable

_PLACEHOLDERS = (
    "answer", "arg_key", "arg_value", "asr_text", "audio", "audio_soft_token", "bos", "box", "end_function_call",
    "end_of_audio", "end_of_image", "end_of_turn", "end_of_utterance", "eop", "eos", "fake_token_around_image",
    "function", "function_call", "global-img", "im_end", "im_patch", "im_start", "image", "image_id",
    "image_placeholder", "image_soft_token", "img", "IMG_CONTEXT", "mask", "object", "pad", "point", "quad", "ref",
    "s", "slice", "sop", "start_function_call", "start_of_audio", "start_of_image", "start_of_turn", "think", "tool",
    "tool_call", "tool_calls", "tool_response", "tools", "tts_pad", "tts_text_bos", "tts_text_bos_single",
    "tts_text_eod", "unit", "unk", "video", "vid_end", "vid_start", "vision_end", "vision_start", r"row_\d+_col_\d+",
    r"SPECIAL_\d+", r"unused\d+",
)  # fmt: skip
"""Names that stand between `<` and `>` without bars in the vocabularies or templates of Qwen, Gemma, Llama, InternVL,
LLaVA, Idefics, SmolVLM, MiniCPM-V, GLM-V and Nemotron, and the tags of actions."""
_BRACKETED = (
    "ARGS", "AVAILABLE_TOOLS", "BEGIN_AUDIO", "BOS", "CALL_ID", "CLS", "EOS", "IMG", "IMG_BREAK", "IMG_END", "INST",
    "MASK", "PAD", "SEP", "SYSTEM_PROMPT", "THINK", "TOOL_CALLS", "TOOL_CONTENT", "TOOL_RESULTS", "UNK", "gMASK",
    "sMASK",
)  # fmt: skip
"""Names that stand between `[` and `]` in the vocabularies of Mistral, BERT, GLM-V and Kimi-VL."""
_ACTION_TAG = re.compile(r"</?(?:answer|arg_key|arg_value|function|think|tool_call|tool_calls|tool_response|tools)>")
"""Tags that the wording of prompts may show."""

_BAR = r"[|\uff5c]"
_BARRED = r"[^\s<>|\uff5c]+"
_TOKEN = re.compile(
    rf"<(?={_BAR}{_BARRED}{_BAR}?>|{_BARRED}{_BAR}>|/?(?:{'|'.join(_PLACEHOLDERS)})>)"
    rf"|\[(?=/?(?:{'|'.join(_BRACKETED)})\])"
)
"""The first character of `<|name|>`, also with DeepSeek's wide bars or one of Gemma's alone, or of `<name>`, `</name>`,
`[NAME]` or `[/NAME]` with a name above."""


def as_plain_text(text: str) -> str:
    """Break every control token in `text` with a space; text without one comes back unchanged.

    Applying it twice is applying it once.
    """
    return _TOKEN.sub(lambda found: f"{found[0]} ", text)


class TokenBreaker:
    """Breaks the special tokens of one tokenizer, whatever their family, as `as_plain_text` does those that it knows.

    Args:
        tokens: The tokens; tags of actions among them stay whole, since the wording of prompts shows them.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        known = {it for it in tokens if len(it) > 1 and not _ACTION_TAG.fullmatch(it)}
        names = "|".join(map(re.escape, sorted(known)))
        self._pattern = re.compile(f"(?={names})." if names else "(?!)", re.DOTALL)
        """The first character of a token, also of one that begins inside another."""

    def __call__(self, text: str) -> str:
        """Return the text without a whole token; text without one comes back unchanged."""
        return self._pattern.sub(lambda found: f"{found[0]} ", text)
