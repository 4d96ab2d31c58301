"""Recall of clip retrieval in the generated world: `python -m experiments.bench.retrieval --out FILE.json`.

Each needle question of the first test videos is about the one scene of its colour and shape. Recall at k counts the
questions whose scene overlaps one of the best k intervals of `ClipIndex.search`. Confidence intervals are 95 %, by a
bootstrap over videos.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments.runs.provenance import machine, package_version
from experiments.runs.run_dir import write_json
from vt_env.config import MediaConfig
from vt_env.media.library import VideoLibrary
from vt_env.task_sources import load_tasks

_ASKED = re.compile(r"beside the (.*)\?")
_RESAMPLES = 2000


@dataclass(frozen=True)
class RetrievalBench:
    """Measure encoders on the world's needle questions."""

    out: Path | None = None
    """JSON file to write."""
    encoders: tuple[str, ...] = ("colours", "world")
    """Encoders, as for `vt-env index --encoder`."""
    videos: int = 12
    """Number of test videos."""
    top_k: tuple[int, ...] = (1, 4, 8)
    """Values of k in recall at k."""


def main(run: RetrievalBench) -> None:
    """Measure, print the numbers and write them to `out`."""
    tasks = load_tasks("world/needle", "test")
    chosen = list(dict.fromkeys(task.item.video for task in tasks))[: run.videos]
    asked = [task for task in tasks if task.item.video in chosen]
    result: dict[str, Any] = {}
    for name in run.encoders:
        library = VideoLibrary(MediaConfig(), encoder=name)
        hits: defaultdict[str, list[list[bool]]] = defaultdict(list)
        for task in asked:
            task.prepare(task.item.video)
            query = _ASKED.search(task.item.question)
            assert query is not None and task.gold is not None
            found = library.open(task.item.video).search_clips(query[1], max(run.top_k))
            right = [any(hit.interval.overlap_s(it) > 0 for it in task.gold.evidence) for hit in found]
            hits[task.item.video.handle].append([any(right[:k]) for k in run.top_k])
        result[name] = {f"recall_at_{k}": _share(hits, at) for at, k in enumerate(run.top_k)}
    record = {
        "command": "python -m experiments.bench.retrieval",
        "versions": {name: package_version(name) for name in ("transformers", "torch", "av")},
        "machine": machine(),
        "n": len(asked),
        "videos": len(chosen),
        "encoders": result,
    }
    print(*(f"{name}: {value}" for name, value in record.items()), sep="\n")
    if run.out is not None:
        write_json(run.out, record)


def _share(hits: dict[str, list[list[bool]]], at: int) -> dict[str, float]:
    """Return recall with its confidence interval."""
    videos = [np.array(rows)[:, at] for rows in hits.values()]
    rng = np.random.default_rng(0)
    drawn = [
        np.concatenate([videos[i] for i in rng.integers(len(videos), size=len(videos))]) for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile([it.mean() for it in drawn], (0.025, 0.975))
    return {"share": round(float(np.concatenate(videos).mean()), 3), "low": round(low, 3), "high": round(high, 3)}


if __name__ == "__main__":
    main(tyro.cli(RetrievalBench))
