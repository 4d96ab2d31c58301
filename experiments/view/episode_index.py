"""Index of the journals of several runs in an SQLite database in memory, which follows journals as they grow.

Lines are found again by their place in the file, so that texts and frames are read for the episodes that are opened
alone. Words are searched with SQLite's own full-text index (FTS5).
"""

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from experiments.analysis.episode_rows import COLUMNS, EpisodeRow, rollouts_per_step, row_of
from experiments.runs.read_run import CONFIG, JOURNAL, read_json
from experiments.view.selection import Selection
from vt_env.errors import DataError
from vt_env.jsonl import is_torn

DATASET = "dataset"
"""Folder of a run whose shards are shown beside its journal."""
_BATCH = 500
"""Lines that are indexed before readers get their turn."""
COMBINED = ("run", "policy", "family", "status", "outcome")
FACETS = (*COMBINED, "tag")
"""Columns whose values the list counts."""
_SCHEMA = f"""
CREATE TABLE episodes (id INTEGER PRIMARY KEY AUTOINCREMENT, run, place, size, combination INTEGER,
  {", ".join(COLUMNS)});
CREATE TABLE tags (run TEXT, task_id TEXT, sample INTEGER, tag TEXT);
CREATE INDEX by_task ON episodes (task_id);
CREATE INDEX by_run ON episodes (run);
CREATE INDEX by_combination ON episodes (combination);
CREATE INDEX tags_by_episode ON tags (run, task_id, sample);
CREATE VIRTUAL TABLE words USING fts5 (text, content='');
"""
_NAMES = ("run", "place", "size", "combination", *COLUMNS)
_INSERT = f"INSERT INTO episodes ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"


@dataclass
class IndexedRun:
    """A run directory and how far its journal has been read."""

    name: str
    path: Path
    config: Mapping[str, Any]
    journal: Path
    """File of trajectories: the journal, or a shard of the data set that a synthesis has made of it."""
    read_bytes: int = 0
    is_torn: bool = False
    """Whether bytes of a half-written line follow the last whole one."""
    file_id: tuple[int, int] | None = None
    """Device and inode of the journal that was read."""


@dataclass(frozen=True)
class Page:
    """Part of a selection, as the list shows it."""

    total: int
    rows: Sequence[Mapping[str, Any]]
    facets: Mapping[str, Mapping[str, int]]
    """Column to value to number of episodes, each under all filters but its own."""


