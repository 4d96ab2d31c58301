"""Clip search over many videos.

Knows clip indexes; knows nothing of stores or episodes. Up to `EXACT_CLIPS` vectors are searched exactly. Larger
collections use FAISS's inverted file index (IVF), which probes only the cells nearest to the query. The trained index
is cached by the content of its clip indexes.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
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
from vt_env.media.search.rank_fusion import RANK_SHIFT, reciprocal_ranks
from vt_env.media.search.sources import PICTURES, ClipSearch
from vt_env.types import Interval

# FAISS's threads do not live on in a forked process, such as a worker of a data loader, which would wait for them.
os.register_at_fork(after_in_child=lambda: faiss.omp_set_num_threads(1))

SCHEMA = 1
"""Version of the index file; part of its key."""

DEPTH = 1000
"""Clips of a ranking by pictures that are fused with others: what comes behind would gain less than 1/1000."""

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
    sources: tuple[str, ...] = (PICTURES,)
    """What found it."""


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


def search_videos(
    searches: Sequence[ClipSearch], pictures: Collection | None, query: str, top_k: int
) -> list[FoundClip]:
    """Return up to `top_k` clips of several videos by all of their sources, best first; neighbours are not merged.

    With one kind of source, clips have its scores; scores of lines of different videos are compared as they are. With
    several kinds, the rankings of each over all videos are fused as in `ClipSearch.search`; of pictures, the best
    `DEPTH` clips are ranked.

    Args:
        searches: One search per video.
        pictures: The joint index of those videos that have pictures to search, in this order; `None` for none.
        query: The query.
        top_k: Maximum number of clips.
    """
    owners = [number for number, it in enumerate(searches) if PICTURES in it.names]
    rankings: dict[str, list[FoundClip]] = {}
    if pictures is not None:
        seen = pictures.search(query, max(top_k, DEPTH))
        rankings[PICTURES] = [FoundClip(owners[it.video], it.interval, it.score) for it in seen]
    for number, search in enumerate(searches):
        for source in search.sources:
            if source.name != PICTURES:
                found = search.clips_of(source, query)
                clips = [FoundClip(number, it.interval, it.score, it.sources) for it in found]
                rankings.setdefault(source.name, []).extend(clips)
    if len(rankings) < 2:
        return _best((clip for clips in rankings.values() for clip in clips), top_k)
    gains: defaultdict[tuple[int, Interval], dict[str, float]] = defaultdict(dict)
    for name, clips in rankings.items():
        gained = reciprocal_ranks(np.array([it.score for it in clips]))
        for clip, gain in zip(clips, gained.tolist(), strict=True):
            gains[clip.video, clip.interval][name] = gain * (RANK_SHIFT + 1) / len(rankings)
    fused = (FoundClip(*place, sum(by.values()), tuple(by)) for place, by in gains.items())
    return _best(fused, top_k)


def _best(clips: Iterable[FoundClip], top_k: int) -> list[FoundClip]:
    return sorted(clips, key=lambda it: (-it.score, it.video, it.interval))[: max(0, top_k)]


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
