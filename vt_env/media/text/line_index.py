"""Semantic search over caption or subtitle lines: one embedding per line, cached by lines and encoder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vt_env.media.cache.build_once import build_once, cache_key, cache_root
from vt_env.media.cache.sealed_files import checksum, read_sealed, touch, write_sealed
from vt_env.media.search.encoders import TextEncoder, Vectors
from vt_env.types import SubtitleLine

SCHEMA = 1
"""Version of the index file; part of its key."""


@dataclass(frozen=True, eq=False)
class LineIndex:
    """Searchable embeddings of timed lines."""

    lines: tuple[SubtitleLine, ...]
    vectors: Vectors = field(repr=False)
    """float32[N, dim]."""
    encoder: TextEncoder

    def search(self, query: str, top_k: int) -> list[tuple[SubtitleLine, float]]:
        """Return up to `top_k` lines with their cosines, best first; ties in time order."""
        scores = self.cosines(query)
        best: list[int] = np.argsort(-scores, kind="stable")[: max(0, top_k)].tolist()
        return [(self.lines[number], float(scores[number])) for number in best]

    def cosines(self, query: str) -> Vectors:
        """Return the cosine of every line with the query, float32[N]."""
        if not self.lines:
            return np.zeros(0, dtype=np.float32)
        return self.vectors @ self.encoder.encode_texts([query])[0]


def build_line_index(lines: Sequence[SubtitleLine], encoder: TextEncoder, cache_dir: Path | None = None) -> LineIndex:
    """Open the index of timed lines, encoding them on first use.

    Raises:
        DataError: The index file is damaged.
    """
    texts = [line.text for line in lines]
    if not texts:
        return LineIndex((), np.zeros((0, 0), dtype=np.float32), encoder)
    about = {"schema": SCHEMA, "encoder": encoder.key, "lines": checksum(json.dumps(texts).encode())}
    path = (cache_dir or cache_root()) / "lines" / f"{cache_key(**about)}.f32"
    build_once(path, lambda aside: write_sealed(aside, about, encoder.encode_texts(texts).tobytes()))
    vectors = np.frombuffer(read_sealed(path, SCHEMA).payload, dtype=np.float32)
    touch(path)
    return LineIndex(tuple(lines), vectors.reshape(len(texts), -1), encoder)
