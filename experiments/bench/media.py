"""Speed and cost of video input: `python -m experiments.bench.media --out experiments/bench/results/media.json`.

Three tables, all on generated camera-like videos of 640x360 (`experiments.bench.fixtures.camera_like_video`):

* 1 hour at 25 frames a second, keyframes 10 s apart: a zoom of 8 frames from a warm store against opening decord for
  each call, as public agents do, and against seeking in an open decoder; building the store against reading the same
  frames with PyAV and torchcodec, scaled but not stored; peak memory of the build, and disk;
* 10 minutes, 1 hour and 10 hours at 2 frames a second, keyframes 10 s apart: cost of a zoom, a native look, a search
  and opening, by duration;
* a group of 8 rollouts in the hour, each at another time: looks in sequence against looks awaited together.

Ratios of the first table are of CPU time, which other work on the machine changes little; those of the third are of
wall time. Each number is the median over its calls.
"""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tyro

from experiments.bench.fixtures.camera_like_video import repeat, write_pictures
from experiments.bench.fixtures.ffmpeg_for_torchcodec import run_with_pyav_ffmpeg
from experiments.runs.provenance import machine, package_version
from experiments.runs.run_dir import write_json
from vt_env.config import MediaConfig
from vt_env.media.cache.frame_store import FrameStore, build_store
from vt_env.media.decode.other_backends import is_installed
from vt_env.media.decode.video_file import VideoFile
from vt_env.media.library import Video, VideoLibrary
from vt_env.media.search.encoders import Vectors
from vt_env.types import Box, FrameBatch, VideoRef

WHOLE = Box(0, 0, 1, 1)
DIM = 512
"""Dimension of CLIP ViT-B/32's embeddings."""
LENGTHS_MIN = (10, 60, 600)
GROUP = 8
"""Rollouts in a group."""


@dataclass(frozen=True)
class MediaBench:
    """Measure the frame store, search and concurrent looks."""

    out: Path | None = None
    """JSON file to write."""
    segment_minutes: float = 5.0
    """Minutes of the generated segment; longer files are copies of it end to end."""
    copies: int = 12
    """Copies of the segment in the file of the first table; 12 of 5 minutes are an hour."""
    max_pixels: int = 448 * 252
    """Pixels of a stored frame at most."""
    calls: int = 40
    """Calls of each kind; 5 of the kinds that take seconds."""
    lengths: tuple[int, ...] = LENGTHS_MIN
    """Durations of the files of the second table in minutes."""


def main(run: MediaBench) -> None:
    """Measure, print the tables and write them to `out`."""
    run_with_pyav_ffmpeg("experiments.bench.media")
    with TemporaryDirectory() as name:
        folder = Path(name)
        tables = {"hour": measure_hour(run, folder), "lengths": measure_lengths(run, folder)}
        tables["group"] = measure_group(run, folder)
    names = ("av", "decord2", "torchcodec", "pillow", "faiss-cpu", "numpy")
    about = {
        "command": "python -m experiments.bench.media",
        "versions": {name: package_version(name) for name in names},
        "machine": machine(),
        "max_pixels": run.max_pixels,
        "calls": run.calls,
        "hour_minutes": run.segment_minutes * run.copies,
    }
    for title, table in tables.items():
        print(title, *(f"  {name}: {value}" for name, value in table.items()), sep="\n")
    if run.out is not None:
        write_json(run.out, {**about, **tables})


def measure_hour(run: MediaBench, folder: Path) -> dict[str, Any]:
    """Measure the first table; `hour.mp4` and its store remain in the folder."""
    write_pictures(folder / "segment.mp4", run.segment_minutes * 60)
    repeat(folder / "segment.mp4", folder / "hour.mp4", run.copies)
    built = _build_in_child(folder, run.max_pixels)
    store = build_store(folder / "hour.mp4", MediaConfig(max_pixels=run.max_pixels), folder)
    disk = sum(it.stat().st_size for it in (folder / "stores" / store.key).iterdir())
    per_hour = {"disk_mb_per_hour": disk / 1e6 * 3600 / store.video.duration_s}
    return _rounded({**compare_zooms(store, run.calls), **built, **compare_builds(store, built["build_s"]), **per_hour})