@dataclass
class EpisodeIndex:
    """Index of the journals of run directories.

    Args:
        paths: Run directories by the name that the viewer shows.
    """

    paths: Mapping[str, Path]
    runs: dict[str, IndexedRun] = field(init=False)

    def __post_init__(self) -> None:
        found = [run for name, path in self.paths.items() for run in _files_of(name, path)]
        self.runs = {run.name: run for run in found}
        self._lock = RLock()
        self._combinations: list[tuple[str, ...]] = []
        self._numbers: dict[tuple[str, ...], int] = {}
        self._base = sqlite3.connect(":memory:", check_same_thread=False)
        self._base.row_factory = sqlite3.Row
        self._base.executescript(_SCHEMA)

    def refresh(self, show: Callable[[float], object] = lambda share: None) -> int:
        """Read what journals have gained; return the number of new lines.

        A journal that was replaced or shortened is read again from its start. A torn last line waits for its rest.

        Args:
            show: Called with `read_share` as lines are read.
        """
        added = 0
        for run in self.runs.values():
            for count in self._refresh(run):
                added += count
                show(self.read_share())
        return added

    def read_share(self) -> float:
        """Return the share of the journals' bytes that has been read, 0 to 1."""
        sizes = [run.journal.stat().st_size for run in self.runs.values() if run.journal.exists()]
        read = sum(run.read_bytes for run in self.runs.values())
        return min(1.0, read / sum(sizes)) if any(sizes) else 1.0

    def select(self, selection: Selection) -> Page:
        """Return the rows of a selection, the number of all of them and the values of `FACETS`."""
        where, values = selection.where()
        columns = ", ".join(["id", "run", *COLUMNS])
        order, limit = selection.order(), (selection.size, selection.page * selection.size)
        with self._lock:
            total = sum(count for _, count in self._count(selection))
            found = self._base.execute(
                f"SELECT {columns} FROM episodes WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?", (*values, *limit)
            ).fetchall()
            rows = [dict(row) | {"tags": self._tags(row)} for row in found]
            facets = self._facets(selection)
        return Page(total, rows, facets)

    def line(self, episode_id: int) -> tuple[IndexedRun, bytes]:
        """Read the journal line of an episode.

        Raises:
            DataError: There is no such episode, or its journal has been replaced since it was indexed.
        """
        with self._lock:
            row = self._base.execute("SELECT run, place, size FROM episodes WHERE id = ?", (episode_id,)).fetchone()
        if row is None:
            raise DataError(f"no episode {episode_id}; reload the list")
        run = self.runs[row["run"]]
        with run.journal.open("rb") as file:
            if _file_id(file.fileno()) != run.file_id:
                raise DataError(f"{run.journal}: replaced while it was shown; reload the list")
            file.seek(row["place"])
            return run, file.read(row["size"])

    def ids_of(self, task_id: str) -> list[dict[str, Any]]:
        """List the episodes about a task, in all runs: id, run, policy, sample, step, outcome, reward."""
        with self._lock:
            found = self._base.execute(
                "SELECT id, run, policy, sample, step, outcome, reward, calls, answer FROM episodes WHERE task_id = ? "
                "ORDER BY run, step, sample",
                (task_id,),
            ).fetchall()
        return [dict(row) for row in found]

    def pairs(self, first: str, second: str) -> list[dict[str, Any]]:
        """List the attempts that two runs share, in the first one's order: task, attempt, and each run's row."""
        kept = ("id", "outcome", "answer", "calls", "frames", "reward")
        columns = ", ".join(f"{side}.{name} AS {name}_{side}" for side in ("a", "b") for name in kept)
        query = (
            f"SELECT a.task_id, a.sample, a.family, a.video, a.question, {columns} FROM episodes a JOIN episodes b "
            "ON a.task_id = b.task_id AND a.sample = b.sample WHERE a.run = ? AND b.run = ? AND a.task_id != '' "
            "ORDER BY a.id"
        )
        with self._lock:
            return [dict(row) for row in self._base.execute(query, (first, second)).fetchall()]

    def rows_of(self, run: str) -> list[EpisodeRow]:
        """Return the rows of a run, in the order of its journal."""
        with self._lock:
            found = self._base.execute(f"SELECT {', '.join(COLUMNS)} FROM episodes WHERE run = ? ORDER BY id", (run,))
            return [EpisodeRow(*row) for row in found.fetchall()]

    def row(self, episode_id: int) -> dict[str, Any]:
        """Return the row of an episode.

        Raises:
            DataError: There is no such episode.
        """
        with self._lock:
            row = self._base.execute("SELECT * FROM episodes WHERE id = ?", (episode_id,)).fetchone()
            if row is None:
                raise DataError(f"no episode {episode_id}; reload the list")
            return dict(row) | {"tags": self._tags(row)}

    def set_tags(self, run: str, tags: Mapping[tuple[str, int], Sequence[str]]) -> None:
        """Replace the tags of a run's episodes, given by task id and sample."""
        rows = [(run, task_id, sample, tag) for (task_id, sample), own in tags.items() for tag in own]
        with self._lock:
            self._base.execute("DELETE FROM tags WHERE run = ?", (run,))
            self._base.executemany("INSERT INTO tags VALUES (?, ?, ?, ?)", rows)

    def _tags(self, row: sqlite3.Row) -> list[str]:
        key = (row["run"], row["task_id"], row["sample"])
        found = self._base.execute("SELECT tag FROM tags WHERE run = ? AND task_id = ? AND sample = ?", key)
        return sorted(it["tag"] for it in found.fetchall())

    def _facets(self, selection: Selection) -> dict[str, dict[str, int]]:
        """Count the values of each facet. Combinations of values are few, so that rows are counted by them."""
        free = [name for name in COMBINED if name not in selection.choices]
        facets: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
        for names in (free, *([name] for name in COMBINED if name not in free)):
            for combination, count in self._count(selection.without(*names)):
                for name in names:
                    facets[name][self._combinations[combination][COMBINED.index(name)]] += count
        where, values = selection.without("tag").where()
        query = f"SELECT tag, count(*) FROM tags JOIN episodes USING (run, task_id, sample) WHERE {where} GROUP BY tag"
        facets["tag"] = Counter(dict(self._base.execute(query, values).fetchall()))
        return {name: dict(sorted(counts.items())) for name, counts in facets.items()}

    def _count(self, selection: Selection) -> list[tuple[int, int]]:
        where, values = selection.where()
        # Without a filter the index alone answers; with one, a walk along it would visit the rows out of order.
        by = "+combination" if values or selection.untagged else "combination"
        return self._base.execute(
            f"SELECT combination, count(*) FROM episodes WHERE {where} GROUP BY {by}", values
        ).fetchall()

    def _refresh(self, run: IndexedRun) -> Iterator[int]:
        """Read what a journal has gained; yields the number of new lines of each batch."""
        try:
            file = run.journal.open("rb")
        except FileNotFoundError:
            return
        with file:
            file_id, size = _file_id(file.fileno()), os.fstat(file.fileno()).st_size
            if run.file_id != file_id or size < run.read_bytes:
                self._forget(run)
                run.file_id = file_id
            file.seek(run.read_bytes)
            for lines in _batches(_whole_lines(file)):
                yield self._add(run, lines)
            run.is_torn = run.read_bytes < os.fstat(file.fileno()).st_size

    def _add(self, run: IndexedRun, lines: Sequence[bytes]) -> int:
        rollouts = rollouts_per_step(run.config)
        read = [(line, *row_of(line, rollouts)) for line in lines if line.strip()]
        place = run.read_bytes
        places: list[int] = []
        for line in lines:
            if line.strip():
                places.append(place)
            place += len(line)
        with self._lock:
            for (line, row, text), start in zip(read, places, strict=True):
                values = [run.name, start, len(line), self._combination(run.name, row), *astuple(row)]
                added = self._base.execute(_INSERT, [_storable(it) for it in values]).lastrowid
                self._base.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (added, _storable(text)))
            run.read_bytes = place
        return len(read)

    def _combination(self, run: str, row: EpisodeRow) -> int:
        """Return the number of the row's values of `COMBINED`, counted up as they first occur."""
        own = (run, *(str(_storable(getattr(row, name))) for name in COMBINED[1:]))
        number = self._numbers.setdefault(own, len(self._combinations))
        if number == len(self._combinations):
            self._combinations.append(own)
        return number

    def _forget(self, run: IndexedRun) -> None:
        with self._lock:
            self._base.execute("DELETE FROM episodes WHERE run = ?", (run.name,))
            run.read_bytes = 0


def _files_of(name: str, path: Path) -> Iterator[IndexedRun]:
    config = read_json(path / CONFIG)
    yield IndexedRun(name, path, config, path / JOURNAL)
    for shard in sorted(path.glob(f"{DATASET}/trajectories-*.jsonl")):
        yield IndexedRun(f"{name}/{DATASET}/{shard.stem}", path, config, shard)


def _whole_lines(file: Any) -> Iterator[bytes]:
    for line in file:
        if is_torn(line):
            return
        yield line


def _batches(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _file_id(descriptor: int) -> tuple[int, int]:
    stat = os.fstat(descriptor)
    return stat.st_dev, stat.st_ino


def _storable(value: Any) -> Any:
    """Replace half surrogates, which SQLite cannot hold and which replies cut by a server may end in."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
