"""Address and protection of a server: loopback alone, or a token; other names than its own are refused.

HTTP is safe by default: a server listens on loopback, requests with another Host are refused (DNS rebinding), and one
that others can reach wants a token, sent as `Authorization: Bearer TOKEN`.
"""

import hmac
import ipaddress
import socket
from dataclasses import dataclass, field

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from vt_env.errors import ConfigError
from vt_env.integrations.open_sessions import SessionLimits

MIN_TOKEN_CHARS = 16
"""Shortest token that is taken."""
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_WILDCARDS = ("0.0.0.0", "::")


@dataclass(frozen=True)
class HttpConfig:
    """Address and protection of an HTTP server.

    Raises:
        ConfigError: The server would listen beyond loopback without a token, or the token is short.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes a free one."""
    token: str = field(default="", repr=False)
    """What clients must send; empty for none, on loopback alone."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names by which clients may call the server, without a port."""
    limits: SessionLimits = field(default_factory=SessionLimits)

    def __post_init__(self) -> None:
        if not self.token and not _is_loopback(self.host):
            raise ConfigError(
                f"host={self.host}: others can reach this server, so it needs a token: set VT_ENV_TOKEN to a secret of "
                f"{MIN_TOKEN_CHARS} characters or more, or listen on 127.0.0.1"
            )
        if self.token and (len(self.token) < MIN_TOKEN_CHARS or not self.token.isascii() or " " in self.token):
            raise ConfigError(f"token: need {MIN_TOKEN_CHARS} ASCII characters or more without spaces")
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port={self.port}: need 0 to 65535")

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names by which the server may be called, without a port."""
        own = () if self.host in _WILDCARDS else (f"[{self.host}]" if ":" in self.host else self.host,)
        local = (socket.gethostname(), socket.getfqdn()) if self.host in _WILDCARDS else ()
        return tuple(dict.fromkeys((*_LOOPBACK, *own, *local, *self.allowed_hosts)))


class TokenRequired:
    """ASGI middleware: requests without the token are answered with 401."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 401."""
        given = dict(scope.get("headers") or ()).get(b"authorization", b"")
        if scope["type"] == "lifespan" or hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
            return
        message = {"error": "this server needs a token: send it as the header 'Authorization: Bearer TOKEN'"}
        await JSONResponse(message, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)


def listen(config: HttpConfig) -> socket.socket:
    """Return a socket bound to the address.

    Raises:
        ConfigError: The address is taken or does not exist.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as reason:
        raise ConfigError(f"{config.host}:{config.port}: {reason.strerror or reason}; take another address") from reason
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