def compare_zooms(store: FrameStore, calls: int) -> dict[str, float]:
    """Time zooms of 8 frames into 10 s, each at another time, as ratios to the warm store."""
    moments = _zooms(store.video.duration_s, calls)
    store.frames_at(moments[0])
    warm_s = _median_s(store.frames_at, moments)
    video = store.video
    result = {"zoom_ms": 1e3 * warm_s}
    result["decord_anew_ratio"] = _median_s(lambda times_s: _decord_anew(video, times_s), moments[:5]) / warm_s
    for backend in ("decord", "torchcodec"):
        if is_installed(backend):
            result[f"{backend}_open_ratio"] = _median_s(_open_reader(backend, video), moments[:8]) / warm_s
    return result


def compare_builds(store: FrameStore, build_s: float) -> dict[str, float]:
    """Return the ratio of a build to reading the same frames with PyAV and torchcodec, scaled but not stored."""
    video, result = store.video, dict[str, float]()
    idxs = video.timeline.frame_idxs(store.times_s).tolist()
    for backend in ("pyav", "torchcodec"):
        if is_installed(backend):
            played = VideoFile(video.path, video.size_px, video.timeline, backend)
            start = time.process_time()
            for _ in played.pictures(idxs, store.frame_size_px):
                pass
            result[f"build_to_{backend}_extraction"] = build_s / (time.process_time() - start)
    return result


class PlainEncoder:
    """Encoder of realistic dimension at almost no cost, to time the search alone."""

    key, dim = "bench-plain", DIM

    def encode_frames(self, frames: FrameBatch) -> Vectors:
        """Return float32[N, dim], made of pixels of each frame, so that clips differ."""
        flat = frames.data.reshape(len(frames), -1)[:, -DIM * 64 :: 64].astype(np.float32)
        return flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return float32[N, dim], each drawn with the text's length as the seed."""
        return np.array([np.abs(np.random.default_rng(len(it)).normal(size=DIM)) for it in texts], dtype=np.float32)


