"""Speed of two workers on Ray against two local processes: `python -m experiments.bench.executors`.

Videos of two minutes at 640 x 360 are indexed, and episodes of the policy `random` are played on them, alternately by
local processes and by a Ray cluster of this machine, each with an empty cache for the index. `whole_s` counts from the
call to the last result, starting processes or the cluster included; `steady_s` from the first result to the last. Needs
the extra `ray`. Writes `results/executors.json`.
"""

import json
import os
import shutil
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from agents.language.confidence_gate import GateConfig
from agents.rollout import EpisodeLimits
from experiments.bench.fixtures.camera_like_video import repeat, write_pictures
from experiments.data.video_paths import video_ref
from experiments.evaluate.play_attempts import EvalWorkerSpec, play_in_workers
from experiments.runs.executors import EpisodeExecutorConfig, Work, run_in_workers
from experiments.runs.provenance import machine, package_version
from experiments.runs.run_dir import write_json
from experiments.settings.library import LibraryConfig
from experiments.settings.models import ModelConfig
from experiments.settings.policies import SeededAttempt, Setting
from vt_env.config import MediaConfig
from vt_env.media.cache.build_once import cache_root
from vt_env.media.library import VideoLibrary
from vt_env.tasks.task_set import Task
from vt_env.types import Item, VideoRef

OUT = Path(__file__).parent / "results" / "executors.json"
Executor = Literal["local", "ray"]
EXECUTORS: tuple[Executor, ...] = ("local", "ray")


@dataclass(frozen=True)
class ExecutorsBench:
    """Measure index and eval with two workers."""

    videos: int = 12
    """Number of videos."""
    attempts: int = 4000
    """Number of episodes."""
    rounds: int = 2
    """Repetitions of each measurement."""


def main(run: ExecutorsBench) -> None:
    """Measure, print the ratios and write them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["VT_ENV_CACHE"] = str(folder / "cache")
        refs = _write_videos(folder, run.videos)
        times: dict[str, list[dict[str, float]]] = {}
        for _ in range(run.rounds):
            for executor in EXECUTORS:
                times.setdefault(f"index {executor}", []).append(_timed(lambda it=executor: _index(it, refs)))
        for _ in range(run.rounds):
            for executor in EXECUTORS:
                done = _timed(lambda it=executor: _play(it, refs, run.attempts))
                times.setdefault(f"eval {executor}", []).append(done)
    ratios = {
        f"{what} {measure}": round(_median(times[f"{what} local"], measure) / _median(times[f"{what} ray"], measure), 3)
        for what in ("index", "eval")
        for measure in ("whole_s", "steady_s")
    }
    result = {
        "command": "python -m experiments.bench.executors",
        "versions": {"ray": package_version("ray")},
        "machine": machine(),
        "workers": 2,
        "videos": run.videos,
        "attempts": run.attempts,
        "seconds": times,
        "ray_speed_to_local": ratios,
    }
    write_json(OUT, result)
    print(json.dumps(result, indent=1))


def _write_videos(folder: Path, count: int) -> list[VideoRef]:
    """Write videos that differ in a box that players skip."""
    write_pictures(folder / "minute.mp4", 60)
    repeat(folder / "minute.mp4", folder / "two.mp4", 2)
    for number in range(count):
        box = struct.pack(">I4sQ", 16, b"free", number)
        (folder / f"video{number}.mp4").write_bytes((folder / "two.mp4").read_bytes() + box)
    return [video_ref(folder / f"video{number}.mp4") for number in range(count)]


def _index(executor: Executor, refs: list[VideoRef]) -> Iterable[object]:
    cache = cache_root()
    shutil.rmtree(cache, ignore_errors=True)
    work = Work(_open_library, cache, _open_video)
    return run_in_workers(EpisodeExecutorConfig(workers=2, executor=executor), work, refs)


def _open_library(cache: Path) -> VideoLibrary:
    return VideoLibrary(MediaConfig(), cache, None)


def _open_video(library: VideoLibrary, ref: VideoRef) -> float:
    return library.open(ref).duration_s


def _play(executor: Executor, refs: list[VideoRef], count: int) -> Iterable[object]:
    config = LibraryConfig(encoder="none", profile="world")
    setting = Setting(media=config.chosen.media, can_search=False)
    spec = EvalWorkerSpec(
        "random", ModelConfig(), GateConfig(), setting, config, seed=0, batch=32, limits=EpisodeLimits(), provenance={}
    )
    items = [Item(f"task-{idx}", "what?", ("one", "two"), refs[idx % len(refs)]) for idx in range(count)]
    attempts = [SeededAttempt(Task(item, None), seed) for seed, item in enumerate(items)]
    return play_in_workers(EpisodeExecutorConfig(workers=2, executor=executor), spec, attempts, "")


def _timed(work: Callable[[], Iterable[object]]) -> dict[str, float]:
    start_s = time.perf_counter()
    ends_s = [time.perf_counter() for _ in work()]
    return {"whole_s": round(ends_s[-1] - start_s, 2), "steady_s": round(ends_s[-1] - ends_s[0], 2)}


def _median(rows: list[dict[str, float]], measure: str) -> float:
    return statistics.median(row[measure] for row in rows)


if __name__ == "__main__":
    main(tyro.cli(ExecutorsBench))
