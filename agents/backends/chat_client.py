"""Client of OpenAI-compatible servers, from `ChatRequest` to `ChatReply`, with retries and rate limits.

    with OpenAIClient(ServerConfig("http://127.0.0.1:8000/v1", "my-model")) as client:
        reply = client.complete(ChatRequest([{"role": "user", "content": "Hello"}]))

Requests run on an event loop in the client's own thread, so any number of threads may call it; the number of concurrent
requests is bounded. Failures are values (`ReplyStatus`), except those that would fail every request: a refused key, an
unpaid bill or an unknown model raises `ConfigError`. A 403 or 404 may be about one request alone, so the server's list
of models is asked whether key and model are good.

Built on httpx instead of the `openai` package, whose retries ignore a `Retry-After` of more than a minute, accept a
broken body as a reply, and cannot hold back the other requests after a 429.
"""

import asyncio
import os
import re
import threading
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np

from agents.backends.chat_wire import (
    BrokenOff,
    ChatReply,
    ChatRequest,
    ReplyStatus,
    ServerError,
    UnreadableReply,
    Usage,
    read_reply,
)
from agents.backends.server_limits import Pace, ServerConfig, retry_after_s
from vt_env.errors import ConfigError, DataError, foreign_input

_FIRST_WAIT_S = 0.5
_RETRIED = (408, 409, 425, 429)
"""Retried 4xx codes; every 5xx is retried too."""
_TOO_LONG = re.compile(
    r"context.{0,20}(length|window|size|limit)|(maximum|model) (model|input|prompt) length|max_model_len"
    r"|prompt is too long|input is too long|range of input length"
    r"|\btokens?\b.{0,80}(exceed|longer than|maximum number of tokens|must be <=)",
    re.IGNORECASE,
)
"""What servers say of a prompt that does not fit: OpenAI, vLLM, SGLang, llama.cpp, Anthropic, Gemini, Mistral, TGI,
MLC, DashScope, Bedrock."""
_LENGTH_FIELDS = ("max_tokens", "max_completion_tokens")
"""Names of the length of a reply: of most servers, and of OpenAI's reasoning models."""
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_ERROR_CHARACTERS = 300
_AHEAD = 2
"""Number of requests read ahead of the replies, in multiples of the concurrency."""


