"""Clip search at 10^5 and 10^6 vectors: `python -m experiments.bench.large_collections`.

Synthetic clip embeddings, float32[N, 512] of unit length, each the sum of four random directions: of its topic (one of
200), of its video (360 clips, one hour in clips of 10 s), of its scene (6 clips) and its own. Queries have a cosine of
.5 either to a clip, whose neighbours are in one video, or to a topic, whose neighbours are spread over many. FAISS's
inverted lists (IVF, Flat) and graph (HNSW, Flat) are built on one core, and their best 4 and 10 are compared with those
of exact search. The encoder is timed with random weights of CLIP ViT-B/32's shape, since weights do not change its
speed. Writes `results/large_collections.json` after each size.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import tyro

from experiments.runs.provenance import machine, package_version
from experiments.runs.run_dir import write_json
from vt_env.media.search.encoders import Vectors

OUT = Path(__file__).parent / "results" / "large_collections.json"
TOPICS, CLIPS_PER_VIDEO, CLIPS_PER_SCENE = 200, 360, 6
COSINE = 0.5
"""Cosine of a query with the clip or topic that it is made from."""
DEPTHS = (4, 10)
"""Values of k in recall at k."""


@dataclass(frozen=True)
class LargeCollectionsBench:
    """Measure recall, speed and size of FAISS's approximate indexes."""

    sizes: tuple[int, ...] = (100_000, 1_000_000)
    """Numbers of vectors."""
    dim: int = 512
    """Dimension, as of CLIP ViT-B/32."""
    queries: int = 200
    """Number of queries of each kind."""
    cells_per_root: float = 2.0
    """Cells of the inverted lists, as a multiple of the square root of the number of vectors."""
    probes: tuple[int, ...] = (4, 16, 64, 256)
    """Cells that a search reads."""
    links: int = 16
    """Links of a vector in the graph (M); twice as many at its lowest level."""
    construction: int = 40
    """Candidates while the graph is built (efConstruction)."""
    beams: tuple[int, ...] = (16, 64, 256)
    """Candidates of a search in the graph (efSearch)."""
    seed: int = 0
    """Seed of vectors and queries."""


def main(run: LargeCollectionsBench) -> None:
    """Measure, print the results and write them."""
    # Otherwise FAISS and numpy use every core.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    faiss.omp_set_num_threads(1)
    result: dict[str, Any] = {
        "command": "python -m experiments.bench.large_collections",
        "versions": {name: package_version(name) for name in ("faiss-cpu", "numpy", "torch", "transformers")},
        "machine": machine(),
        "cores": 1,
        "dim": run.dim,
        "queries": run.queries,
        "encoder": _time_encoder(),
        "sizes": {},
    }
    for size in run.sizes:
        result["sizes"][str(size)] = _measure(run, size)
        write_json(OUT, result)
        print(json.dumps(result["sizes"][str(size)], indent=1), flush=True)


def _measure(run: LargeCollectionsBench, size: int) -> dict[str, Any]:
    rng = np.random.default_rng(run.seed)
    topics = _unit(rng.standard_normal((TOPICS, run.dim), dtype=np.float32))
    vectors = _clips(rng, size, topics)
    asked = {"clip": vectors[rng.choice(size, run.queries, replace=False)], "topic": topics[: run.queries]}
    queries = {kind: _queries(rng, near) for kind, near in asked.items()}
    deepest = max(DEPTHS)
    exact = {it: faiss.knn(queries[it], vectors, deepest, metric=faiss.METRIC_INNER_PRODUCT)[1] for it in queries}
    alone: list[Any] = [queries["clip"][idx : idx + 1] for idx in range(min(10, run.queries))]
    exact_ms = [_ms(lambda it=it: faiss.knn(it, vectors, deepest, metric=faiss.METRIC_INNER_PRODUCT)) for it in alone]
    cells = round(run.cells_per_root * size**0.5)
    return {
        "exact": {"query_ms": round(statistics.median(exact_ms), 2), "bytes": vectors.nbytes},
        "ivf": {"cells": cells, **_measure_index(lambda: _ivf(vectors, cells), queries, exact, "nprobe", run.probes)},
        "hnsw": {
            "links": run.links,
            "construction": run.construction,
            **_measure_index(lambda: _hnsw(vectors, run), queries, exact, "hnsw.efSearch", run.beams),
        },
    }


