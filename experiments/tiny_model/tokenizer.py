"""Tokenizer of the tiny model: bytes, plus one token per word of the world and per piece of a tool call.

Three choices decided whether small models learned to copy (measured in a prototype): two-digit numbers are one token, a
word has the same token in every context, and the space is a separate token. A colour with its shape is one token too: a
model with two-token names mixed the halves of two names. Every text survives a round trip.
"""

import re
from collections.abc import Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from trl.chat_template_utils import qwen3_template

from vt_env.prompts import TINY, option_letter
from vt_env.tools.builtin import tools_for
from vt_env.world.vocabulary import ADJECTIVES, COLOURS, HEIGHTS, NAMES, NOUNS, SHAPES, SIDES, VERBS

IMAGE_TOKEN = "<|image_pad|>"
SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", IMAGE_TOKEN, "<|video_pad|>",
)  # fmt: skip
MARKS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<answer>", "</answer>")
JSON_PIECES = ('{"name": "', '", "arguments": {', '"}}', "}}", '", ')
SENTENCES = (
    "what number is beside the", "what is the code of", "what number is on screen when the narrator says",
    "how many times is the shown", "in which order are these shown", "when is the shown",
    "what is the small number on the", "which of these is never shown",
    "nobody knows the code of", "look at now", "Question", "Video long Left calls frames Answer now",
    "Frames at Crop at No match subtitles Nothing to see Error Malformed Tools yes near no none count order",
    "user assistant system tool", "Seen Asked Copy Find What is shown Is it Note Next Go on",
)  # fmt: skip
THINGS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
"""Colour and shape of all names."""
TOKENIZER_SIZE = 704
"""Number of embedding rows: the vocabulary, padded to a multiple of 64."""

CHAT_TEMPLATE = (
    "{%- if messages[0].role == 'system' or tools %}"
    "{{- '<|im_start|>system\\n' }}"
    "{%- if messages[0].role == 'system' %}"
    "{%- if messages[0].content is string %}{{- messages[0].content }}"
    "{%- else %}{%- for block in messages[0].content %}{{- block.text }}{%- endfor %}{%- endif %}"
    "{%- endif %}"
    "{%- if tools %}{{- '\\nTools:' }}{%- for tool in tools %}"
    "{{- '\\n' + tool.function.name + '(' + (tool.function.parameters.properties | join(', ')) + ')' }}"
    "{%- endfor %}{%- endif %}"
    "{{- '<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- macro blocks(content) %}"
    "{%- if content is string %}{{- content }}"
    "{%- else %}{%- for block in content %}"
    "{%- if block.type == 'image' %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- else %}{{- block.text }}{%- endif %}"
    "{%- endfor %}{%- endif %}"
    "{%- endmacro %}"
    "{%- for message in messages %}"
    "{%- if message.role == 'user' %}{{- '<|im_start|>user\\n' + blocks(message.content) + '<|im_end|>\\n' }}"
    "{%- elif message.role == 'tool' %}"
    "{{- '<|im_start|>user\\n<tool_response>\\n' + blocks(message.content) + '\\n</tool_response><|im_end|>\\n' }}"
    "{%- elif message.role == 'assistant' %}"
    "{{- '<|im_start|>assistant\\n' }}{%- generation %}"
    "{%- set text = blocks(message.content or '') %}{{- text }}"
    "{%- for call in message.tool_calls or [] %}"
    "{%- set function = call.function or call %}"
    "{%- if text or not loop.first %}{{- '\\n' }}{%- endif %}"
    '{{- \'<tool_call>\\n{"name": "\' + function.name + \'", "arguments": \' }}'
    "{%- if function.arguments is string %}{{- function.arguments }}"
    "{%- else %}{{- function.arguments | tojson }}{%- endif %}"
    "{{- '}\\n</tool_call>' }}"
    "{%- endfor %}"
    "{{- '<|im_end|>' }}{%- endgeneration %}{{- '\\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""Qwen's chat format with one-line tool signatures, which take tens of tokens where JSON schemas take hundreds."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer of the first base; the same on every machine."""
    return tokenizer_of(pieces(), TOKENIZER_SIZE)


def tokenizer_of(texts: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """Build a tokenizer of bytes and the given pieces; of two pieces that fit, it takes the longer one.

    Args:
        texts: Texts of the tokens beside bytes and special tokens, in the order of their ids.
        size: Number of embedding rows.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL_TOKENS])
    core.add_tokens([AddedToken(text, normalized=False) for text in texts])
    assert core.get_vocab_size() <= size, core.get_vocab_size()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.response_template = qwen3_template
    return tokenizer


def pieces() -> list[str]:
    """Return the texts of all multi-character tokens, sorted so that ids do not depend on the order of definitions."""
    tools = [*tools_for("frames", "default"), *tools_for("captions", "default")]
    parameters = {parameter.name for tool in tools for parameter in tool.parameters}
    keys = {f'"{name}": "' for name in parameters} | {f'"{name}": ' for name in parameters}
    words = re.findall(r"[A-Za-z]+", " ".join((TINY.system_text(), *SENTENCES)))
    numbers = {f"{n:02d}" for n in range(100)} | {f"{n:02d}:" for n in range(60)}
    labels = {f"#{rank}" for rank in range(1, 10)} | {f"{option_letter(idx)}." for idx in range(4)}
    things = {" ".join(thing) for thing in THINGS}
    world = {*COLOURS, *SHAPES, *SIDES, *HEIGHTS, *NAMES, *ADJECTIVES, *NOUNS, *VERBS}
    names = {tool.name for tool in tools} | parameters
    texts = {*MARKS, *JSON_PIECES, *keys, *names, *words, *numbers, *labels, *things, *world}
    return sorted(text for text in texts if len(text) > 1)
