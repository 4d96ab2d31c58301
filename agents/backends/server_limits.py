"""Server address, limits and request pacing."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from agents.backends.chat_wire import Usage
from vt_env.config import HOW_ONLY, at_least
from vt_env.errors import ConfigError, suggest


@dataclass(frozen=True)
class ServerConfig:
    """An OpenAI-compatible server: address, model, limits and prices.

    Raises:
        ConfigError: The address is invalid or holds a password, or a number is out of range.
    """

    base_url: str = field(default="http://127.0.0.1:8000/v1", metadata=HOW_ONLY)
    """Address up to and including `/v1`, as the `openai` package takes it. Sampling that is not given is the server's
    own: `vllm serve` takes the checkpoint's `generation_config.json`."""
    model: str = ""
    """Name of the served model; empty takes the only one."""
    key_variable: str = field(default="OPENAI_API_KEY", metadata=HOW_ONLY)
    """Environment variable that holds the API key; if unset, no key is sent. The key itself is never recorded."""
    concurrency: int = field(default=8, metadata=HOW_ONLY)
    """Maximum number of concurrent requests."""
    timeout_s: float = field(default=120.0, metadata=HOW_ONLY)
    """Time limit of one attempt in seconds, from the connection to the last byte."""
    max_retries: int = field(default=5, metadata=HOW_ONLY)
    """Maximum number of retries after the first attempt."""
    max_wait_s: float = field(default=120.0, metadata=HOW_ONLY)
    """Maximum wait before a retry in seconds; a longer `Retry-After` ends the request."""
    requests_per_minute: float | None = field(default=None, metadata=HOW_ONLY)
    """Maximum number of requests per minute, retries included; `None` sets no limit."""
    tokens_per_minute: float | None = field(default=None, metadata=HOW_ONLY)
    """Maximum number of tokens per minute; `None` sets no limit. The tokens of a reply delay the requests after it."""
    usd_per_million_prompt_tokens: float = 0.0
    """Price of prompt tokens in US dollars, for the record of a run's cost."""
    usd_per_million_completion_tokens: float = 0.0
    """Price of completion tokens in US dollars."""

    def __post_init__(self) -> None:
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname or "@" in address.netloc:
            raise ConfigError("base_url: need http(s)://host[:port]/v1 without a name or password in it")
        for name in ("concurrency", "timeout_s", "requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name}={value}: need more than 0")
        at_least(self, "max_retries", 0)
        at_least(self, "max_wait_s", 0)

    def choose_model(self, served: Sequence[str]) -> "ServerConfig":
        """Return the configuration with the name of a served model.

        Args:
            served: Names of the served models.

        Raises:
            ConfigError: `model` is not in `served`, or is empty while `served` does not hold exactly one name.
        """
        name = self.model or (served[0] if len(served) == 1 else "")
        if name not in served:
            listed = ", ".join(served[:5]) or "nothing"
            hint = suggest(name, served)
            raise ConfigError(f"{self.base_url} serves {listed}: give one of them as server.model, got {name!r}{hint}")
        return replace(self, model=name)


class Pace:
    """Request pacing: limits per minute, and waits requested by the server.

    Args:
        config: Limits.
        loop: Event loop of all calls; its clock is used.
    """

    def __init__(self, config: ServerConfig, loop: asyncio.AbstractEventLoop) -> None:
        self._config = config
        self._loop = loop
        self._free_s = 0.0
        """Earliest time of the next request, on the clock of the loop."""

    async def wait(self) -> None:
        """Wait for the next free slot, and count one request."""
        while (wait_s := self._free_s - self._loop.time()) > 0:
            await asyncio.sleep(wait_s)
        if self._config.requests_per_minute is not None:
            self._push(60 / self._config.requests_per_minute)

    def spend(self, usage: Usage) -> None:
        """Count the tokens of a reply against `tokens_per_minute`."""
        if self._config.tokens_per_minute is not None:
            self._push(60 * (usage.prompt_tokens + usage.completion_tokens) / self._config.tokens_per_minute)

    def hold(self, wait_s: float) -> None:
        """Block all requests for `wait_s` seconds."""
        self._free_s = max(self._free_s, self._loop.time() + wait_s)

    def _push(self, seconds: float) -> None:
        self._free_s = max(self._free_s, self._loop.time()) + seconds


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Parse the wait in seconds from `Retry-After`; 0 without the header (RFC 9110, section 10.2.3).

    A date is measured from the response's own `Date`, which is independent of the local clock.
    """
    text = headers.get("Retry-After", "")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        until, now = (parsedate_to_datetime(it) for it in (text, headers.get("Date", "")))
        # A date without a time zone cannot be subtracted from one with it.
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError, ArithmeticError, IndexError):
        return 0.0
