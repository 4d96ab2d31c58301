"""Summaries of subtitles that a language model writes, each written once and kept, so that replays read the same.

Knows the cache; knows no model: whoever has one hands it in.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vt_env.control_tokens import as_plain_text
from vt_env.media.cache.build_once import build_once, cache_key
from vt_env.media.cache.sealed_files import checksum, read_sealed, touch, write_sealed
from vt_env.types import SubtitleLine, format_time

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


PROMPT = (
    "These are subtitles of a video, each with the time at which it is spoken.\n\n{lines}\n\n"
    "In three sentences at most, what do they say about this: {query}\n"
    "Give the times of what you mention as mm:ss. If they say nothing about it, say so."
)
"""What `ChatSummariser` asks. Our choice: the paper publishes no prompt."""


@dataclass(frozen=True)
class ChatSummariser:
    """Has a chat model write summaries."""

    model: str
    """Names the model and its settings; part of cache keys."""
    reply: Callable[[str], str]
    """Sends a prompt and returns what the model writes, such as a method of a chat backend's client."""

    @property
    def key(self) -> str:
        """Names the model and the prompt."""
        return f"chat-{self.model}-{checksum(PROMPT.encode())[:16]}"

    def summarise(self, query: str, lines: Sequence[SubtitleLine]) -> str:
        """Ask the model, as `Summariser.summarise`; control tokens in subtitles and query are broken."""
        said = "\n".join(f"{format_time(line.interval.start_s)} {line.text}" for line in lines)
        return self.reply(PROMPT.format(lines=as_plain_text(said), query=as_plain_text(query)))


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
