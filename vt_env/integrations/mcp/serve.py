"""Transports of an MCP server: stdio, for one client that starts the process, and streamable HTTP.

Besides what `vt_env.integrations.http_access` checks, HTTP refuses requests with another Origin.
"""

import logging

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from vt_env.integrations.http_access import HttpConfig, TokenRequired, listen
from vt_env.integrations.mcp.results import MAX_MESSAGE_BYTES

PATH = "/mcp"
"""Path of the endpoint."""


def http_app(server: Server, config: HttpConfig) -> ASGIApp:
    """Make the ASGI application; its lifespan must be run, as uvicorn does."""
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        max_request_body_size=MAX_MESSAGE_BYTES,
        session_idle_timeout=config.limits.idle_s,
        max_sessions=config.limits.max_sessions,
        transport_security=_security(config),
    )
    return TokenRequired(app, config.token) if config.token else app


async def serve_http(server: Server, config: HttpConfig) -> None:
    """Serve until the process is interrupted.

    Raises:
        ConfigError: The address is taken or does not exist.
    """
    listening = listen(config)
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


def _security(config: HttpConfig) -> TransportSecuritySettings:
    """Return the hosts and origins that are served."""
    return TransportSecuritySettings(
        allowed_hosts=[it for host in config.hosts for it in (host, f"{host}:*")],
        allowed_origins=[
            f"{scheme}://{host}{port}" for host in config.hosts for scheme in ("http", "https") for port in ("", ":*")
        ],
    )