class OpenAIClient:
    """Client of one server. Closing, also by a `with` statement, cancels pending requests.

    Args:
        config: Address, model and limits of the server.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self._key = os.environ.get(config.key_variable, "")
        self._loop = asyncio.new_event_loop()
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            limits=httpx.Limits(max_connections=config.concurrency, max_keepalive_connections=config.concurrency),
            timeout=None,
            # A proxy from the environment cannot reach a server on this machine.
            trust_env=httpx.URL(config.base_url).host not in _THIS_MACHINE,
        )
        self._slots = asyncio.Semaphore(config.concurrency)
        self._pace = Pace(config, self._loop)
        # Jitter of retries only, so a fixed seed is fine.
        self._rng = np.random.default_rng(0)
        self._used = Usage()
        self._length_field = _LENGTH_FIELDS[0]
        self._closing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="openai-client", daemon=True)
        self._thread.start()

    @property
    def used(self) -> Usage:
        """Total usage of all requests so far."""
        return self._used

    def complete(self, request: ChatRequest) -> ChatReply:
        """Request one completion and wait for the reply.

        Raises:
            ConfigError: The server refuses the key, wants to be paid, or does not serve the model.
        """
        return self.submit(request).result()

    def complete_each(self, requests: Iterable[ChatRequest]) -> Iterator[ChatReply]:
        """Request many completions concurrently; replies keep the order of the requests.

        Requests are read only a little ahead of the replies, so a long generator of images takes little memory.

        Raises:
            ConfigError: As `complete`.
        """
        waiting: deque[Future[ChatReply]] = deque()
        try:
            for request in requests:
                waiting.append(self.submit(request))
                if len(waiting) >= _AHEAD * self.config.concurrency:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def submit(self, request: ChatRequest) -> "Future[ChatReply]":
        """Request one completion without waiting for the reply."""
        # The body is built in the caller's thread: encoding images on the event loop would delay all replies.
        return self._run(self._complete(request.body(self.config.model)))

    def served_models(self) -> list[str]:
        """Fetch the names of the served models, without retries; a check before a long run.

        Raises:
            ConfigError: The server cannot be reached, refuses the key, or returns no list of models.
        """
        return self._run(self._served_models()).result()

    def context_tokens(self) -> int | None:
        """Fetch the context length of the model in tokens; `None` for servers that do not tell (vLLM and SGLang do).

        Raises:
            ConfigError: As `served_models`.
        """
        return self._run(self._context_tokens()).result()

    def close(self) -> None:
        """Cancel pending requests and stop the client's thread."""
        if self._closing:
            return
        self._closing = True
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def _run(self, work: "Coroutine[Any, Any, Any]") -> "Future[Any]":
        if self._closing:
            work.close()
            raise RuntimeError("the client is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _shut(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    async def _complete(self, body: Mapping[str, Any]) -> ChatReply:
        async with self._slots:
            used, number = Usage(), 0
            while True:
                await self._pace.wait()
                reply, wait_s = await self._try(body)
                self._pace.spend(reply.usage)
                used += self._priced(reply.usage)
                if wait_s is None:
                    break
                wait_s = max(wait_s, self._back_off_s(number))
                if wait_s > self.config.max_wait_s:
                    reply = replace(reply, error=f"{reply.error}; asked to wait {wait_s:.0f} s, more than max_wait_s")
                    break
                if number == self.config.max_retries:
                    break
                await self._hold(reply.status, wait_s)
                number += 1
            self._used += used
            return replace(reply, usage=used)

    async def _try(self, body: Mapping[str, Any]) -> tuple[ChatReply, float | None]:
        """Send once. Returns the reply and the minimum wait in seconds before a retry; `None` forbids a retry."""
        sent = {self._length_field if name == _LENGTH_FIELDS[0] else name: value for name, value in body.items()}
        try:
            async with asyncio.timeout(self.config.timeout_s):
                response = await self._http.post(f"{self.config.base_url.rstrip('/')}/chat/completions", json=sent)
        except TimeoutError:
            return self._failed(ReplyStatus.TIMED_OUT, f"no reply within {self.config.timeout_s:g} s"), 0.0
        except httpx.RequestError as reason:
            return self._failed(ReplyStatus.ERROR, f"{type(reason).__name__} {reason}"), 0.0
        if response.status_code != httpx.codes.OK.value:
            return await self._refusal(response.status_code, response.text, response.headers, sent)
        try:
            with foreign_input("the reply"):
                return read_reply(response.json()), None
        except ServerError as reason:
            return await self._refusal(reason.code or 500, str(reason), response.headers, sent)
        except BrokenOff as reason:
            return self._failed(ReplyStatus.ERROR, str(reason)), 0.0
        except (ValueError, RecursionError, UnreadableReply, DataError) as reason:
            return self._failed(ReplyStatus.UNREADABLE, str(reason)), 0.0

    async def _refusal(
        self, code: int, text: str, headers: Mapping[str, str], sent: Mapping[str, Any]
    ) -> tuple[ChatReply, float | None]:
        """Classify an error of the server; returns as `_try`."""
        error = f"{code} {text}"
        if code == 400 and _LENGTH_FIELDS[1] in text and _LENGTH_FIELDS[0] in sent:
            self._length_field = _LENGTH_FIELDS[1]
            return self._failed(ReplyStatus.REJECTED, error), 0.0
        if code in (401, 402):
            raise self._refused(code, text)
        if code in (403, 404):
            await self._check_key_and_model(code, text)
        if code == 429:
            return self._failed(ReplyStatus.RATE_LIMITED, error), retry_after_s(headers)
        if code in _RETRIED or code >= 500:
            return self._failed(ReplyStatus.ERROR, error), retry_after_s(headers)
        return self._failed(ReplyStatus.TOO_LONG if _TOO_LONG.search(text) else ReplyStatus.REJECTED, error), None

    async def _check_key_and_model(self, code: int, text: str) -> None:
        """Find out whether a 403 or 404 is about key or model, or about the one request.

        Raises:
            ConfigError: It is about key or model.
        """
        served = await self._served_models() if code == 404 else None
        if code == 403 and await self._list_code() != httpx.codes.OK.value:
            raise self._refused(code, text)
        if served is not None and self.config.model not in served:
            raise ConfigError(f"{self.config.base_url} serves no model {self.config.model!r} (404 {self._line(text)})")

    def _refused(self, code: int, text: str) -> ConfigError:
        url, key = self.config.base_url, self.config.key_variable
        remedy = "pay, and run the same command again" if code == 402 else f"set {key} to a key it takes"
        what = "wants to be paid" if code == 402 else "refuses the key"
        return ConfigError(f"{url} {what} ({code} {self._line(text)}): {remedy}")

    async def _list_code(self) -> int | None:
        """Return the status code of the list of models; `None` without a response."""
        try:
            async with asyncio.timeout(self.config.timeout_s):
                return (await self._http.get(f"{self.config.base_url.rstrip('/')}/models")).status_code
        except (TimeoutError, httpx.RequestError):
            return None

    def _line(self, text: str) -> str:
        line = " ".join(text.split())
        if self._key:
            line = line.replace(self._key, "***")
        return line[:_ERROR_CHARACTERS]

    def _failed(self, status: ReplyStatus, error: str) -> ChatReply:
        return ChatReply(status, error=self._line(error))

    async def _hold(self, status: ReplyStatus, wait_s: float) -> None:
        """Wait before a retry; after a 429, all requests wait."""
        if status is ReplyStatus.RATE_LIMITED:
            self._pace.hold(wait_s)
        else:
            await asyncio.sleep(wait_s)

    def _back_off_s(self, number: int) -> float:
        return _FIRST_WAIT_S * 2**number * self._rng.uniform(0.5, 1.0)

    def _priced(self, usage: Usage) -> Usage:
        cost = (
            usage.prompt_tokens * self.config.usd_per_million_prompt_tokens
            + usage.completion_tokens * self.config.usd_per_million_completion_tokens
        )
        return replace(usage, tries=1, cost_usd=cost / 1e6)

    async def _served_models(self) -> list[str]:
        return [str(model["id"]) for model in await self._listed_models()]

    async def _listed_models(self) -> list[Mapping[str, Any]]:
        address = self.config.base_url
        try:
            async with asyncio.timeout(self.config.timeout_s):
                response = await self._http.get(f"{address.rstrip('/')}/models")
        except (TimeoutError, httpx.RequestError) as reason:
            raise ConfigError(f"{address} cannot be reached ({type(reason).__name__}): is the server up?") from reason
        if response.status_code in (401, 402, 403):
            raise self._refused(response.status_code, response.text)
        if response.status_code != httpx.codes.OK.value:
            raise ConfigError(
                f"{address} answers {response.status_code} to /models: is it an OpenAI-compatible server?"
            )
        try:
            listed: list[Mapping[str, Any]] = response.json()["data"]
            return [{**model, "id": str(model["id"])} for model in listed]
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"{address}/models is no list of models: is it an OpenAI-compatible server?") from None

    async def _context_tokens(self) -> int | None:
        listed = {str(model["id"]): model for model in await self._listed_models()}
        length: object = listed.get(self.config.model, {}).get("max_model_len")
        return length if type(length) is int and length > 0 else None
