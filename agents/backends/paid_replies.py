"""Replies that were paid for, on disk: a run that was killed asks for none of them again."""

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agents.backends.chat_wire import (
    ChatReply,
    ChatRequest,
    Complete,
    CompleteEach,
    Completer,
    NativeCall,
    ReplyStatus,
    TokenLogprob,
    Usage,
)
from vt_env.errors import ConfigError, DataError

_SETTLED = (ReplyStatus.OK, ReplyStatus.TRUNCATED, ReplyStatus.REFUSED)
"""What asking again would pay for again; other failures are asked again."""


class ReplyJournal:
    """Appends every reply to a JSONL file and answers from it what was answered before. Safe from several threads.

    A request is known by its whole content, pictures and seed included; two samples of one question differ in the seed.

    Args:
        path: The file; a torn last line, whose writer was killed, is dropped.
        model: Name of the model, part of what a request is known by.

    Raises:
        ConfigError: The file holds replies of another model.
        DataError: A line in the middle is damaged.
    """

    def __init__(self, path: Path, model: str) -> None:
        self._path, self._model = path, model
        self._lock = threading.Lock()
        self._replies: dict[str, ChatReply] = {}
        self.used = Usage()
        """What all replies of the file have used, in this process and before."""
        if path.exists():
            self._load()

    def through(self, complete: Complete) -> Complete:
        """Wrap what asks one request."""

        def journalled(request: ChatRequest) -> ChatReply:
            key = self._key(request)
            known = self._replies.get(key)
            return known if known is not None else self._add(key, complete(request))

        return journalled

    def through_each(self, completer: Completer) -> CompleteEach:
        """Wrap what answers many requests; those that are known are not passed on."""

        def journalled(requests: Iterable[ChatRequest]) -> Iterator[ChatReply]:
            asked = list(requests)
            keys = [self._key(request) for request in asked]
            new = {key: request for key, request in zip(keys, asked, strict=True) if key not in self._replies}
            fresh = {
                key: self._add(key, reply)
                for key, reply in zip(new, completer.complete_each(new.values()), strict=True)
            }
            yield from (self._replies.get(key) or fresh[key] for key in keys)

        return journalled

    def _key(self, request: ChatRequest) -> str:
        body = json.dumps(request.body(self._model), sort_keys=True)
        return hashlib.blake2b(body.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def _add(self, key: str, reply: ChatReply) -> ChatReply:
        line = json.dumps({"key": key, "model": self._model, "reply": asdict(reply)})
        with self._lock:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            self._keep(key, reply)
        return reply

    def _keep(self, key: str, reply: ChatReply) -> None:
        self.used += reply.usage
        if reply.status in _SETTLED:
            self._replies[key] = reply

    def _load(self) -> None:
        with self._path.open("rb+") as file:
            whole = file.read().rpartition(b"\n")[0]
            file.truncate(len(whole) + 1 if whole else 0)
        for number, line in enumerate(whole.split(b"\n") if whole else (), start=1):
            try:
                row = json.loads(line)
                model, key, reply = row["model"], row["key"], _reply(row["reply"])
            except (ValueError, KeyError, TypeError) as reason:
                raise DataError(f"{self._path}:{number}: {reason}; remove the line and run again") from reason
            if model != self._model:
                raise ConfigError(f"{self._path} holds replies of {model!r}, now {self._model!r}: give another --out")
            self._keep(key, reply)


def _reply(row: dict[str, Any]) -> ChatReply:
    nested = {
        "status": ReplyStatus(row["status"]),
        "calls": tuple(NativeCall(**call) for call in row["calls"]),
        "usage": Usage(**row["usage"]),
        "logprobs": tuple(TokenLogprob(**it) for it in row["logprobs"]),
    }
    return ChatReply(**{**row, **nested})
