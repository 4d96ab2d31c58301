"""Search over the clips of many videos at once.

Knows clip indexes; knows nothing of stores or episodes. Up to `EXACT_CLIPS` vectors are searched exactly; beyond that
FAISS groups them into cells around centroids (IVF) and looks into the cells nearest to the query, so that a search does
not read everything. The trained index is cached by the content of the clip indexes it holds.
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
"""Clips that are searched exactly: 139 hours in clips of 10 s, a few milliseconds at 512 dimensions."""

_PROBED = 0.25
"""Share of the cells that a search looks into. Our choice; `recall_of` measures what it costs."""


@dataclass(frozen=True, slots=True)
class FoundClip:
    """One clip of one of several videos."""

    video: int
    """Position of its video in what the collection was built from."""
    interval: Interval
    score: float


@dataclass(frozen=True, eq=False)
class Collection:
    """The clips of several videos, searched together."""

    indexes: tuple[ClipIndex, ...]
    starts: NDArray[np.int64] = field(repr=False)
    """int64[V + 1], position of each video's first clip among all."""
    encoder: ClipEncoder
    faiss_index: Any = field(repr=False)

    def search(self, query: str, top_k: int) -> list[FoundClip]:
        """Return up to `top_k` clips that match `query`, the best first; of equals, the earlier.

        Clips that score 0 or less are left out; neighbours are not merged, unlike in `ClipIndex.search`.
        """
        wanted = min(top_k, int(self.starts[-1]))
        if wanted < 1:
            return []
        scores, clips = self.faiss_index.search(self.encoder.encode_text(query)[None], wanted)
        ranked = sorted((-score, clip) for score, clip in zip(scores[0].tolist(), clips[0].tolist(), strict=True))
        return [self._found(clip, -score) for score, clip in ranked if clip >= 0 and score < 0]

    def _found(self, clip: int, score: float) -> FoundClip:
        video = int(np.searchsorted(self.starts, clip, side="right")) - 1
        index, at = self.indexes[video], clip - int(self.starts[video])
        return FoundClip(video, Interval(at * index.clip_s, min((at + 1) * index.clip_s, index.duration_s)), score)


def build_collection(
    indexes: Sequence[ClipIndex], cache_dir: Path | None = None, exact_clips: int = EXACT_CLIPS
) -> Collection:
    """Put clip indexes together; a trained index is built once for the same content.

    Args:
        indexes: One index a video, all of the same encoder.
        cache_dir: Folder for trained indexes; `None` means `cache_root()`.
        exact_clips: Up to this many clips are searched exactly.

    Raises:
        ConfigError: There are no indexes, or their encoders differ.
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
    """Share of the exact `top_k` clips of some query vectors, float32[Q, dim], that the collection finds."""
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
    """Train about 4 sqrt(N) cells, FAISS's own guideline, on 64 vectors a cell; the seed is FAISS's fixed one."""
    cells = max(1, min(round(4 * sqrt(len(vectors))), len(vectors) // 39))
    quantizer = faiss.IndexFlatIP(vectors.shape[1])
    index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    every = max(1, len(vectors) // (64 * cells))
    index.train(np.ascontiguousarray(vectors[::every]))
    index.add(vectors)
    return faiss.serialize_index(index).tobytes()
