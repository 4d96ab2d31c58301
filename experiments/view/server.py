"""HTTP server of the viewer (extra `view`: starlette and uvicorn).

It listens on this machine alone unless told otherwise; beyond it, a token in the address is needed. It reads run
directories and their stores and writes tags. Addresses hold numbers and names of runs, never paths.
"""

import contextlib
import hmac
import json
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from experiments.view.selection import Selection
from experiments.view.viewer import Viewer
from vt_env.errors import ConfigError, DataError

PAGE = Path(__file__).with_name("page")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_COOKIE = "vt_env_view"
_REFRESH_S = 1.0
_MAX_BODY_BYTES = 16_384
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_WRITE_HEADER = "x-vt-env"
"""A page of another origin cannot send this header without leave, so that it cannot write tags."""


def make_app(viewer: Viewer, host: str = "127.0.0.1", token: str = "") -> Starlette:
    """Make the application.

    Args:
        viewer: What it shows; journals are read in the background while it runs.
        host: Address that it listens on.
        token: Needed in the first address; empty for none.

    Raises:
        ConfigError: The host is not this machine alone and there is no token.
    """
    if host not in LOOPBACK and not token:
        raise ConfigError(f"host={host!r} can be reached from other machines: need a token")
    ends = _Endpoints(viewer)
    return Starlette(
        routes=[
            Route("/", ends.page),
            Route("/page/{name}", ends.static),
            Route("/api/runs", ends.runs),
            Route("/api/episodes", ends.episodes),
            Route("/api/episodes/{id:int}", ends.episode),
            Route("/api/episodes/{id:int}/key", ends.key),
            Route("/api/episodes/{id:int}/tags", ends.tags, methods=["POST"]),
            Route("/api/episodes/{id:int}/pictures/{number:int}/{kind}.png", ends.picture),
            Route("/api/episodes/{id:int}/video", ends.video),
            Route("/api/plots", ends.plots),
            Route("/api/pairs", ends.pairs),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=["*"] if token else [*LOOPBACK, "[::1]"]),
            Middleware(BaseHTTPMiddleware, dispatch=_guard(token)),
        ],
        exception_handlers={ConfigError: _usage_problem, DataError: _data_problem},
        lifespan=_following(viewer),
    )


class _Endpoints:
    """Answers to requests; each calls the viewer in a thread, so that a slow picture holds up no list."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._files = {path.name: path for path in [*PAGE.glob("*.*"), *PAGE.glob("vendor/*")]}

    async def page(self, request: Request) -> Response:
        return FileResponse(PAGE / "index.html")

    async def static(self, request: Request) -> Response:
        path = self._files.get(request.path_params["name"])
        return FileResponse(path) if path is not None else JSONResponse({"problem": "no such file"}, 404)

    async def runs(self, request: Request) -> Response:
        return await _json(self._viewer.describe_runs)

    async def episodes(self, request: Request) -> Response:
        selection = Selection.read([it for it in request.query_params.multi_items() if it[0] != "token"])
        return await _json(lambda: self._viewer.list_episodes(selection))

    async def episode(self, request: Request) -> Response:
        return await _json(lambda: self._viewer.show(request.path_params["id"]))

    async def key(self, request: Request) -> Response:
        return await _json(lambda: self._viewer.key_of(request.path_params["id"]))

    async def picture(self, request: Request) -> Response:
        idx, number = request.path_params["id"], request.path_params["number"]
        whole = request.path_params["kind"] == "whole"
        drawn = await run_in_threadpool(lambda: self._viewer.picture(idx, number, whole=whole))
        return Response(drawn, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    async def video(self, request: Request) -> Response:
        return FileResponse(await run_in_threadpool(lambda: self._viewer.video_path(request.path_params["id"])))

    async def plots(self, request: Request) -> Response:
        return await _json(lambda: self._viewer.plots(request.query_params.getlist("run")))

    async def pairs(self, request: Request) -> Response:
        first, second = (request.query_params.get(name, "") for name in ("a", "b"))
        return await _json(lambda: self._viewer.pairs(first, second))

    async def tags(self, request: Request) -> Response:
        if _WRITE_HEADER not in request.headers:
            return JSONResponse({"problem": "tags are written by the viewer's own page alone"}, 403)
        chosen = _tags_of(await request.body())
        return await _json(lambda: {"tags": self._viewer.tag(request.path_params["id"], chosen)})


def new_token() -> str:
    """Make a token for a server that other machines can reach."""
    return secrets.token_urlsafe(16)


def _guard(token: str) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Ask for the token and set the headers that keep the page to itself."""

    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.query_params.get("token") or request.cookies.get(_COOKIE, "")
        if token and not hmac.compare_digest(given.encode(), token.encode()):
            return JSONResponse({"problem": "need the token of the address that vt-env view has printed"}, 401)
        response = await call_next(request)
        response.headers.update(_HEADERS)
        if token and request.query_params.get("token"):
            response.set_cookie(_COOKIE, token, httponly=True, samesite="strict")
        return response

    return guard


def _following(viewer: Viewer) -> Callable[[Starlette], contextlib.AbstractAsyncContextManager[None]]:
    """Read what journals gain, in a thread, while the application runs."""

    @contextlib.asynccontextmanager
    async def follow(app: Starlette) -> AsyncIterator[None]:
        stopping = threading.Event()

        def read() -> None:
            while not stopping.is_set():
                viewer.index.refresh()
                stopping.wait(_REFRESH_S)

        thread = threading.Thread(target=read, name="journals", daemon=True)
        thread.start()
        yield
        stopping.set()

    return follow


async def _json(make: Callable[[], Any]) -> Response:
    return _AsciiResponse(await run_in_threadpool(make))


class _AsciiResponse(JSONResponse):
    """JSON in ASCII: half surrogates of replies stay escapes, which UTF-8 could not hold."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def _tags_of(body: bytes) -> list[str]:
    try:
        value = json.loads(body) if len(body) <= _MAX_BODY_BYTES else None
    except (ValueError, RecursionError):
        value = None
    tags = value.get("tags") if isinstance(value, dict) else None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ConfigError('tags: need a JSON object such as {"tags": ["misread"]}')
    return tags


async def _usage_problem(request: Request, error: Exception) -> Response:
    return JSONResponse({"problem": str(error)}, 400)


async def _data_problem(request: Request, error: Exception) -> Response:
    return JSONResponse({"problem": str(error)}, 404)
