"""Run directories: resolved configuration, provenance, journal and metrics of one run.

A run directory holds `config.json` (the resolved configuration), `provenance.json` (commit, versions, seeds, machine),
`journal.jsonl` (one record per line, appended and flushed) and `metrics.jsonl`. A killed run resumes when its directory
is opened again with the same configuration; another configuration is refused, so that no table mixes two. This module
knows no episode and no training, and is the only user of the clock. Readers are in `experiments.runs.read_run`.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from experiments.runs.provenance import commit, provenance
from experiments.runs.read_run import CONFIG, JOURNAL, METRICS, PROVENANCE, drop_how_only, read_json, read_metrics
from vt_env.errors import ConfigError, DataError
from vt_env.hashing import fingerprint
from vt_env.jsonl import append_line, drop_torn_line, encode_record, replace_file
from vt_env.valid_text import as_valid_text

_ELSEWHERE = ("out",)
"""Fields that name the location of a run; they are not kept or compared."""


class Stopwatch:
    """Seconds since construction, by a monotonic clock."""

    def __init__(self) -> None:
        self._start_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since construction."""
        return time.monotonic() - self._start_s


class Run:
    """An open run directory, made by `open_run`, which holds its lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._watch = Stopwatch()

    def journal(self, record: object) -> None:
        """Append one record, a dataclass or a mapping, to the journal and flush it.

        Raises:
            ValueError: A number is not finite.
        """
        append_line(self.path / JOURNAL, encode_record(record))

    def add_provenance(self, entry: Mapping[str, Any]) -> str:
        """Store provenance shared by many journal records in `provenance.json`, once.

        A run resumed with another commit, other versions or another server has several entries.

        Args:
            entry: Plain JSON values.

        Returns:
            Key of the entry in `origins`: its fingerprint.
        """
        key = fingerprint(entry)
        known = read_json(self.path / PROVENANCE)
        if key not in known.get("origins", {}):
            write_json(self.path / PROVENANCE, {**known, "origins": {**known.get("origins", {}), key: dict(entry)}})
        return key

    def metrics(self) -> list[dict[str, Any]]:
        """Read all metrics, in order."""
        return read_metrics(self.path)

    def metric(self, record: Mapping[str, object]) -> None:
        """Append one line to the metrics, with `elapsed_s` since this process opened the run."""
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
    """Start a run in `path`, or resume the run there.

    A new run that raises one of these errors before it has written anything leaves the directory empty.

    Args:
        path: The run directory; made if missing.
        kind: Kind of run: `"eval"`, `"sft"`, `"grpo"`, ... Kept as `run` in `config.json`.
        config: A frozen dataclass; its field `out` is not kept.
        also: Further values that determine the run, such as those of a preset; kept and compared like `config`.
        absent: Values of names in `also` that runs of earlier versions do not hold.

    Raises:
        ConfigError: The directory belongs to a run with another configuration, or another process uses it.
        DataError: Its `config.json` cannot be read.
    """
    path.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        resolved = {"run": kind, **resolve(config), **{name: as_json(value) for name, value in (also or {}).items()}}
        is_new = not (path / CONFIG).exists()
        if not is_new:
            before = read_json(path / CONFIG)
            kept = {name: before[name] for name in also or {} if name in before}
            _check_same(path, {**(absent or {}), **_without_how(config, before), **kept}, resolved)
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
                _remove_unstarted(path)
            raise
        run.metric({"event": "closed"})


def _remove_unstarted(path: Path) -> None:
    """Remove the files of a run rejected before it started, so a typo does not claim the directory."""
    ours = (CONFIG, PROVENANCE, METRICS)
    if all(it.name in ours for it in path.iterdir()):
        for name in ours:
            (path / name).unlink(missing_ok=True)


def as_json(value: object) -> Any:
    """Convert dataclasses and enums to plain JSON values."""
    return json.loads(json.dumps(asdict(value) if is_dataclass(value) and not isinstance(value, type) else value))


def resolve(config: object) -> dict[str, Any]:
    """Convert a configuration to the JSON values kept in `config.json`: tuples as lists, paths as text.

    Raises:
        TypeError: `config` is not a dataclass instance.
    """
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"config is {type(config).__name__}: need a dataclass")
    values = {name: value for name, value in asdict(config).items() if name not in _ELSEWHERE}
    return json.loads(json.dumps(drop_how_only(config, values), default=str))


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically: readers see the old file or the whole new one."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; half a character, which a model may write, is shown as U+FFFD."""
    with replace_file(path) as part:
        part.write_text(as_valid_text(text), encoding="utf-8")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    # The lock is on the directory itself: no lock file is left behind, and the kernel releases it with the process.
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


def _without_how(config: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop values of fields that are marked `HOW_ONLY` now but were kept by an earlier version; unknown names stay."""
    kept = dict(values)
    for field in fields(config):
        inner, value = getattr(config, field.name), kept.get(field.name)
        if field.metadata.get("how_only"):
            kept.pop(field.name, None)
        elif is_dataclass(inner) and isinstance(value, Mapping):
            kept[field.name] = _without_how(inner, value)
    return kept


def _first_difference(before: Any, now: Any, field: str = "") -> tuple[str, Any, Any] | None:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in sorted({*before, *now}):
            inner = _first_difference(before.get(name), now.get(name), f"{field}.{name}" if field else name)
            if inner:
                return inner
        return None
    return None if before == now else (field, before, now)
