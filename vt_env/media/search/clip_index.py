"""Search over fixed clips of a video: an exact inner-product index (FAISS) and the grouping of neighbours.

Knows frame stores and encoders; knows nothing of episodes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import ceil
from pathlib import Path

import faiss
import numpy as np

from vt_env.media.cache.build_once import build_once, cache_key, cache_root
from vt_env.media.cache.frame_store import FrameStore
from vt_env.media.cache.sealed_files import read_sealed, touch, write_sealed
from vt_env.media.search.encoders import ClipEncoder, Vectors
from vt_env.types import Interval, ScoredInterval

SCHEMA = 2
"""Version of the index file; part of its key."""

MAX_MERGED = 6
"""Clips that a merged interval spans at most: one minute of 10-second clips is still worth looking at."""


@dataclass(eq=False)
class _Group:
    """Neighbouring clips returned as one; positions are half-open."""

    start: int
    end: int
    score: float

    def touches(self, clip: int) -> bool:
        return clip in (self.start - 1, self.end) and self.end - self.start < MAX_MERGED


@dataclass(frozen=True, eq=False)
class ClipIndex:
    """The clips of one video, ready to be searched."""

    vectors: Vectors = field(repr=False)
    """float32[C, dim], the mean over each clip's stored frames."""
    clip_s: float
    duration_s: float
    encoder: ClipEncoder

    def search(self, query: str, top_k: int) -> list[ScoredInterval]:
        """Return up to `top_k` intervals that match `query`, the best first; of equals, the earlier.

        The ranking is walked from the best clip on. A clip that touches an interval already found extends it instead of
        taking a place, until the interval spans 6 clips; the walk ends at the first clip for which no place is left.
        An interval scores as its best clip. Clips that score 0 or less are left out. The paper does not say what it
        does with neighbouring clips; without merging, one long event would fill all places.
        """
        groups: list[_Group] = []
        # No walk is longer: a place takes 6 clips at most, and the next clip ends it.
        longest = MAX_MERGED * max(0, top_k) + 1
        for clip, score in self._ranked(self._encoded(query), longest):
            group = next((group for group in groups if group.touches(clip)), None)
            if score <= 0 or (group is None and len(groups) >= top_k):
                break
            if group is None:
                groups.append(_Group(clip, clip + 1, score))
            else:
                group.start, group.end = min(group.start, clip), max(group.end, clip + 1)
        return [ScoredInterval(self._interval(group), group.score) for group in groups]

    @cached_property
    def _flat(self) -> faiss.IndexFlatIP:
        flat = faiss.IndexFlatIP(self.vectors.shape[1])
        flat.add(self.vectors)
        return flat

    @cached_property
    def _encoded(self) -> Callable[[str], Vectors]:
        """The text encoder with its latest results kept: the attempts at one question ask alike."""
        return lru_cache(maxsize=256)(self.encoder.encode_text)

    def _ranked(self, query: Vectors, count: int) -> Iterator[tuple[int, float]]:
        """Yield clips and scores from the best on, equals in time order.

        FAISS is asked for the `count` best at first, and for more where equals of the last of them are needed.
        """
        told = 0
        while True:
            scores, clips = self._flat.search(query[None], min(count, len(self.vectors)))
            # FAISS leaves open which of equals it returns, so those equal to the last one wait for the next round.
            is_all = count >= len(self.vectors)
            sure = len(scores[0]) if is_all else int(np.count_nonzero(scores[0] > scores[0, -1]))
            order = np.lexsort((clips[0, :sure], -scores[0, :sure]))
            yield from ((int(clips[0, row]), float(scores[0, row])) for row in order[told:])
            # What scores 0 or less matches nothing.
            if is_all or scores[0, -1] <= 0:
                return
            told, count = sure, 8 * count

    def _interval(self, group: _Group) -> Interval:
        return Interval(group.start * self.clip_s, min(group.end * self.clip_s, self.duration_s))


def build_clip_index(store: FrameStore, encoder: ClipEncoder, cache_dir: Path | None = None) -> ClipIndex:
    """Open the clip index of a store, encoding its frames first if it is not there.

    Raises:
        DataError: The index file is damaged.
    """
    clip_s = store.config.clip_s
    key = cache_key(schema=SCHEMA, store=store.key, encoder=encoder.key, clip_s=clip_s)
    path = (cache_dir or cache_root()) / "clips" / f"{key}.f32"
    about = {"schema": SCHEMA, "media": store.media, "store": store.key, "encoder": encoder.key, "clip_s": clip_s}
    build_once(path, lambda aside: write_sealed(aside, about, _encode_clips(store, encoder).tobytes()))
    vectors = np.frombuffer(read_sealed(path, SCHEMA).payload, dtype=np.float32)
    touch(path)
    return ClipIndex(vectors.reshape(-1, encoder.dim), clip_s, store.video.duration_s, encoder)


def _clip_count(store: FrameStore) -> int:
    # The tolerance keeps rounding in the duration from making one more clip, with nothing in it.
    return max(1, ceil(store.video.duration_s / store.config.clip_s - 1e-9))


def _encode_clips(store: FrameStore, encoder: ClipEncoder) -> Vectors:
    """Encode each clip as the mean over the frames on screen at its moments: float32[C, dim]."""
    clip_s, rate_hz, duration_s = store.config.clip_s, store.config.frame_rate_hz, store.video.duration_s
    clips = np.zeros((_clip_count(store), encoder.dim), dtype=np.float32)
    for clip in range(len(clips)):
        start_s, end_s = clip * clip_s, min((clip + 1) * clip_s, duration_s)
        moments_s = np.arange(ceil(start_s * rate_hz - 1e-9), ceil(end_s * rate_hz - 1e-9)) / rate_hz
        frames = store.frames_at(moments_s.tolist() or [start_s])
        clips[clip] = encoder.encode_frames(frames).mean(axis=0)
    return clips
