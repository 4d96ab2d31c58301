"""On-disk cache of API replies; a resumed run never pays twice."""

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agents.backends.chat_wire import ChatReply, ChatRequest, Complete, CompleteEach, Completer, ReplyStatus, Usage
from vt_env.errors import ConfigError
from vt_env.jsonl import append_line, decode_record, drop_torn_line, encode_record, read_jsonl

_SETTLED = (ReplyStatus.OK, ReplyStatus.TRUNCATED, ReplyStatus.REFUSED)
"""Outcomes that are billed and not requested again; any other failure is."""


@dataclass(frozen=True, slots=True)
class _PaidReply:
    """Line of the journal."""

    key: str
    model: str
    reply: ChatReply


class ReplyJournal:
    """Thread-safe JSONL cache of replies.

    The key of a request is its whole content, images and seed included; two samples of one question differ in the seed.

    Args:
        path: JSONL file; a torn last line of a killed writer is dropped.
        model: Name of the model, part of the key.

    Raises:
        ConfigError: The file holds replies of another model.
        DataError: A line in the middle is damaged.
    """

    def __init__(self, path: Path, model: str) -> None:
        self._path, self._model = path, model
        self._lock = threading.Lock()
        self._replies: dict[str, ChatReply] = {}
        self.used = Usage()
        """Total usage of all replies in the file, earlier runs included."""
        drop_torn_line(path)
        if path.exists():
            self._load()

    def through(self, complete: Complete) -> Complete:
        """Wrap a completion function with the cache."""

        def journalled(request: ChatRequest) -> ChatReply:
            key = self._key(request)
            known = self._replies.get(key)
            return known if known is not None else self._add(key, complete(request))

        return journalled

    def through_each(self, completer: Completer) -> CompleteEach:
        """Wrap a batch completer with the cache; it receives only requests without a cached reply."""

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
        with self._lock:
            append_line(self._path, encode_record(_PaidReply(key, self._model, reply)))
            self._keep(key, reply)
        return reply

    def _keep(self, key: str, reply: ChatReply) -> None:
        self.used += reply.usage
        if reply.status in _SETTLED:
            self._replies[key] = reply

    def _load(self) -> None:
        decode = partial(decode_record, kind=_PaidReply)
        for paid in read_jsonl(self._path, decode, remedy="remove the line and run again"):
            if paid.model != self._model:
                got = f"{self._path} holds replies of {paid.model!r}"
                raise ConfigError(f"{got}, now {self._model!r}: give another --out")
            self._keep(paid.key, paid.reply)
