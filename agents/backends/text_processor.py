"""Processor of a text-only checkpoint: its tokenizer behind the interface of a vision-language processor."""

from collections.abc import Mapping, Sequence
from typing import Any

from vt_env.errors import ConfigError, first_line

_SCHEMA = {
    "type": "function",
    "function": {"name": "look_there", "description": "Look.", "parameters": {"type": "object", "properties": {}}},
}
_TURNS: Sequence[Mapping[str, Any]] = (
    {"role": "system", "content": "Answer."},
    {"role": "user", "content": "What?"},
    {"role": "assistant", "content": "Look."},
    {"role": "tool", "content": "Nothing seen."},
)


class TextProcessor:
    """Tokenizer of a text-only model with what `agents.language.token_policy.ChatTokens` reads of a processor.

    Args:
        tokenizer: A transformers tokenizer.

    Raises:
        ConfigError: It has no chat template, or one that does not show tools and their results.
    """

    image_token: str | None = None
    image_processor: Any = None

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        name = tokenizer.name_or_path
        if self.chat_template is None:
            raise ConfigError(f"{name}: no chat template; use an instruct model")
        try:
            shown = tokenizer.apply_chat_template(list(_TURNS), tools=[_SCHEMA], tokenize=False)
        except Exception as reason:
            # Templates raise errors of jinja2 and of Python.
            raise ConfigError(f"{name}: its chat template refuses a tool result ({first_line(reason)})") from reason
        if not all(part in shown for part in ("look_there", "Nothing seen.")):
            raise ConfigError(f"{name}: its chat template shows no tools or results; serve it with --backend openai")

    @property
    def chat_template(self) -> str | None:
        """Source of the chat template."""
        return self.tokenizer.chat_template

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], *, tokenize: bool = False, **options: Any
    ) -> Any:
        """Render a conversation whose blocks are texts alone; token ids come as a batch of one, as from a processor."""
        plain = [{**message, "content": _text(message["content"])} for message in messages]
        options.pop("return_dict", None)
        shown = self.tokenizer.apply_chat_template(plain, tokenize=tokenize, return_dict=False, **options)
        return [shown] if tokenize else shown


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(block["text"] for block in content)
