"""Clips ranked by the timed lines on screen during them: captions, or text read from the screen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from vt_env.media.search.rank_fusion import reciprocal_ranks
from vt_env.media.search.sources import clip_count
from vt_env.media.text.bm25 import WordIndex
from vt_env.media.text.line_index import LineIndex
from vt_env.types import SubtitleLine


@dataclass(frozen=True, eq=False)
class LineSource:
    """A `vt_env.media.search.sources.ClipSource`: a clip scores as the best of the lines that overlap it."""

    name: str
    lines: Sequence[SubtitleLine] = field(repr=False)
    clip_s: float
    duration_s: float
    meanings: LineIndex | None = field(default=None, repr=False)
    """Embeddings of the same lines; adds meaning to words."""

    def scores(self, query: str) -> NDArray[np.float64]:
        """Return float64[C], the largest score of a clip's lines.

        Lines score by BM25, 0 without a common word. With `meanings`, the rankings of lines by BM25 and by cosine are
        combined by reciprocal rank fusion, so that every line has a score.
        """
        best = np.zeros(clip_count(self.duration_s, self.clip_s))
        scores = line_scores(self._words, self.meanings, query)
        for number in np.flatnonzero(scores > 0).tolist():
            interval = self.lines[number].interval
            first, after = int(interval.start_s // self.clip_s), ceil(interval.end_s / self.clip_s)
            best[first:after] = np.maximum(best[first:after], scores[number])
        return best

    @cached_property
    def _words(self) -> WordIndex:
        return WordIndex([line.text for line in self.lines])


def line_scores(words: WordIndex, meanings: LineIndex | None, query: str) -> NDArray[np.float64]:
    """Return the score of each line, float64[N]: BM25, or its fusion with the ranking by meaning."""
    scores = words.scores(query)
    if meanings is None:
        return scores
    by_words = np.where(scores > 0, reciprocal_ranks(scores), 0.0)
    return by_words + reciprocal_ranks(meanings.cosines(query))
