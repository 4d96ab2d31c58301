"""What a server does with tools and pictures, found out by requests of a few tokens before a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from agents.backends.chat_client import OpenAIClient
from agents.backends.chat_wire import PROBE_TEXT, ChatReply, ChatRequest, ReplyStatus
from agents.backends.sampling import Sampling
from vt_env.errors import ConfigError

_PROBE_TOKENS = 16
_PICTURE_PX = 64
"""Side of the picture that is sent; some models refuse smaller ones."""
_READ = (ReplyStatus.OK, ReplyStatus.TRUNCATED, ReplyStatus.REFUSED)


def drops_unparsed_tools(client: OpenAIClient, tools: Sequence[Mapping[str, Any]], sampling: Sampling) -> bool:
    """Find out whether `tool_choice="none"` takes the tools out of the prompt, as SGLang and others do.

    The length of the prompt with the tools is compared with that without them. A server that reports no lengths counts
    as one that keeps the tools.

    Args:
        client: Client of the server.
        tools: JSON schemas of the tools.
        sampling: Gives further fields of the requests.
    """
    unparsed = ChatRequest(_question(), tools, _few_tokens(sampling), extra={"tool_choice": "none"})
    with_tools, without = client.complete_each([unparsed, ChatRequest(_question(), (), _few_tokens(sampling))])
    lengths = [it.usage.prompt_tokens for it in (with_tools, without)]
    return all(lengths) and lengths[0] <= lengths[1]


def check_pictures(client: OpenAIClient, sampling: Sampling) -> None:
    """Refuse a server that answers a text but not a picture, before it is asked about every question.

    Raises:
        ConfigError: Its model reads no pictures.
    """
    picture = {"type": "image", "image": Image.new("RGB", (_PICTURE_PX, _PICTURE_PX), "gray")}
    reply = client.complete(ChatRequest(_question(picture), (), _few_tokens(sampling)))
    if reply.status in _READ:
        return
    plain: ChatReply = client.complete(ChatRequest(_question(), (), _few_tokens(sampling)))
    if plain.status in _READ:
        name = client.config.model
        raise ConfigError(
            f"{client.config.base_url}: {name!r} answers texts but no pictures ({reply.error}): serve a "
            "vision-language model, or play --agent caption-only or blind"
        )


def _question(*blocks: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": PROBE_TEXT}]}]


def _few_tokens(sampling: Sampling) -> Sampling:
    return Sampling(max_new_tokens=_PROBE_TOKENS, extra_body=sampling.extra_body)
