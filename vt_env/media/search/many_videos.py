"""Clip search over many videos.

Knows clip indexes; knows nothing of stores or episodes. Up to `EXACT_CLIPS` vectors are searched exactly. Larger
collections use FAISS's inverted file index (IVF), which probes only the cells nearest to the query. The trained index
is cached by the content of its clip indexes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from vt_env.errors import ConfigError
from vt_env.media.cache.build_once import build_once, cache_key, cache_root
from vt_env.media.cache.sealed_files import checksum, read_sealed, touch, write_sealed
from vt_env.media.search.clip_index import ClipIndex
from vt_env.media.search.encoders import ClipEncoder, Vectors
from vt_env.types import Interval

SCHEMA = 1
"""Version of the index file; part of its key."""

EXACT_CLIPS = 50_000
"""Maximum size of an exact search: 139 hours in clips of 10 s, a few milliseconds at 512 dimensions."""

_PROBED = 0.25
"""Fraction of the cells that a search probes. Our choice; `recall_of` measures the loss of recall."""


@dataclass(frozen=True, slots=True)
class FoundClip:
    """A search result: one clip of one video."""

    video: int
    """Index of the video in `Collection.indexes`."""
    interval: Interval
    score: float


@dataclass(frozen=True, eq=False)
class Collection:
    """Joint index over the clips of several videos."""

    indexes: tuple[ClipIndex, ...]
    starts: NDArray[np.int64] = field(repr=False)
    """int64[V + 1], offset of each video's first clip in the joint index, and the total."""
    encoder: ClipEncoder
    faiss_index: Any = field(repr=False)

    def search(self, query: str, top_k: int) -> list[FoundClip]:
        """Return up to `top_k` clips that match `query`, best first; ties in index order.

        Clips with a score of 0 or less are left out. Unlike in `ClipIndex.search`, neighbours are not merged.
        """
        wanted = min(top_k, int(self.starts[-1]))
        if wanted < 1:
            return []
        scores, clips = self.faiss_index.search(self.encoder.encode_texts([query])[0][None], wanted)
        ranked = sorted((-score, clip) for score, clip in zip(scores[0].tolist(), clips[0].tolist(), strict=True))
        return [self._found(clip, -score) for score, clip in ranked if clip >= 0 and score < 0]

    def _found(self, clip: int, score: float) -> FoundClip:
        video = int(np.searchsorted(self.starts, clip, side="right")) - 1
        index, at = self.indexes[video], clip - int(self.starts[video])
        return FoundClip(video, Interval(at * index.clip_s, min((at + 1) * index.clip_s, index.duration_s)), score)


def build_collection(
    indexes: Sequence[ClipIndex], cache_dir: Path | None = None, exact_clips: int = EXACT_CLIPS
) -> Collection:
    """Join clip indexes; a trained index is cached by content.

    Args:
        indexes: One clip index per video, all of the same encoder.
        cache_dir: Cache folder; `None` means `cache_root()`.
        exact_clips: Maximum number of clips for exact search.

    Raises:
        ConfigError: `indexes` is empty, or the encoders differ.
    """
    keys = {index.encoder.key for index in indexes}
    if len(keys) != 1:
        raise ConfigError(f"a collection needs clip indexes of one encoder, got {sorted(keys)}")
    vectors = np.concatenate([index.vectors for index in indexes])
    starts = np.cumsum([0, *(len(index.vectors) for index in indexes)], dtype=np.int64)
    if len(vectors) <= exact_clips:
        searched: Any = faiss.IndexFlatIP(vectors.shape[1])
        searched.add(vectors)
    else:
        searched = _trained(vectors, indexes[0].encoder.key, cache_dir or cache_root())
    return Collection(tuple(indexes), starts, indexes[0].encoder, searched)


def recall_of(collection: Collection, queries: Vectors, top_k: int) -> float:
    """Return the recall at `top_k` of the index against exact search, averaged over queries float32[Q, dim]."""
    vectors = np.concatenate([index.vectors for index in collection.indexes])
    exact = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :top_k]
    found = collection.faiss_index.search(queries, top_k)[1]
    return float(np.mean([len(set(a) & set(b)) / top_k for a, b in zip(exact.tolist(), found.tolist(), strict=True)]))


def _trained(vectors: Vectors, encoder_key: str, cache_dir: Path) -> Any:
    about = {"schema": SCHEMA, "encoder": encoder_key, "vectors": checksum(vectors.tobytes())}
    path = cache_dir / "collections" / f"{cache_key(**about)}.faiss"
    build_once(path, lambda aside: write_sealed(aside, about, _train(vectors)))
    index: Any = faiss.deserialize_index(np.frombuffer(read_sealed(path, SCHEMA).payload, dtype=np.uint8))
    touch(path)
    index.nprobe = max(1, round(index.nlist * _PROBED))
    return index


def _train(vectors: Vectors) -> bytes:
    """Train about 4 sqrt(N) cells, FAISS's guideline, on 64 vectors per cell, with FAISS's fixed seed."""
    cells = max(1, min(round(4 * sqrt(len(vectors))), len(vectors) // 39))
    quantizer = faiss.IndexFlatIP(vectors.shape[1])
    index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    every = max(1, len(vectors) // (64 * cells))
    index.train(np.ascontiguousarray(vectors[::every]))
    index.add(vectors)
    return faiss.serialize_index(index).tobytes()
