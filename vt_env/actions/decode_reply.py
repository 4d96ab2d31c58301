"""Decoding of generated token ids: special tokens are dropped, but for those that mark a call.

Mistral's, Gemma's, DeepSeek's and Llama's marks of calls are special tokens, so a decoder that drops all of these
leaves nothing to read. vLLM's tool parsers keep them for the same reason (`skip_special_tokens=False`, vLLM 0.32.0).
"""

from collections.abc import Sequence
from typing import Any

from vt_env.actions.model_forms import CALL_TOKENS


class ReplyDecoder:
    """Decoder for one tokenizer.

    Args:
        tokenizer: A transformers tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.all_special_ids)
        texts = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
        self._kept = frozenset(it for it, text in texts.items() if CALL_TOKENS.fullmatch(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Decode ids; without a mark of a call among them, as the tokenizer does."""
        if self._kept.isdisjoint(ids):
            return self._tokenizer.decode(ids, skip_special_tokens=True)
        shown = [it for it in ids if it not in self._special or it in self._kept]
        return self._tokenizer.decode(shown, skip_special_tokens=False)
