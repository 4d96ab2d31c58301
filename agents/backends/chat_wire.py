"""Request and reply records of OpenAI-compatible servers, without any network access.

The format is OpenAI's chat completions, as served by vLLM, SGLang, llama.cpp and most hosted models. Replies are parsed
strictly: a body of any other form raises `UnreadableReply`.
"""

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from PIL import Image

from vt_env.valid_text import as_valid_text


class ReplyStatus(StrEnum):
    """Outcome of a request."""

    OK = "ok"
    """The model ended its turn."""
    TRUNCATED = "truncated"
    """The reply was cut off at `max_tokens`; the partial text is kept."""
    REFUSED = "refused"
    """The model or a content filter declined."""
    TOO_LONG = "too_long"
    """The prompt does not fit the model's context."""
    REJECTED = "rejected"
    """The server does not accept the request (another 4xx); not retried."""
    RATE_LIMITED = "rate_limited"
    """429 after all retries, or a `Retry-After` beyond the maximum wait."""
    TIMED_OUT = "timed_out"
    """No complete reply within the time limit, after all retries."""
    ERROR = "error"
    """Server failure (5xx), broken connection or unreachable server, after all retries."""
    UNREADABLE = "unreadable"
    """The body is not a chat completion, after all retries."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Request for one chat completion."""

    messages: Sequence[Mapping[str, Any]]
    """Chat messages; images as `{"type": "image", "image": PIL image}` blocks, as `vt_env.episode.messages` makes
    them, or as OpenAI's `image_url`. Other keys (`tool_calls`, `tool_call_id`) are sent unchanged."""
    tools: Sequence[Mapping[str, Any]] = ()
    """JSON schemas of the tools, as `vt_env.tools.tool.Tool.schema`."""
    max_tokens: int = 512
    """Maximum length of the reply in tokens."""
    temperature: float = 0.0
    seed: int | None = None
    """Sampling seed, for servers that support it."""
    logprobs: bool = False
    """Request the log-probability of each token of the reply."""
    parallel_calls: bool = False
    """Allow several calls in one reply."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Additional fields of the request body, such as `tool_choice` or `chat_template_kwargs`."""

    def body(self, model: str) -> dict[str, Any]:
        """Build the JSON body."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [_wire_message(message) for message in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
        }
        if self.tools:
            body |= {"tools": list(self.tools), "parallel_tool_calls": self.parallel_calls}
        if self.seed is not None:
            body["seed"] = self.seed
        if self.logprobs:
            body["logprobs"] = True
        return {**body, **self.extra}


@dataclass(frozen=True, slots=True)
class NativeCall:
    """Tool call parsed by the server."""

    call_id: str
    name: str
    arguments: str
    """JSON text written by the model; possibly invalid."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Token of a reply, with its natural log-probability."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, requests and cost; summed with `+`."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    tries: int = 0
    """HTTP requests sent, retries included."""
    cost_usd: float = 0.0
    """Cost in US dollars at the prices of the client's configuration; 0 without prices."""

    def __add__(self, other: "Usage") -> "Usage":
        """Add two usages."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.tries + other.tries,
            self.cost_usd + other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class ChatReply:
    """Result of one request. Check `status` before reading `text`."""

    status: ReplyStatus
    text: str = ""
    """Text of the model; empty if there is none."""
    calls: tuple[NativeCall, ...] = ()
    reasoning: str = ""
    """Reasoning that the server returns apart from the text."""
    usage: Usage = Usage()
    logprobs: tuple[TokenLogprob, ...] = ()
    """One per token, if requested and supported by the server."""
    error: str = ""
    """Description of the failure in one line; empty on success."""


Complete = Callable[[ChatRequest], ChatReply]
"""Function that answers one request, such as `agents.backends.chat_client.OpenAIClient.complete`."""

CompleteEach = Callable[[Iterable[ChatRequest]], Iterator[ChatReply]]
"""Function that answers many requests in order."""


class Completer(Protocol):
    """Batch chat completion by a server, or by an engine in this process."""

    def complete_each(self, requests: Iterable[ChatRequest]) -> Iterator[ChatReply]:
        """Answer requests in order."""
        ...


class NoReply(Exception):
    """Request that ended without a usable reply."""

    def __init__(self, reply: ChatReply) -> None:
        super().__init__(f"{reply.status}: {reply.error}")
        self.status = reply.status
        self.error = reply.error


class UnreadableReply(Exception):
    """Body of a server that is not a chat completion."""


def read_reply(body: Any) -> ChatReply:
    """Parse the JSON of a chat completion.

    Raises:
        UnreadableReply: The JSON is not a chat completion.
    """
    try:
        choice = body["choices"][0]
        message, finish = choice["message"], choice["finish_reason"]
        text, refusal = _text(message.get("content")), message.get("refusal")
        calls = tuple(_call(call) for call in message.get("tool_calls") or ())
        reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
        logprobs = _logprobs(choice.get("logprobs"))
        usage = _usage(body.get("usage") or {})
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as reason:
        raise UnreadableReply(f"not a chat completion: {type(reason).__name__} {reason}") from reason
    if not isinstance(finish, str) or not isinstance(reasoning, str):
        raise UnreadableReply(f"not a chat completion: finish_reason={finish!r}")
    if refusal or finish == "content_filter":
        return ChatReply(ReplyStatus.REFUSED, text, usage=usage, error=str(refusal or "stopped by a content filter"))
    status = ReplyStatus.TRUNCATED if finish == "length" else ReplyStatus.OK
    error = "cut off at max_tokens" if finish == "length" else ""
    return ChatReply(status, text, calls, reasoning, usage, logprobs, error)


def image_url(picture: Image.Image) -> str:
    """Encode an image as a PNG data URI. PNG is lossless, so equal frames are equal bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _wire_message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return {**message, "content": as_valid_text(content)} if isinstance(content, str) else dict(message)
    blocks = [_wire_block(block) for block in content]
    # Not every server accepts a list of blocks in every role.
    alone = len(blocks) == 1 and blocks[0].get("type") == "text"
    return {**message, "content": blocks[0]["text"] if alone else blocks}


def _wire_block(block: Mapping[str, Any]) -> dict[str, Any]:
    if block.get("type") != "image":
        return dict(block)
    return {"type": "image_url", "image_url": {"url": image_url(block["image"])}}


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    if not isinstance(content, str):
        raise TypeError(f"content is {type(content).__name__}")
    return content


def _call(call: Mapping[str, Any]) -> NativeCall:
    function = call["function"]
    name, arguments = function["name"], function["arguments"]
    if not isinstance(name, str) or not isinstance(arguments, str):
        raise TypeError("name and arguments of a call must be texts")
    return NativeCall(str(call.get("id") or ""), name, arguments)


def _logprobs(found: Any) -> tuple[TokenLogprob, ...]:
    tokens = (found or {}).get("content") or ()
    return tuple(TokenLogprob(str(token["token"]), float(token["logprob"])) for token in tokens)


def _usage(found: Mapping[str, Any]) -> Usage:
    return Usage(int(found.get("prompt_tokens") or 0), int(found.get("completion_tokens") or 0))
