"""Summaries of subtitles that a language model writes, each written once and kept, so that replays read the same.

Knows the cache; knows no model: whoever has one hands it in.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vt_env.media.cache import build_once, cache_key
from vt_env.media.sealed import checksum, read_sealed, touch, write_sealed
from vt_env.types import SubtitleLine

SCHEMA = 1
"""Version of the summary file; part of its key."""

FOLDER = "summaries"
MAX_LINES = 400
"""Lines that a summariser is given at most: about half an hour of talk, 6000 tokens. Our choice."""


class Summariser(Protocol):
    """Writes what subtitles say about a query."""

    @property
    def key(self) -> str:
        """Names the model, its prompt and its settings; part of cache keys."""
        ...

    def summarise(self, query: str, lines: Sequence[SubtitleLine]) -> str:
        """Return a short text about `query` from the lines, which are in time order.

        What it raises ends the episode as invalid: a summary that could not be written must not look like one.
        """
        ...


@dataclass(frozen=True)
class WrittenSummaries:
    """Asks a summariser once for each query and track."""

    summariser: Summariser
    cache_dir: Path

    def about(self, query: str, lines: Sequence[SubtitleLine]) -> str:
        """Return the summary, written now or before.

        Raises:
            DataError: The kept summary is damaged.
            ConfigError: The cache cannot be written.
        """
        said = [[line.interval.start_s, line.interval.end_s, line.text] for line in lines]
        about = {"schema": SCHEMA, "summariser": self.summariser.key, "query": query}
        about["lines"] = checksum(json.dumps(said).encode())
        path = self.cache_dir / FOLDER / f"{cache_key(**about)}.txt"
        build_once(
            path, lambda aside: write_sealed(aside, about, self.summariser.summarise(query, lines).strip().encode())
        )
        text = read_sealed(path, SCHEMA).payload.decode()
        touch(path)
        return text
