"""Which server is asked, how hard it may be driven, and when the next request may be sent."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from agents.backends.chat_wire import Usage
from vt_env.config import at_least
from vt_env.errors import ConfigError


@dataclass(frozen=True)
class ServerConfig:
    """A server and how hard it may be driven."""

    base_url: str = "http://127.0.0.1:8000/v1"
    """Address up to and including `/v1`, as the `openai` package takes it."""
    model: str = ""
    """Name under which the server serves the model; some serve one and take any name."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; where it is not set, no key is sent. The key itself is kept nowhere."""
    concurrency: int = 8
    """Requests under way at once, at most."""
    timeout_s: float = 120.0
    """Time limit of one try, from the connection to the last byte."""
    max_retries: int = 5
    """Tries after the first."""
    max_wait_s: float = 120.0
    """Longest wait before a retry; a server that asks for more is not asked again."""
    requests_per_minute: float | None = None
    """`None` sets no limit. Retries count."""
    tokens_per_minute: float | None = None
    """`None` sets no limit. A reply's tokens are known when it has come, and hold back what follows."""
    usd_per_million_prompt_tokens: float = 0.0
    """Price, for the record of what a run cost."""
    usd_per_million_completion_tokens: float = 0.0
    """Price of what the model writes."""

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


class Pace:
    """When the next request may be sent: limits per minute, and waits that the server asked for.

    Args:
        config: The limits.
        loop: Whose time it goes by; all methods are called on it.
    """

    def __init__(self, config: ServerConfig, loop: asyncio.AbstractEventLoop) -> None:
        self._config = config
        self._loop = loop
        self._free_s = 0.0
        """Time of the loop before which nothing is sent."""

    async def wait(self) -> None:
        """Wait until a request may be sent, and take its place."""
        while (wait_s := self._free_s - self._loop.time()) > 0:
            await asyncio.sleep(wait_s)
        if self._config.requests_per_minute is not None:
            self._push(60 / self._config.requests_per_minute)

    def spend(self, usage: Usage) -> None:
        """Count tokens against the limit."""
        if self._config.tokens_per_minute is not None:
            self._push(60 * (usage.prompt_tokens + usage.completion_tokens) / self._config.tokens_per_minute)

    def hold(self, wait_s: float) -> None:
        """Send nothing for so many seconds."""
        self._free_s = max(self._free_s, self._loop.time() + wait_s)

    def _push(self, seconds: float) -> None:
        self._free_s = max(self._free_s, self._loop.time()) + seconds


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Read how long a server asks to wait, in seconds; 0 where it does not say (RFC 9110, section 10.2.3).

    A date counts from the response's own `Date`, so this machine's clock does not matter.
    """
    text = headers.get("Retry-After", "")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        until, now = (parsedate_to_datetime(it) for it in (text, headers.get("Date", "")))
    except (ValueError, TypeError):
        return 0.0
    return max(0.0, (until - now).total_seconds())
