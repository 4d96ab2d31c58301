"""Lines and progress bars for the person at the terminal."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from functools import cache
from typing import Any, Self, TextIO, TypeAlias, TypeVar

from tqdm import tqdm

LINE_EVERY_S = 30.0
"""Seconds between two lines of progress where there is no terminal; shorter work says nothing there."""
T = TypeVar("T")


@cache
def say_once(line: str) -> None:
    """Print a line on standard error, once per run: not again by this process, and never by its worker processes."""
    if multiprocessing.parent_process() is None:
        sys.stderr.write(f"vt-env: {line}\n")


class ProgressLines:
    """A line with the time left every half minute, for output that no terminal reads.

    Args:
        label: Beginning of each line.
        total: Units in all; `None` if unknown, without a time left.
        initial: Units that were done before.
        unit: Name of a unit.
        out: Where lines are written; standard error by default.
        clock: Seconds.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        initial: int = 0,
        unit: str = "",
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.n: float = initial
        self._label, self._total, self._initial, self._unit = label, total, initial, unit
        self._out, self._clock = out or sys.stderr, clock
        self._start = self._shown = clock()
        self._values = ""

    def update(self, n: float = 1, /) -> None:
        """Count units; write a line if half a minute has passed since the last one."""
        self.n += n
        now = self._clock()
        if now - self._shown >= LINE_EVERY_S:
            self._shown = now
            self._out.write(f"{self._line(now - self._start)}\n")
            self._out.flush()

    def set_postfix(self, values: Mapping[str, object], /) -> None:
        """Show values at the end of the next lines."""
        self._values = "".join(f", {name}={value}" for name, value in values.items())

    def close(self) -> None:
        """End the progress; nothing is written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _line(self, passed_s: float) -> str:
        done = self.n - self._initial
        of = "" if self._total is None else f"/{self._total}"
        passed = f"{tqdm.format_interval(passed_s)} passed"
        if self._total is not None and done > 0:
            left_s = passed_s / done * max(0, self._total - self.n)
            passed += f", {tqdm.format_interval(left_s)} left"
        return f"{self._label}: {self.n}{of}{f' {self._unit}' if self._unit else ''}, {passed}{self._values}"


Progress: TypeAlias = "tqdm[Any] | ProgressLines"
_PLURALS = {"it": "", "%": "%"}


def progress_bar(label: str, total: int | None, initial: int = 0, unit: str = "it", delay_s: float = 0.0) -> Progress:
    """Open a bar with the time left on standard error, or `ProgressLines` where no terminal reads it.

    Args:
        label: Name of the work.
        total: Units in all; `None` if unknown.
        initial: Units that were done before.
        unit: Name of a unit.
        delay_s: Seconds before a bar is shown, for work that is mostly short.
    """
    if sys.stderr.isatty():
        return tqdm(desc=label, total=total, initial=initial, unit=unit, delay=delay_s)
    return ProgressLines(label, total, initial, _PLURALS.get(unit, f"{unit}s"))


def track(
    items: Iterable[T],
    label: str,
    total: int | None = None,
    initial: int = 0,
    unit: str = "it",
    delay_s: float = 0.0,
) -> Iterator[T]:
    """Yield items while `progress_bar` counts them; of a sequence, the total is known."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress_bar(label, total, initial, unit, delay_s) as progress:
        for item in items:
            yield item
            progress.update()
