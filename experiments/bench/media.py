"""What the store buys and costs: `python -m experiments.bench.media --out FILE.json`.

A zoom of 8 frames from a warm store against what public agents do (open decord anew for each call) and against seeking
in a decoder that stays open (torchcodec where it loads, else decord). Building the store against reading one frame a
second with the fastest backend and keeping nothing. Peak memory of the build and disk per hour. All on the same
generated, picture-like file; ratios are of CPU time, so other work on the machine does not count.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tyro

from experiments.bench.pictures import write_pictures
from experiments.provenance import machine, package_version
from experiments.runs import write_json
from vt_env.config import MediaConfig
from vt_env.media.backends import PLAYERS, is_installed
from vt_env.media.decode import VideoFile, open_video
from vt_env.media.store import FrameStore, build_store


@dataclass(frozen=True)
class MediaBench:
    """Measure the frame store."""

    out: Path | None = None
    """JSON file to write."""
    minutes: float = 10.0
    """Length of the generated file."""
    frame_px: int = 448
    """Longer side of stored frames."""
    calls: int = 20
    """Zooms of each kind."""


def main(run: MediaBench) -> None:
    """Measure and print; with `out`, write."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder / "long.mp4", run.minutes * 60)
        built = _build_in_child(folder, run.frame_px)
        store = build_store(folder / "long.mp4", MediaConfig(frame_px=run.frame_px), folder)
        result = {**built, **compare_zooms(store, run.calls), **compare_builds(store, built["build_s"])}
        disk = sum(it.stat().st_size for it in (folder / "stores" / store.key).iterdir())
        result["disk_mb_per_hour"] = disk / 1e6 * 60 / run.minutes
    names = ("av", "decord2", "torchcodec", "pillow")
    versions = {name: package_version(name) for name in names}
    record = {"versions": versions, "machine": machine(), "minutes": run.minutes, "frame_px": run.frame_px}
    record |= {"calls": run.calls, **{name: round(value, 3) for name, value in result.items()}}
    print(*(f"{name}: {value}" for name, value in record.items()), sep="\n")
    if run.out is not None:
        write_json(run.out, record)


def compare_zooms(store: FrameStore, calls: int) -> dict[str, float]:
    """Time zooms of 8 frames into 10 s, each somewhere else, as ratios to the warm store."""
    starts_s = np.random.default_rng(0).uniform(0, store.video.duration_s - 10, calls).tolist()
    moments = [np.linspace(start_s, start_s + 9, 8).tolist() for start_s in starts_s]
    store.frames_at(moments[0])
    warm_s = _median_s([lambda times_s=times_s: store.frames_at(times_s) for times_s in moments])
    anew = VideoFile(store.video.path, store.video.size_px, store.video.timeline, PLAYERS["decord"])
    anew_s = _median_s([lambda times_s=times_s: _decord_anew(anew, times_s) for times_s in moments[:5]])
    result = {"zoom_ms": 1e3 * warm_s, "decord_anew_ratio": anew_s / warm_s}
    for backend in ("decord", "torchcodec"):
        if is_installed(backend):
            seek = _open_reader(backend, store.video.path)
            seek_s = _median_s([lambda times_s=times_s, seek=seek: seek(times_s) for times_s in moments[:8]])
            result[f"{backend}_open_ratio"] = seek_s / warm_s
    return result


def compare_builds(store: FrameStore, build_s: float) -> dict[str, float]:
    """Relate a build to reading the same frames with each backend, at the stored size and kept nowhere."""
    video, result = store.video, dict[str, float]()
    idxs = video.timeline.frame_idxs(store.times_s).tolist()
    for backend in PLAYERS:
        if is_installed(backend):
            played = VideoFile(video.path, video.size_px, video.timeline, PLAYERS[backend])
            start = time.process_time()
            for _ in played.pictures(idxs, store.config.frame_px):
                pass
            result[f"build_to_{backend}_extraction"] = build_s / (time.process_time() - start)
    return result


def _decord_anew(video: VideoFile, times_s: list[float]) -> None:
    """Open, read 8 frames, close: decord's own calls, without this project's checks."""
    import decord

    reader = decord.VideoReader(str(video.path), num_threads=1)
    reader.get_batch(video.timeline.frame_idxs(times_s).tolist()).asnumpy()


def _open_reader(backend: str, path: Path) -> Callable[[list[float]], Any]:
    if backend == "torchcodec":
        from torchcodec.decoders import VideoDecoder

        decoder = VideoDecoder(str(path), num_ffmpeg_threads=1)
        return decoder.get_frames_played_at
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    timeline = open_video(path).timeline
    return lambda times_s: reader.get_batch(timeline.frame_idxs(times_s).tolist()).asnumpy()


def _median_s(calls: list[Callable[[], object]]) -> float:
    spent: list[float] = []
    for call in calls:
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return median(spent)


def _build_in_child(folder: Path, frame_px: int) -> dict[str, float]:
    """Build the store in a process of its own, so that its peak memory is the build's."""
    code = (
        "import sys, time; from pathlib import Path; from experiments.bench.media import build_and_report\n"
        "build_and_report(Path(sys.argv[1]), int(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(folder), str(frame_px)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    build_s, peak_mb = map(float, done.stdout.split())
    return {"build_s": build_s, "peak_memory_mb": peak_mb}


def build_and_report(folder: Path, frame_px: int) -> None:
    """Build and print the CPU seconds and the peak memory in MB."""
    start = time.process_time()
    build_store(folder / "long.mp4", MediaConfig(frame_px=frame_px), folder)
    print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


if __name__ == "__main__":
    main(tyro.cli(MediaBench))
