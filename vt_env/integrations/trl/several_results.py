"""Check of chat templates: one reply with several calls has several results, and not every template shows them."""

from typing import Any

from vt_env.errors import ConfigError

_SHOWN = ("first result", "second result")
_CALL = {"type": "function", "function": {"name": "look", "arguments": {}}}


def check_several_results(processor: Any) -> None:
    """Check that a processor's chat template shows the results of several calls of one reply.

    Args:
        processor: A transformers processor or tokenizer; `None` is not checked.

    Raises:
        ConfigError: The template drops a result or refuses several.
    """
    if processor is None:
        return
    # Jinja comes with transformers, which made the processor.
    from jinja2 import TemplateError

    turns = [
        _turn("user", "?"),
        {**_turn("assistant", ""), "tool_calls": [_CALL]},
        *({**_turn("tool", text), "name": "look"} for text in _SHOWN),
    ]
    try:
        rendered = str(processor.apply_chat_template(turns, tokenize=False))
    except (TemplateError, TypeError) as reason:
        rendered = f"({reason})"
    if not all(text in rendered for text in _SHOWN):
        raise ConfigError(
            f"{type(processor).__name__}: its chat template cannot show several results of one reply; give a budget "
            "with max_parallel_calls=1"
        )


def _turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}
