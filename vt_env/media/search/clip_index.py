"""Clip index: embeddings of fixed-length clips, searched by exact inner product (FAISS).

Knows frame stores and encoders; knows nothing of episodes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import ceil
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from vt_env.media.cache.build_once import build_once, cache_key, cache_root
from vt_env.media.cache.frame_store import FrameStore
from vt_env.media.cache.sealed_files import read_sealed, touch, write_sealed
from vt_env.media.decode.container import latest_idxs
from vt_env.media.search.encoders import ClipEncoder, Vectors, pool_frames
from vt_env.media.search.sources import PICTURES, ClipSearch, clip_count
from vt_env.types import ScoredInterval

SCHEMA = 2
"""Version of the index file; part of its key."""


@dataclass(frozen=True, eq=False)
class ClipIndex:
    """Searchable clip embeddings of one video."""

    vectors: Vectors = field(repr=False)
    """float32[C, dim], embedding of each clip's stored frames, see `pool_frames`."""
    clip_s: float
    duration_s: float
    encoder: ClipEncoder

    @property
    def name(self) -> str:
        """Name of this source of clip retrieval: `"pictures"`."""
        return PICTURES

    def scores(self, query: str) -> Vectors:
        """Return float32[C], the inner product of each clip with the query."""
        count, encoded = len(self.vectors), np.ascontiguousarray(self._encoded(query))
        clips, scores = np.arange(count, dtype=np.int64), np.empty(count, dtype=np.float32)
        # The inner products of `search`, to the bit, without sorting them.
        query_at, scores_at, clips_at = map(faiss.swig_ptr, (encoded, scores, clips))
        flat: Any = self._flat  # Stubs of faiss lack the method.
        flat.compute_distance_subset(1, query_at, count, scores_at, clips_at)
        return scores

    def search(self, query: str, top_k: int) -> list[ScoredInterval]:
        """Return up to `top_k` intervals that match `query`, best first, as `ClipSearch.search` with this source."""
        return ClipSearch((self,), self.clip_s, self.duration_s).search(query, top_k)

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


def build_clip_index(store: FrameStore, encoder: ClipEncoder, cache_dir: Path | None = None) -> ClipIndex:
    """Open the clip index of a frame store, encoding the frames on first use.

    Raises:
        DataError: The index file is damaged.
    """
    clip_s = store.config.clip_s
    about = {"schema": SCHEMA, "media": store.media, "store": store.key, "encoder": encoder.key, "clip_s": clip_s}
    path = (cache_dir or cache_root()) / "clips" / f"{cache_key(**about)}.f32"
    build_once(path, lambda aside: write_sealed(aside, about, _encode_clips(store, encoder).tobytes()))
    vectors = np.frombuffer(read_sealed(path, SCHEMA).payload, dtype=np.float32)
    touch(path)
    return ClipIndex(vectors.reshape(-1, encoder.dim), clip_s, store.video.duration_s, encoder)


def _encode_clips(store: FrameStore, encoder: ClipEncoder) -> Vectors:
    """Encode each clip by its frames at the stored rate, as `pool_frames`: float32[C, dim]."""
    clip_s, rate_hz, duration_s = store.config.clip_s, store.config.frame_rate_hz, store.video.duration_s
    clips = np.zeros((clip_count(duration_s, clip_s), encoder.dim), dtype=np.float32)
    before: tuple[int, ...] = ()
    for clip in range(len(clips)):
        start_s, end_s = clip * clip_s, min((clip + 1) * clip_s, duration_s)
        moments_s = np.arange(ceil(start_s * rate_hz - 1e-9), ceil(end_s * rate_hz - 1e-9)) / rate_hz
        wanted = moments_s.tolist() or [start_s]
        rows = tuple(latest_idxs(store.times_s, wanted).tolist())
        # A slide that stays for hours is encoded once.
        clips[clip] = clips[clip - 1] if rows == before else pool_frames(encoder, store.frames_at(wanted))
        before = rows
    return clips
