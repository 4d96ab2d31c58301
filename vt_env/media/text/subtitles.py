"""Subtitle and caption tracks: search, summaries, and caption files.

Works without a model. An optional text encoder makes the search hybrid, and an optional summariser writes prose.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from vt_env.errors import DataError, is_shortage
from vt_env.jsonl import decode_object, read_jsonl
from vt_env.media.search.line_source import line_scores
from vt_env.media.text.bm25 import WordIndex, words_of
from vt_env.media.text.line_index import LineIndex
from vt_env.media.text.summaries import MAX_LINES, WrittenSummaries
from vt_env.timed_lines import Caption, CloseUp, TimedLines, ended_with
from vt_env.types import Box, Interval, SubtitleLine


@dataclass(frozen=True)
class SubtitleTrack:
    """Timed lines of one video, in time order; lines may overlap."""

    lines: tuple[SubtitleLine, ...] = ()
    dropped: int = 0
    """Number of source lines left out for invalid times."""
    source: str = field(default="", compare=False)
    """Where the lines are from, such as the name of a file or of a text stream; empty for none."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What a reader should know about them, a line each: a guessed encoding, lines left out, other tracks."""
    meanings: LineIndex | None = field(default=None, compare=False, repr=False)
    """Embeddings of the same lines; makes the search hybrid."""
    written: WrittenSummaries | None = field(default=None, compare=False, repr=False)
    """Source of model-written summaries; `None` means that only `summary` is available."""

    def within(self, interval: Interval) -> list[SubtitleLine]:
        """Return the lines that overlap `interval`, in time order."""
        return self._timed.within(interval)

    def search(self, query: str, top_k: int) -> list[tuple[SubtitleLine, float]]:
        """Return up to `top_k` lines that match `query`, with their scores, best first; ties in time order.

        Without `meanings`, the lines that share a word with the query are ranked by BM25. With `meanings`, the BM25 and
        the embedding ranking are combined by reciprocal rank fusion: a line scores the sum of 1 / (60 + rank) over the
        rankings that contain it, and ties share a rank. Our choice: the paper does not specify its subtitle search.
        """
        if self.meanings is None:
            return [(self.lines[number], score) for number, score in islice(self._index.ranked(query), max(0, top_k))]
        fused = line_scores(self._index, self.meanings, query)
        best: Sequence[int] = np.argsort(-fused, kind="stable")[: max(0, top_k)].tolist()
        return [(self.lines[number], float(fused[number])) for number in best]

    def summary(self, query: str, max_lines: int) -> list[SubtitleLine]:
        """Return the up to `max_lines` lines most relevant to `query`, in time order.

        Selects the best lines by BM25, skipping lines whose words all occur in a better line. Without a match, selects
        lines spread evenly over the track. Our choice: the paper's summaries are written by a language model, as in
        `written_summary`, with an unpublished method.
        """
        chosen: list[SubtitleLine] = []
        said: list[set[str]] = []
        for number, _ in self._index.ranked(query):
            if len(chosen) == max_lines:
                break
            words = set(words_of(self.lines[number].text))
            if not any(words <= before for before in said):
                chosen.append(self.lines[number])
                said.append(words)
        if not chosen:
            spread = np.linspace(0, len(self.lines) - 1, min(max_lines, len(self.lines)))
            chosen = [self.lines[number] for number in np.round(spread).astype(int)]
        return sorted(chosen, key=lambda line: line.interval)

    def written_summary(self, query: str) -> str | None:
        """Return a model-written summary about `query`; `None` without a summariser or without lines.

        The model reads the whole track, or the lines of `summary` if the track is longer than `MAX_LINES`.
        """
        if self.written is None or not self.lines:
            return None
        return self.written.about(query, self.lines if len(self.lines) <= MAX_LINES else self.summary(query, MAX_LINES))

    def ended_with(self, duration_s: float) -> "SubtitleTrack":
        """Return the track without the lines that begin after the video's end, which no tool could look at."""
        kept = tuple(ended_with(self.lines, duration_s))
        late = len(self.lines) - len(kept)
        note = f"{late} of {len(self.lines)} lines left out, since they begin after the video's end"
        return replace(
            self, lines=kept, notes=(*self.notes, f"{note}; are they of this video?") if late else self.notes
        )

    @cached_property
    def _timed(self) -> TimedLines:
        return TimedLines(self.lines)

    @cached_property
    def _index(self) -> WordIndex:
        return WordIndex([line.text for line in self.lines])


def load_captions(path: Path) -> TimedLines:
    """Load timed captions from JSON lines of `start_s`, `end_s`, `text` and optional `close_ups`, in time order.

    Raises:
        DataError: The file is missing, empty, or has an invalid line; the message names the line.
    """
    need = 'need {"start_s": 0.0, "end_s": 1.0, "text": "…"}'
    try:
        captions = list(read_jsonl(path, _caption, remedy=need))
    except OSError as error:
        raise unreadable(path, error) from error
    if not captions:
        raise DataError(f"{path}: no captions in it; write them, or leave the file out of the task")
    return TimedLines(captions)


def _caption(line: bytes) -> Caption:
    entry = decode_object(line)
    if not isinstance(entry["text"], str):
        raise TypeError("the text is not a string")
    interval = Interval(float(entry["start_s"]), float(entry["end_s"]))
    close_ups = tuple(
        CloseUp(Box(*map(float, it["box"])), str(it["text"]), float(it["largest_side"]))
        for it in entry.get("close_ups", ())
    )
    return Caption(interval, entry["text"], close_ups)


def unreadable(path: Path, error: OSError) -> OSError | DataError:
    """Return the error for a file that the system does not let read; the same one where it is short of something."""
    if is_shortage(error):
        return error
    return DataError(f"{path}: cannot be read ({error.strerror}); check the path")