def measure_lengths(run: MediaBench, folder: Path) -> dict[str, Any]:
    """Measure the second table; durations take turns, so that other work on the machine slows all of them alike."""
    write_pictures(folder / "slow.mp4", 600, rate_hz=2, gop=20)
    config, encoder = MediaConfig(max_pixels=run.max_pixels), PlainEncoder()
    looks: dict[str, dict[str, Callable[[int], object]]] = {}
    for minutes in run.lengths:
        path = folder / f"{minutes}.mp4"
        repeat(folder / "slow.mp4", path, minutes // 10)
        video = VideoLibrary(config, folder, encoder, decoded_bytes=1 << 28).open(VideoRef("v", str(path)))
        looks[f"{minutes}_min"] = _looks(video, run.calls)
    times_s: dict[str, dict[str, list[float]]] = {row: {name: [] for name in kinds} for row, kinds in looks.items()}
    for number in range(-2, run.calls):
        for row, kinds in looks.items():
            for name, look in kinds.items():
                start = time.process_time()
                look(number % run.calls)
                # The first two calls only warm up.
                times_s[row][name] += [time.process_time() - start] * (number >= 0)
    rows: dict[str, Any] = {}
    for row, kinds in times_s.items():
        times_ms = {f"{name}_ms": 1e3 * median(times) for name, times in kinds.items()}
        times_ms["search_beyond_encoder_ms"] = times_ms.pop("search_ms") - times_ms.pop("encode_ms")
        rows[row] = _rounded(times_ms)
    return rows


def _looks(video: Video, calls: int) -> dict[str, Callable[[int], object]]:
    """Return name to timed call, given the number of the call; native looks are timed without and with their cache."""
    moments, config = _zooms(video.duration_s, calls), video.store.config
    for times_s in moments:
        video.crop(times_s[3], WHOLE)
    index = video.index
    assert index is not None
    library = VideoLibrary(config, video.store.video.path.parent, index.encoder, max_open=0)
    return {
        "open": lambda number: library.open(video.ref),
        "zoom": lambda number: video.frames_at(moments[number]),
        "native_look": lambda number: video.store.video.crop_at(moments[number][3], WHOLE, config),
        "native_look_again": lambda number: video.crop(moments[number][3], WHOLE),
        "search": lambda number: video.search_clips("x" * number, 8),
        "encode": lambda number: index.encoder.encode_texts(["x" * number])[0],
    }


def measure_group(run: MediaBench, folder: Path) -> dict[str, Any]:
    """Measure the third table: ratio of wall times of a group's looks in sequence and awaited together."""
    library = VideoLibrary(MediaConfig(max_pixels=run.max_pixels), folder, PlainEncoder(), decoded_bytes=0)
    video = library.open(VideoRef("v", str(folder / "hour.mp4")))
    looks: dict[str, Callable[[list[float]], object]] = {
        "zoom": video.frames_at,
        "native_look": lambda times_s: video.crop(times_s[3], WHOLE),
    }
    rounds = np.array_split(np.array(_zooms(video.duration_s, GROUP * 10)), 10)
    result: dict[str, float] = {"rollouts": GROUP, "rounds": len(rounds)}
    for name, look in looks.items():
        serial, together = list[float](), list[float]()
        for group in rounds:
            moments: list[list[float]] = group.tolist()
            start = time.perf_counter()
            for times_s in moments:
                look(times_s)
            middle = time.perf_counter()
            asyncio.run(_together(look, moments))
            serial.append(middle - start)
            together.append(time.perf_counter() - middle)
        result[f"{name}_speedup"] = median(serial) / median(together)
    return _rounded(result)


async def _together(look: Callable[[list[float]], object], moments: Sequence[list[float]]) -> None:
    """Await all looks together, in threads as `Episode.apply_async` does."""
    await asyncio.gather(*(asyncio.to_thread(look, times_s) for times_s in moments))


def _zooms(duration_s: float, count: int) -> list[list[float]]:
    """Return `count` lists of 8 times within 10 s, each list at another place of the video."""
    starts_s = np.random.default_rng(0).uniform(0, duration_s - 10, count)
    return [np.linspace(start_s, start_s + 9, 8).tolist() for start_s in starts_s]


def _decord_anew(video: VideoFile, times_s: list[float]) -> None:
    """Open, read 8 frames, close: plain decord, without this project's checks and without scaling."""
    import decord

    reader = decord.VideoReader(str(video.path), num_threads=1)
    reader.get_batch(video.timeline.frame_idxs(times_s).tolist()).asnumpy()


def _open_reader(backend: str, video: VideoFile) -> Callable[[list[float]], Any]:
    if backend == "torchcodec":
        from torchcodec.decoders import VideoDecoder

        decoder = VideoDecoder(str(video.path), num_ffmpeg_threads=1)
        return decoder.get_frames_played_at
    import decord

    reader = decord.VideoReader(str(video.path), num_threads=1)
    return lambda times_s: reader.get_batch(video.timeline.frame_idxs(times_s).tolist()).asnumpy()


def _median_s(call: Callable[[Any], object], arguments: Sequence[Any]) -> float:
    times_s: list[float] = []
    for argument in arguments:
        start = time.process_time()
        call(argument)
        times_s.append(time.process_time() - start)
    return median(times_s)


def _rounded(table: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in table.items()}


def _build_in_child(folder: Path, max_pixels: int) -> dict[str, float]:
    """Build the store in a new process, so that the peak memory of the process is the build's."""
    code = (
        "import sys; from pathlib import Path; from experiments.bench.media import build_and_report\n"
        "build_and_report(Path(sys.argv[1]), int(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(folder), str(max_pixels)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    build_s, peak_mb = map(float, done.stdout.split())
    return {"build_s": build_s, "peak_memory_mb": peak_mb}


def build_and_report(folder: Path, max_pixels: int) -> None:
    """Build the store; print CPU seconds and peak memory in MB."""
    start = time.process_time()
    build_store(folder / "hour.mp4", MediaConfig(max_pixels=max_pixels), folder)
    build_s = time.process_time() - start
    # Not `getrusage`, which counts the memory that the child shares with its parent between fork and exec.
    peak_kb = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak_kb is not None
    print(build_s, int(peak_kb[1]) * 1024 / 1e6)


if __name__ == "__main__":
    main(tyro.cli(MediaBench))
