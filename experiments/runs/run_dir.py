"""Run directories: what was run, with what, and every line of what came out. The only user of the clock.

A run directory holds `config.json` (the resolved configuration), `provenance.json` (commit, versions, seeds, machine),
`journal.jsonl` (one record a line, appended and flushed) and `metrics.jsonl`. A killed run is continued by opening its
directory again with the same configuration; with another one the directory is refused, so that no table mixes two.
Knows nothing of episodes or training.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from experiments.runs.provenance import commit, provenance
from experiments.runs.read_run import CONFIG, JOURNAL, METRICS, PROVENANCE, read_json, read_metrics, what_only
from vt_env.errors import ConfigError, DataError
from vt_env.hashing import fingerprint
from vt_env.jsonl import append_line, drop_torn_line, encode_record, replace_file

_ELSEWHERE = ("out",)
"""Fields that say where a run lies and not what it does: two directories may differ in them."""


class Stopwatch:
    """Seconds since it was made, by a clock that never goes back."""

    def __init__(self) -> None:
        self._start_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since this stopwatch was made."""
        return time.monotonic() - self._start_s


class Run:
    """An open run directory. Made by `open_run`, which holds the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._watch = Stopwatch()

    def journal(self, record: object) -> None:
        """Append one record, a dataclass or a mapping, to the journal.

        It survives the death of this process from here on.

        Raises:
            ValueError: A number is not finite.
        """
        append_line(self.path / JOURNAL, encode_record(record))

    def origin(self, entry: Mapping[str, Any]) -> str:
        """Keep in `provenance.json` what is the same for many records of the journal.

        A run that goes on with another commit, other versions or another server has several of these.

        Args:
            entry: Plain JSON values.

        Returns:
            Its key in `origins`, a fingerprint of it.
        """
        key = fingerprint(entry)
        known = read_json(self.path / PROVENANCE)
        if key not in known.get("origins", {}):
            write_json(self.path / PROVENANCE, {**known, "origins": {**known.get("origins", {}), key: dict(entry)}})
        return key

    def metrics(self) -> list[dict[str, Any]]:
        """Read every line of the metrics, in order."""
        return read_metrics(self.path)

    def metric(self, record: Mapping[str, object]) -> None:
        """Append one line to the metrics; `elapsed_s` (since this process opened the run) is added."""
        row = {**record, "elapsed_s": round(self.elapsed_s, 3)}
        append_line(self.path / METRICS, json.dumps(row, ensure_ascii=False))

    @property
    def elapsed_s(self) -> float:
        """Seconds since this process opened the run."""
        return self._watch.elapsed_s


@contextmanager
def open_run(
    path: Path,
    kind: str,
    config: object,
    also: Mapping[str, object] | None = None,
    absent: Mapping[str, object] | None = None,
) -> Iterator[Run]:
    """Start a run in `path`, or continue the one that lies there.

    Args:
        path: The run directory; made if missing.
        kind: What is run: `"eval"`, `"sft"`, `"grpo"`, ... Kept as `run` in `config.json`.
        config: A frozen dataclass; its field `out` says where and is not kept.
        also: What else decides the run, such as the values behind a preset's name; kept and compared like `config`.
        absent: Values of the names in `also` that runs of earlier versions do not hold.

    A new run that ends in one of these errors before it has written anything leaves the directory empty.

    Raises:
        ConfigError: The directory belongs to a run with another configuration, or another process uses it.
        DataError: Its `config.json` cannot be read.
    """
    path.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        resolved = {"run": kind, **resolve(config), **{name: as_json(value) for name, value in (also or {}).items()}}
        is_new = not (path / CONFIG).exists()
        if not is_new:
            _check_same(path, {**(absent or {}), **read_json(path / CONFIG)}, resolved)
        else:
            write_json(path / PROVENANCE, provenance(resolved))
            write_json(path / CONFIG, resolved)
        for name in (JOURNAL, METRICS):
            drop_torn_line(path / name)
        run = Run(path)
        run.metric({"event": "opened", "commit": commit()})
        try:
            yield run
        except (ConfigError, DataError):
            if is_new:
                _take_back(path)
            raise
        run.metric({"event": "closed"})


def _take_back(path: Path) -> None:
    """Leave nothing of a run that was refused before it did anything: a typo must not take the directory."""
    ours = (CONFIG, PROVENANCE, METRICS)
    if all(it.name in ours for it in path.iterdir()):
        for name in ours:
            (path / name).unlink(missing_ok=True)


def as_json(value: object) -> Any:
    """Turn dataclasses and enums into what JSON gives back when it is read again."""
    return json.loads(json.dumps(asdict(value) if is_dataclass(value) and not isinstance(value, type) else value))


def resolve(config: object) -> dict[str, Any]:
    """Turn a dataclass into what JSON gives back when it is read again: tuples as lists, paths as text."""
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"config is {type(config).__name__}: need a dataclass")
    values = {name: value for name, value in asdict(config).items() if name not in _ELSEWHERE}
    return json.loads(json.dumps(what_only(config, values), default=str))


def write_json(path: Path, value: object) -> None:
    """Write JSON under a temporary name and rename it: readers see the old file or the whole new one."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it."""
    with replace_file(path) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    # The lock is on the directory itself: no lock file can be left behind, and the kernel drops it with the process.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(f"{path} is in use by another process: wait until it ends or give another --out") from None
    try:
        yield
    finally:
        os.close(descriptor)


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    difference = _first_difference(before, now)
    if difference:
        field, was, wanted = difference
        raise ConfigError(f"{path} was run with {field}={was!r}, now {field}={wanted!r}: give another --out")


def _first_difference(before: Any, now: Any, field: str = "") -> tuple[str, Any, Any] | None:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in sorted({*before, *now}):
            inner = _first_difference(before.get(name), now.get(name), f"{field}.{name}" if field else name)
            if inner:
                return inner
        return None
    return None if before == now else (field, before, now)
