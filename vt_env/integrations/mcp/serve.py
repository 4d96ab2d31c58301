"""Transports of an MCP server: stdio, for one client that starts the process, and streamable HTTP.

HTTP is safe by default: it listens on loopback, requests with another Host or Origin are refused (DNS rebinding), and a
server that others can reach wants a token, sent as `Authorization: Bearer TOKEN`.
"""

import hmac
import ipaddress
import logging
import socket
from dataclasses import dataclass, field

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from vt_env.errors import ConfigError
from vt_env.integrations.mcp.results import MAX_MESSAGE_BYTES
from vt_env.integrations.open_sessions import SessionLimits

PATH = "/mcp"
"""Path of the endpoint."""
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
    def security(self) -> TransportSecuritySettings:
        """Hosts and origins that are served."""
        own = () if self.host in _WILDCARDS else (f"[{self.host}]" if ":" in self.host else self.host,)
        local = (socket.gethostname(), socket.getfqdn()) if self.host in _WILDCARDS else ()
        hosts = dict.fromkeys((*_LOOPBACK, *own, *local, *self.allowed_hosts))
        return TransportSecuritySettings(
            allowed_hosts=[it for host in hosts for it in (host, f"{host}:*")],
            allowed_origins=[
                f"{scheme}://{host}{port}" for host in hosts for scheme in ("http", "https") for port in ("", ":*")
            ],
        )


def http_app(server: Server, config: HttpConfig) -> ASGIApp:
    """Make the ASGI application; its lifespan must be run, as uvicorn does."""
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        max_request_body_size=MAX_MESSAGE_BYTES,
        session_idle_timeout=config.limits.idle_s,
        max_sessions=config.limits.max_sessions,
        transport_security=config.security,
    )
    return _TokenRequired(app, config.token) if config.token else app


async def serve_http(server: Server, config: HttpConfig) -> None:
    """Serve until the process is interrupted.

    Raises:
        ConfigError: The address is taken or does not exist.
    """
    listening = _listen(config)
    host, port = listening.getsockname()[:2]
    logging.getLogger(__name__).warning("serving http://%s:%s%s", f"[{host}]" if ":" in host else host, port, PATH)
    # The access log would hold the addresses of clients, and a line for every call.
    settings = uvicorn.Config(http_app(server, config), log_level="warning", access_log=False)
    await uvicorn.Server(settings).serve(sockets=[listening])


async def serve_stdio(server: Server) -> None:
    """Serve the one client that started this process, over its standard input and output."""
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


def run_http(server: Server, config: HttpConfig) -> None:
    """Run `serve_http`."""
    anyio.run(serve_http, server, config)


def run_stdio(server: Server) -> None:
    """Run `serve_stdio`."""
    anyio.run(serve_stdio, server)


class _TokenRequired:
    """ASGI middleware: HTTP requests without the token are answered with 401."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers") or ()).get(b"authorization", b"")
        if scope["type"] == "lifespan" or hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
            return
        message = {"error": "this server needs a token: send it as the header 'Authorization: Bearer TOKEN'"}
        await JSONResponse(message, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)


def _listen(config: HttpConfig) -> socket.socket:
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
