"""Sources of clip retrieval, and the search over them.

A source scores the clips of one video for a query: by their pictures, by their captions, by text on the screen. One
source alone ranks by its own scores; several are fused by rank. Knows nothing of stores, encoders or episodes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vt_env.media.search.rank_fusion import RANK_SHIFT, Scores, ranks, reciprocal_ranks
from vt_env.types import Interval, ScoredInterval

PICTURES, CAPTIONS, SCREEN_TEXT = "pictures", "captions", "screen text"
"""Names of the built-in sources, as results show them."""

MAX_MERGED = 6
"""Maximum number of clips in a merged interval: one minute of 10-second clips."""


class ClipSource(Protocol):
    """Scores the clips of one video for a query."""

    @property
    def name(self) -> str:
        """Name of the source in results, such as `"captions"`."""
        ...

    def scores(self, query: str) -> Scores:
        """Return one score per clip, float[C], in time order: higher is better, 0 or less is no match."""
        ...


@dataclass(frozen=True, eq=False)
class ClipSearch:
    """Search over the clips of one video by all of its sources."""

    sources: tuple[ClipSource, ...]
    """Without a source, nothing is found."""
    clip_s: float
    duration_s: float

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sources."""
        return tuple(source.name for source in self.sources)

    def search(self, query: str, top_k: int) -> list[ScoredInterval]:
        """Return up to `top_k` intervals that match `query`, best first, with the sources that found each.

        With one source, clips have its scores. With several, clips are ranked by reciprocal rank fusion, and the score
        is the sum of 1 / (60 + rank) divided by its maximum: 1 for the best clip of every source. Neighbouring clips
        are merged, see `merge_clips`.

        A source found an interval if its own best `top_k` intervals overlap it; if that is true of none, the sources
        that rank one of its clips highest did. The rule is our choice, since encoders of pictures score every clip.
        """
        scores = [source.scores(query) for source in self.sources]
        if len(scores) < 2:
            return [it for one in zip(self.names, scores, strict=True) for it in self._found_by(*one, top_k)]
        found = self._merged(_fused(scores), top_k)
        alone = [self._found_by(name, own, top_k) for name, own in zip(self.names, scores, strict=True)]
        return [ScoredInterval(it.interval, it.score, self._finders(it.interval, alone, scores)) for it in found]

    def clips_of(self, source: ClipSource, query: str) -> list[ScoredInterval]:
        """Return all clips that one source matches, in time order; neighbours are not merged."""
        scores = source.scores(query)
        bounds_s = ((int(clip) * self.clip_s, (int(clip) + 1) * self.clip_s) for clip in np.flatnonzero(scores > 0))
        intervals = (Interval(start_s, min(end_s, self.duration_s)) for start_s, end_s in bounds_s)
        matching = scores[scores > 0].tolist()
        return [ScoredInterval(it, score, (source.name,)) for it, score in zip(intervals, matching, strict=True)]

    def _found_by(self, name: str, scores: Scores, top_k: int) -> list[ScoredInterval]:
        return [ScoredInterval(it.interval, it.score, (name,)) for it in self._merged(scores, top_k)]

    def _merged(self, scores: Scores, top_k: int) -> list[ScoredInterval]:
        return merge_clips(scores, top_k, self.clip_s, self.duration_s)

    def _finders(
        self, interval: Interval, alone: Iterable[Sequence[ScoredInterval]], scores: Sequence[Scores]
    ) -> tuple[str, ...]:
        named = [any(it.interval.overlap_s(interval) > 0 for it in hits) for hits in alone]
        if not any(named):
            clips = slice(round(interval.start_s / self.clip_s), ceil(interval.end_s / self.clip_s - 1e-9))
            best = [int(ranks(own)[clips].min()) if own[clips].max() > 0 else len(own) + 1 for own in scores]
            named = [rank == min(best) for rank in best]
        return tuple(name for name, is_named in zip(self.names, named, strict=True) if is_named)


def clip_count(duration_s: float, clip_s: float) -> int:
    """Return the number of clips of a video, the last of which may be shorter; at least 1."""
    # The tolerance keeps a rounding error of the duration from adding an empty clip.
    return max(1, ceil(duration_s / clip_s - 1e-9))


def merge_clips(scores: Scores, top_k: int, clip_s: float, duration_s: float) -> list[ScoredInterval]:
    """Return up to `top_k` intervals of matching clips, best first; ties in time order.

    Clips are processed in descending order of score. A clip adjacent to a found interval extends it, up to `MAX_MERGED`
    clips, instead of starting a new one; the search ends at the first clip that would need interval `top_k + 1`. An
    interval has the score of its best clip. Clips with a score of 0 or less are left out.

    Merging is our choice, as the paper does not mention neighbouring clips. Without it, one long event would fill all
    results.
    """
    groups: list[_Group] = []
    for clip in _best_first(scores, MAX_MERGED * max(0, top_k) + 1):
        score = float(scores[clip])
        group = next((group for group in groups if group.touches(clip)), None)
        if score <= 0 or (group is None and len(groups) >= top_k):
            break
        if group is None:
            groups.append(_Group(clip, clip + 1, score))
        else:
            group.start, group.end = min(group.start, clip), max(group.end, clip + 1)
    return [ScoredInterval(Interval(it.start * clip_s, min(it.end * clip_s, duration_s)), it.score) for it in groups]


def _best_first(scores: Scores, likely: int) -> Iterator[int]:
    """Yield clips in descending order of score, ties in time order; at first, `likely` of them are sorted.

    Sorting all clips of ten hours would take as long as scoring them.
    """
    yielded = 0
    while yielded < len(scores):
        last = min(likely, len(scores)) - 1
        # All ties with the last one are among them, so they begin a sort of all clips.
        among = np.flatnonzero(-scores <= np.partition(-scores, last)[last])
        order = among[np.argsort(-scores[among], kind="stable")]
        yield from order[yielded:].tolist()
        yielded, likely = len(order), 8 * len(order)


@dataclass(eq=False)
class _Group:
    """Neighbouring clips `[start, end)` returned as one interval."""

    start: int
    end: int
    score: float

    def touches(self, clip: int) -> bool:
        return clip in (self.start - 1, self.end) and self.end - self.start < MAX_MERGED


def _fused(scores: Sequence[Scores]) -> NDArray[np.float64]:
    """Fuse the scores of several sources, float64[C]: 0 for clips that none found, 1 for the best clip of each."""
    total = np.sum([np.where(own > 0, reciprocal_ranks(own), 0.0) for own in scores], axis=0)
    return total * (RANK_SHIFT + 1) / len(scores)
