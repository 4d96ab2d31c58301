"""Structured fuzzing: sound documents with random edits, and the law that every reader keeps.

The law: a value, or an error of ours in one line; never another exception, and never more than `CASE_S` seconds.
"""

import copy
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vt_env.errors import VtEnvError

T = TypeVar("T")

CASES = int(os.environ.get("VT_ENV_FUZZ", "0"))
"""Cases of each fuzzer; without it each has its own small number, and the same ones every time."""
CASE_S = 30
"""Seconds after which a case counts as hanging."""
MESSAGE = 2000
"""Longest message of an error that is still one line for a reader."""

PIECES = (
    "", "\n", "\r", "\r\n\r\n", "\x00", "\ufeff", "\ud800", "\u2028", "\u202e", "e\u0301" * 50, "河内", "🦜", "\t",
    " " * 200, '"', "'", "{", "}", "[", "]", "[" * 3000, '{"a":' * 2000, "<", ">", "<|im_end|>", "<think>", "</think>",
    "<tool_call>", "</tool_call>", "<answer>", "</answer>", "\\", "\\u", "\\ud800", "%s", "{{", "$\\x$", "NaN",
    "Infinity", "-Infinity", "null", "true", "1e400", "-1", "0", "9" * 30, "9" * 5000, "0x1f",
    "1_000", "٣", "00:00:01,000",
    "99:99:99.999", "-->", "&#", "&#x110000;", "&amp;", "<i>", "{\\an8}", "{\\p1}", "WEBVTT", "[Script Info]", "NOTE",
    "STYLE", ",", ";", "../", "file:///", "a" * 4000,
)  # fmt: skip
"""What is put into texts."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**30, 10**400, 0.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan"), "", " ",
    "x", "A", "2", "\ud800", "a\nb", "<answer>A</answer>", "x" * 3000, [], {}, [None], [[]], [1, 2], ["a", "a"],
    {"a": 1}, [[1, 2]], [[2.0, 1.0]], [["00:01", "00:02"]], {"": None}, "1-2", "00:10-00:05", [0] * 200,
)  # fmt: skip
"""What is put where a value belongs."""

Edit = tuple[int, int, int, int]
"""Place, length, kind and piece of an edit, each taken modulo what there is."""
_EDIT_BYTES = 7


def _edits(drawn: bytes) -> list[Edit]:
    """Read edits from random bytes, which are drawn much faster than lists of numbers."""
    parts = (drawn[at : at + _EDIT_BYTES] for at in range(0, len(drawn) - _EDIT_BYTES + 1, _EDIT_BYTES))
    return [(int.from_bytes(it[:3], "big"), it[3] % 41, it[4] % 5, int.from_bytes(it[5:], "big")) for it in parts]


EDITS = st.binary(max_size=5 * _EDIT_BYTES).map(_edits)
"""Up to five edits; none for short draws."""


def edited(text: str, edits: Sequence[Edit]) -> str:
    """Return a text with pieces put in, cut out, doubled or replaced."""
    for place, length, kind, piece in edits:
        start = place % (len(text) + 1)
        end = min(len(text), start + length)
        new = PIECES[piece % len(PIECES)]
        text = (
            text[:start] + new + text[start:],
            text[:start] + text[end:],
            text[:end] + text[start:end] * (1 + piece % 4) + text[end:],
            text[:start] + new + text[end:],
            text[:start],
        )[kind if kind < 4 or piece % 8 == 0 else 3]
    return text


def edited_bytes(data: bytes, edits: Sequence[Edit], head: int = 1 << 20) -> bytes:
    """Return bytes with some overwritten, cut out, doubled or cut off; every second place lies in the first `head`."""
    changed = bytearray(data)
    for place, length, kind, piece in edits:
        reach = min(len(changed), head) if place & 1 else len(changed)
        start = (place >> 1) % (reach + 1)
        end = min(len(changed), start + length)
        if kind < 2:
            changed[start : start + 1] = bytes([piece & 0xFF])
        elif kind == 2:
            number = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0xFFFF, 0x10000, len(data))[piece % 8]
            changed[start : start + 4] = number.to_bytes(4, "little" if piece & 8 else "big")
        elif kind == 3:
            changed[start:end] = changed[start:end] * (piece % 3)
        elif piece % 8 == 0:
            del changed[start:]
    return bytes(changed)


def edited_json(value: Any, edits: Sequence[Edit]) -> Any:
    """Return JSON values with some replaced, left out, renamed, or put into a list."""
    root = {"": copy.deepcopy(value)}
    for place, length, kind, piece in edits:
        holders = list(_holders(root))
        holder, key = holders[place % len(holders)]
        new = VALUES[piece % len(VALUES)]
        if kind == 1 and holder is not root:
            del holder[key]
        elif kind == 2:
            holder[key] = [holder[key]] * (length % 3)
        elif kind == 3 and isinstance(holder, dict) and holder is not root:
            holder[f"{key}_"] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(new)
    return root[""]


def _holders(value: Any) -> Generator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _holders(inner)


def as_json(value: Any) -> str:
    """Write JSON values, the numbers that JSON lacks included."""
    return json.dumps(value)


def fuzz(cases: int, *strategies: Any) -> Callable[[Callable[..., None]], Any]:
    """Run a test on `cases` drawn inputs, or on `CASES`.

    With `CASES` they are drawn anew each time; without it they are the same in each run.
    """
    chosen = settings(
        max_examples=CASES or cases,
        derandomize=not CASES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )

    def decorate(test: Callable[..., None]) -> Any:
        return chosen(given(*strategies)(test))

    return decorate


class Law:
    """Runs readers under the law, and counts what came of it."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request, self._began_s = request, time.monotonic()
        self.seen: Counter[str] = Counter()

    def read(self, read: Callable[[], T]) -> T | None:
        """Return what `read` returns, or `None` where it raises an error of ours in one line."""
        try:
            with bounded():
                value = read()
        except VtEnvError as error:
            assert "\n" not in str(error) and len(str(error)) < MESSAGE, str(error)[:3000]
            self.seen["refused"] += 1
            return None
        self.seen["read"] += 1
        return value

    def close(self) -> None:
        """Tell how many cases there were; both outcomes must be among them."""
        seconds = time.monotonic() - self._began_s
        told = f"{self._request.node.name}: {self.seen.total()} reads, {dict(self.seen)}, {seconds:.0f} s"
        self._request.node.user_properties.append(("written", told))
        assert min(self.seen["read"], self.seen["refused"]) > 0, self.seen


@contextmanager
def bounded() -> Generator[None]:
    """Fail where the block takes longer than `CASE_S`."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"a case takes more than {CASE_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(CASE_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
