"""Run directories: resolved configuration, provenance, journal and metrics of one run.

A run directory holds `config.json` (the resolved configuration), `provenance.json` (commit, versions, seeds, machine),
`journal.jsonl` (one record per line, appended and flushed) and `metrics.jsonl`. A killed run resumes when its directory
is opened again with the same configuration; another configuration is refused, so that no table mixes two. This module
knows no episode and no training, and is the only user of the clock. Readers are in `experiments.runs.read_run`.

With `$VT_ENV_REMOTE_RUNS`, the address of an object store, a run is copied there at checkpoints, every ten minutes of
its journal and at its end, and one that is missing here is fetched from there and resumed.
"""

import fcntl
import json
import os
import re
import time
import warnings
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
from vt_env.media.cache.published import fetch, publish
from vt_env.valid_text import as_valid_text

REMOTE_RUNS = "VT_ENV_REMOTE_RUNS"
"""Environment variable: address that run directories are copied to."""
_SYNC_EVERY_S = 600
"""Seconds between copies of a run that only journals."""
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
        self._synced_s = 0.0

    def journal(self, record: object) -> None:
        """Append one record, a dataclass or a mapping, to the journal and flush it.

        Raises:
            ValueError: A number is not finite.
        """
        append_line(self.path / JOURNAL, encode_record(record))
        if self.elapsed_s - self._synced_s >= _SYNC_EVERY_S:
            self.sync()

    def sync(self) -> None:
        """Copy the directory to `$VT_ENV_REMOTE_RUNS`, if there is one; warns where that fails, as the run goes on."""
        try:
            publish_run(self.path)
        except ConfigError as reason:
            warnings.warn(f"{reason}; the run goes on and tries again", stacklevel=2)
        self._synced_s = self.elapsed_s

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
        ConfigError: The directory belongs to a run with another configuration, another process uses it, it is an
            address, or the copy of `$VT_ENV_REMOTE_RUNS` cannot be read or written.
        DataError: Its `config.json` cannot be read.
    """
    if re.match(r"\w+:/", str(path)):
        got = f"--out {path}: an object store cannot append"
        raise ConfigError(f"{got}; give a local folder, and set {REMOTE_RUNS} to copy it there (docs/scale.md)")
    path.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        remote = _remote_of(path)
        if remote is not None and not (path / CONFIG).exists():
            fetch(remote, path)
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
            # An address that cannot be written is refused before any work.
            publish_run(path)
            yield run
        except BaseException as reason:
            if is_new and isinstance(reason, ConfigError | DataError):
                _remove_unstarted(path)
            if (path / CONFIG).exists():
                run.sync()
            raise
        run.metric({"event": "closed"})
        publish_run(path)


def publish_run(path: Path) -> None:
    """Copy a run directory to `$VT_ENV_REMOTE_RUNS`, if there is one: what has changed since the last copy.

    Raises:
        ConfigError: It cannot be written there.
    """
    remote = _remote_of(path)
    if remote is not None:
        publish(path, remote)


def _remote_of(path: Path) -> str | None:
    """Return the address of a run: its path in the working directory, or its name, below `$VT_ENV_REMOTE_RUNS`."""
    remote, whole = os.environ.get(REMOTE_RUNS), path.resolve()
    if not remote:
        return None
    inside = whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else Path(whole.name)
    return f"{remote.rstrip('/')}/{inside.as_posix()}"


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
