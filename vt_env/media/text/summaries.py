"""Model-written subtitle summaries, cached on disk so that replays read the same text.

Knows the cache; the caller supplies the model.
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
"""Maximum number of lines given to a summariser: about half an hour of speech, 6000 tokens. Our choice."""


class Summariser(Protocol):
    """Writes query-focused summaries of subtitles."""

    @property
    def key(self) -> str:
        """Identifier of the model, its prompt and its settings; part of cache keys."""
        ...

    def summarise(self, query: str, lines: Sequence[SubtitleLine]) -> str:
        """Return a short text about `query` from `lines`, which are in time order.

        Must raise on failure, which ends the episode as invalid: a failed summary must not look like a summary.
        """
        ...


PROMPT = (
    "These are subtitles of a video, each with the time at which it is spoken.\n\n{lines}\n\n"
    "In three sentences at most, what do they say about this: {query}\n"
    "Give the times of what you mention as mm:ss. If they say nothing about it, say so."
)
"""Prompt of `ChatSummariser`. Our choice: the paper publishes no prompt."""


@dataclass(frozen=True)
class ChatSummariser:
    """Summariser that prompts a chat model."""

    model: str
    """Identifier of the model and its settings; part of cache keys."""
    reply: Callable[[str], str]
    """Sends a prompt and returns the model's reply, such as a method of a chat client."""

    @property
    def key(self) -> str:
        """Identifier of the model and the prompt."""
        return f"chat-{self.model}-{checksum(PROMPT.encode())[:16]}"

    def summarise(self, query: str, lines: Sequence[SubtitleLine]) -> str:
        """Prompt the model, as `Summariser.summarise`, with control tokens in subtitles and query broken up."""
        said = "\n".join(f"{format_time(line.interval.start_s)} {line.text}" for line in lines)
        return self.reply(PROMPT.format(lines=as_plain_text(said), query=as_plain_text(query)))


@dataclass(frozen=True)
class WrittenSummaries:
    """Disk cache of a summariser: one call per query and track."""

    summariser: Summariser
    cache_dir: Path

    def about(self, query: str, lines: Sequence[SubtitleLine]) -> str:
        """Return the cached summary of `lines` about `query`, writing it on first use.

        Raises:
            DataError: The cached summary is damaged.
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
