"""Request and reply records of OpenAI-compatible servers, without any network access.

The format is OpenAI's chat completions, as served by vLLM, SGLang, llama.cpp and most hosted models. What decides
whether there is a reply is taken from what is known to be good: a body of any other form raises `UnreadableReply`, a
finish reason that is not known raises `BrokenOff`. What only measures it (usage, log-probabilities) is left out where
it cannot be read.
"""

import base64
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from PIL import Image

from agents.backends.sampling import Sampling
from vt_env.errors import VtEnvError
from vt_env.valid_text import as_valid_text

PROBE_TEXT = "Reply with OK."
"""Question of the requests that find out what a server can do."""
_MAX_TOKENS = 2**53
"""Numbers of tokens above it are no measurement."""
_ROUNDING = 1e-3
"""Log-probabilities up to it are 0 but for rounding; what is above is none."""
_GREEDY = Sampling(temperature=0.0, max_new_tokens=512)


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
    sampling: Sampling = _GREEDY
    """How the reply is sampled."""
    seed: int | None = None
    """Sampling seed, for servers that support it."""
    logprobs: bool = False
    """Request the log-probability of each token of the reply."""
    parallel_calls: bool = False
    """Allow several calls in one reply."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Additional fields of the request body, such as `tool_choice`."""

    def body(self, model: str) -> dict[str, Any]:
        """Build the JSON body."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [_wire_message(message) for message in self.messages],
            **self.sampling.body(),
        }
        if self.tools:
            body |= {"tools": list(self.tools), "parallel_tool_calls": self.parallel_calls}
        if self.seed is not None:
            body["seed"] = self.seed
        if self.logprobs:
            body["logprobs"] = True
        added = self.sampling.extra
        named = {**body, **added, **self.extra}
        return {name: value for name, value in named.items() if added.get(name, value) is not None}


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


class UnreadableReply(VtEnvError):
    """Body of a server that is not a chat completion."""


class BrokenOff(VtEnvError):
    """Reply that its engine broke off: its finish reason is none that a whole or a truncated reply has."""


class ServerError(VtEnvError):
    """Error in the body of a response with HTTP status 200, as routers of models send it."""

    def __init__(self, code: int | None, message: str) -> None:
        super().__init__(message)
        self.code = code
        """HTTP status inside the body, if there is one."""


_FINISHES: Mapping[str, ReplyStatus] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete"), ReplyStatus.OK),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), ReplyStatus.OK),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), ReplyStatus.TRUNCATED),
    **dict.fromkeys(("content_filter", "refusal", "safety"), ReplyStatus.REFUSED),
}
"""Finish reasons in lower case: OpenAI's and vLLM's, and what TGI, Anthropic, Mistral and Gemini call the same."""
_ERRORS = {ReplyStatus.TRUNCATED: "cut off at max_tokens", ReplyStatus.REFUSED: "stopped by a content filter"}


def read_finish(finish: object) -> tuple[ReplyStatus, str]:
    """Return the status of a finish reason, and its error in one line.

    Raises:
        BrokenOff: The finish reason is not known: `abort`, `error` and the like are the engine's fault, not a reply.
    """
    status = _FINISHES.get(finish.casefold()) if isinstance(finish, str) else None
    if status is None:
        raise BrokenOff(f"the server broke the reply off (finish_reason={finish!r})")
    return status, _ERRORS.get(status, "")


def read_reply(body: Any) -> ChatReply:
    """Parse the JSON of a chat completion.

    Raises:
        UnreadableReply: The JSON is not a chat completion.
        ServerError: The JSON is an error.
        BrokenOff: The reply is not whole, for a reason that is not known.
    """
    _check_error(body)
    try:
        choice = body["choices"][0]
        message = choice["message"]
        text, refusal = _text(message.get("content")), message.get("refusal")
        calls = tuple(_call(call) for call in message.get("tool_calls") or ())
        reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
        finish, stop = choice.get("finish_reason"), choice.get("stop_reason")
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as reason:
        raise UnreadableReply(f"not a chat completion: {type(reason).__name__} {reason}") from reason
    usage, logprobs = _usage(body.get("usage")), _logprobs(choice.get("logprobs"))
    status, error = read_finish(finish)
    if refusal or status is ReplyStatus.REFUSED:
        return ChatReply(ReplyStatus.REFUSED, text, usage=usage, error=str(refusal or error))
    # vLLM names the stop text that it left out of the text; for engines in this process it is part of the reply.
    text += stop if isinstance(stop, str) and not text.endswith(stop) else ""
    thoughts = reasoning if isinstance(reasoning, str) else json.dumps(reasoning)
    return ChatReply(status, text, calls, thoughts, usage, logprobs, error)


def _check_error(body: Any) -> None:
    error: Any = body.get("error") if isinstance(body, dict) else None
    if not error:
        return
    code: Any = error.get("code") if isinstance(error, dict) else None
    message: Any = error.get("message") if isinstance(error, dict) else None
    raise ServerError(code if isinstance(code, int) and 400 <= code < 600 else None, str(message or error))


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
    name, arguments = function["name"], function.get("arguments")
    if isinstance(arguments, dict):
        # llama.cpp sends an object.
        arguments = json.dumps(arguments)
    if not isinstance(name, str) or not isinstance(arguments, str | None):
        raise TypeError("name and arguments of a call must be texts")
    return NativeCall(str(call.get("id") or ""), name, arguments or "")


def _logprobs(found: Any) -> tuple[TokenLogprob, ...]:
    """Read the log-probabilities; none where one is missing, not finite or above 0: their mean would be wrong."""
    try:
        read = [(str(it["token"]), float(it["logprob"])) for it in (found or {}).get("content") or ()]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return ()
    are_known = all(-math.inf < logprob <= _ROUNDING for _, logprob in read)
    return tuple(TokenLogprob(token, min(0.0, logprob)) for token, logprob in read) if are_known else ()


def _usage(found: Any) -> Usage:
    counts: Any = found if isinstance(found, dict) else {}
    return Usage(_count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")))


def _count(value: object) -> int:
    """Read a number of tokens; 0 stands for an unknown one."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MAX_TOKENS:
        return 0
    return int(value)