def _unit(vectors: Vectors) -> Vectors:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _clips(rng: np.random.Generator, size: int, topics: Vectors) -> Vectors:
    """Draw clip embeddings; see the module."""
    dim = topics.shape[1]
    vectors = np.empty((size, dim), dtype=np.float32)
    for start in range(0, size, CLIPS_PER_VIDEO):
        part = vectors[start : start + CLIPS_PER_VIDEO]
        scenes = rng.standard_normal((len(part) // CLIPS_PER_SCENE + 1, dim), dtype=np.float32)
        part[:] = topics[rng.integers(len(topics))] * dim**0.5 + rng.standard_normal(dim, dtype=np.float32)
        part += np.repeat(scenes, CLIPS_PER_SCENE, axis=0)[: len(part)]
        part += rng.standard_normal(part.shape, dtype=np.float32)
        part[:] = _unit(part)
    return vectors


def _queries(rng: np.random.Generator, near: Vectors) -> Vectors:
    away = rng.standard_normal(near.shape, dtype=np.float32)
    away = _unit(away - np.sum(away * near, axis=1, keepdims=True) * near)
    return np.ascontiguousarray(COSINE * near + (1 - COSINE**2) ** 0.5 * away, dtype=np.float32)


def _ivf(vectors: Vectors, cells: int) -> Any:
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    every = max(1, len(vectors) // (64 * cells))
    index.train(np.ascontiguousarray(vectors[::every]))
    index.add(vectors)
    return index


def _hnsw(vectors: Vectors, run: LargeCollectionsBench) -> Any:
    index: Any = faiss.IndexHNSWFlat(run.dim, run.links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = run.construction
    index.add(vectors)
    return index


def _measure_index(
    build: Callable[[], Any], queries: dict[str, Vectors], exact: dict[str, Any], setting: str, values: tuple[int, ...]
) -> dict[str, Any]:
    start_s = time.perf_counter()
    index = build()
    build_s = time.perf_counter() - start_s
    searches = {str(value): _search(index, queries, exact, setting, value) for value in values}
    return {"build_s": round(build_s, 1), "bytes": int(faiss.serialize_index(index).nbytes), setting: searches}


def _search(
    index: Any, queries: dict[str, Vectors], exact: dict[str, Any], setting: str, value: int
) -> dict[str, dict[str, float]]:
    holder, name = (index, setting) if "." not in setting else (index.hnsw, setting.partition(".")[2])
    setattr(holder, name, value)
    return {kind: _search_alone(index, queries[kind], exact[kind]) for kind in queries}


def _search_alone(index: Any, queries: Vectors, exact: Any) -> dict[str, float]:
    found, times_ms = list[Any](), list[float]()
    for idx in range(len(queries)):
        start_s = time.perf_counter()
        found.append(index.search(queries[idx : idx + 1], max(DEPTHS))[1][0])
        times_ms.append(1000 * (time.perf_counter() - start_s))
    recalls = {f"recall_at_{depth}": _recall(exact, found, depth) for depth in DEPTHS}
    return {**recalls, "query_ms": round(statistics.median(times_ms), 3)}


def _recall(exact: Any, found: list[Any], depth: int) -> float:
    shares = [len({*a[:depth].tolist()} & {*b[:depth].tolist()}) / depth for a, b in zip(exact, found, strict=True)]
    return round(float(np.mean(shares)), 3)


def _ms(work: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start_s)


def _time_encoder() -> dict[str, float]:
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.set_num_threads(1)
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=512, patch_size=32)).eval()
    pictures = torch.zeros(16, 3, 224, 224)
    with torch.inference_mode():
        model(pixel_values=pictures)
        times_ms = [_ms(lambda: model(pixel_values=pictures)) for _ in range(5)]
    return {"frames_per_s": round(1000 * len(pictures) / statistics.median(times_ms), 1)}


if __name__ == "__main__":
    main(tyro.cli(LargeCollectionsBench))
