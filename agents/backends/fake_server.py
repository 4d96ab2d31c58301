"""Chat server for tests, on local sockets, with scripted replies and faults; see also `agents.backends.bad_server`.

with FakeChatServer(lambda body: completion("<answer>A</answer>")) as server:
ServerConfig(server.base_url, "fake")
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from agents.backends.chat_wire import PROBE_TEXT

Body = dict[str, Any]


@dataclass(frozen=True)
class Wire:
    """HTTP response to send, faults included."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    """Delay in seconds before the response."""
    sent_bytes: int | None = None
    """Number of body bytes after which the connection breaks; `None` sends the whole body."""


Answerer = Callable[[Body], Wire]
"""Maps the JSON body of a request to a response."""


def completion(text: str = "", finish: str | None = "stop", tokens: int = 1, **message: Any) -> Wire:
    """Build a chat completion; `message` adds fields such as `tool_calls`."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 10 * tokens, "completion_tokens": tokens, "total_tokens": 11 * tokens}
    return Wire(body=json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode())


def native_call(
    name: str, arguments: Mapping[str, Any] | str, text: str = "", call_id: str = "call-0", **message: Any
) -> Wire:
    """Build a completion with one tool call; arguments given as text are sent unchanged."""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": written}}
    return completion(text, "tool_calls", tool_calls=[call], **message)


class FakeChatServer:
    """Server of `/v1/chat/completions` and `/v1/models`, in threads of this process.

    Args:
        answer: Maps the JSON body of a request to a response; called from several threads. Requests of
            `agents.backends.server_probe` are answered by the server itself.
        model: Name of the served model.
        reads_pictures: Whether requests with pictures are answered by `probes`; otherwise 500, as llama.cpp does.
        keeps_tools: Whether tools count in the prompt with `tool_choice="none"`.
        context_tokens: Context length in the list of models; `None` names none.
    """

    def __init__(
        self,
        answer: Answerer,
        model: str = "fake",
        *,
        reads_pictures: bool = True,
        keeps_tools: bool = True,
        context_tokens: int | None = None,
    ) -> None:
        self.probes: list[Body] = []
        """JSON bodies of the requests that find out what the server can do."""
        self._reads_pictures, self._keeps_tools = reads_pictures, keeps_tools
        listed = {} if context_tokens is None else {"max_model_len": context_tokens}
        self._listed = {"data": [{"id": model, **listed}]}
        self.requests: list[Body] = []
        """JSON bodies of all requests, in order of arrival."""
        self.keys: list[str | None] = []
        """`Authorization` header of each request."""
        self.peak = 0
        """Maximum number of concurrent requests."""
        self._answer = answer
        self._lock, self._open = threading.Lock(), 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def base_url(self) -> str:
        """Base URL for `ServerConfig`."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, body: Body, key: str | None) -> Wire:
        if f'"{PROBE_TEXT}"' in json.dumps(body["messages"]):
            return self._probe(body)
        with self._lock:
            self.requests.append(body)
            self.keys.append(key)
            self._open += 1
            self.peak = max(self.peak, self._open)
        wire = self._answer(body)
        time.sleep(wire.delay_s)
        with self._lock:
            self._open -= 1
        return wire

    def _probe(self, body: Body) -> Wire:
        with self._lock:
            self.probes.append(body)
        if "image_url" in json.dumps(body["messages"]) and not self._reads_pictures:
            return Wire(500, b'{"error": {"code": 500, "message": "image input is not supported"}}')
        is_seen = body.get("tool_choice") != "none" or self._keeps_tools
        tools = body.get("tools", ()) if is_seen else ()
        return completion("OK", tokens=1 + len(tools))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(Wire(body=json.dumps(server._listed).encode()))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._send(server._take(body, self.headers.get("Authorization")))

            def _send(self, wire: Wire) -> None:
                try:
                    self.send_response(wire.status)
                    for name, value in {"Content-Type": "application/json", **wire.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(wire.body)))
                    self.end_headers()
                    self.wfile.write(wire.body[: wire.sent_bytes])
                except ConnectionError:
                    return
                if wire.sent_bytes is not None:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Suppress the access log."""

        return Handler
