"""Clip index: exact inner-product search (FAISS) over fixed-length clips, with neighbouring results merged.

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
"""Maximum number of clips in a merged interval: one minute of 10-second clips."""


@dataclass(eq=False)
class _Group:
    """Neighbouring clips `[start, end)` returned as one interval."""

    start: int
    end: int
    score: float

    def touches(self, clip: int) -> bool:
        return clip in (self.start - 1, self.end) and self.end - self.start < MAX_MERGED


@dataclass(frozen=True, eq=False)
class ClipIndex:
    """Searchable clip embeddings of one video."""

    vectors: Vectors = field(repr=False)
    """float32[C, dim], mean embedding of each clip's stored frames."""
    clip_s: float
    duration_s: float
    encoder: ClipEncoder

    def search(self, query: str, top_k: int) -> list[ScoredInterval]:
        """Return up to `top_k` intervals that match `query`, best first; ties in time order.

        Clips are processed in descending order of score. A clip adjacent to a found interval extends it, up to
        `MAX_MERGED` clips, instead of starting a new one; the search ends at the first clip that would need interval
        `top_k + 1`. An interval has the score of its best clip. Clips with a score of 0 or less are left out.

        Merging is our choice, as the paper does not mention neighbouring clips. Without it, one long event would fill
        all results.
        """
        groups: list[_Group] = []
        # Upper bound: `top_k` full intervals, and the clip that ends the search.
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
        """The text encoder behind an LRU cache, since the rollouts of a group repeat queries."""
        encoder = self.encoder

        @lru_cache(maxsize=256)
        def encoded(text: str) -> Vectors:
            return encoder.encode_texts([text])[0]

        return encoded

    def _ranked(self, query: Vectors, count: int) -> Iterator[tuple[int, float]]:
        """Yield clips and scores, best first, ties in time order.

        Queries FAISS for the `count` best, and for more if ties with the last of them are needed.
        """
        yielded = 0
        while True:
            scores, clips = self._flat.search(query[None], min(count, len(self.vectors)))
            # FAISS does not define which of tied clips it returns, so ties with the last score wait for the next round.
            is_all = count >= len(self.vectors)
            sure = len(scores[0]) if is_all else int(np.count_nonzero(scores[0] > scores[0, -1]))
            order = np.lexsort((clips[0, :sure], -scores[0, :sure]))
            yield from ((int(clips[0, row]), float(scores[0, row])) for row in order[yielded:])
            # A score of 0 or less is no match, and later ones are not higher.
            if is_all or scores[0, -1] <= 0:
                return
            yielded, count = sure, 8 * count

    def _interval(self, group: _Group) -> Interval:
        return Interval(group.start * self.clip_s, min(group.end * self.clip_s, self.duration_s))


def build_clip_index(store: FrameStore, encoder: ClipEncoder, cache_dir: Path | None = None) -> ClipIndex:
    """Open the clip index of a frame store, encoding the frames on first use.

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
    # The tolerance keeps a rounding error of the duration from adding an empty clip.
    return max(1, ceil(store.video.duration_s / store.config.clip_s - 1e-9))


def _encode_clips(store: FrameStore, encoder: ClipEncoder) -> Vectors:
    """Encode each clip as the mean embedding of its frames at the stored rate: float32[C, dim]."""
    clip_s, rate_hz, duration_s = store.config.clip_s, store.config.frame_rate_hz, store.video.duration_s
    clips = np.zeros((_clip_count(store), encoder.dim), dtype=np.float32)
    for clip in range(len(clips)):
        start_s, end_s = clip * clip_s, min((clip + 1) * clip_s, duration_s)
        moments_s = np.arange(ceil(start_s * rate_hz - 1e-9), ceil(end_s * rate_hz - 1e-9)) / rate_hz
        frames = store.frames_at(moments_s.tolist() or [start_s])
        clips[clip] = encoder.encode_frames(frames).mean(axis=0)
    return clips
