"""Cost of stored pictures in two versions of the code: `python -m experiments.bench.media_versions --before FOLDER`.

The folder is a checkout of the earlier version, such as `git worktree add FOLDER ceb5cc0`, before frames had the shape
of their video: then, every frame was padded to a square of `frame_px`. Each version opens the same files in processes
of its own, in turns, so that other work on the machine slows both alike: a video of the generated world at its size, a
16:9 video at the same width in both, and the same video at each version's default size, where a frame now shows more of
it. Times are CPU time, medians over the calls of all rounds.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tyro

from experiments.bench.fixtures.camera_like_video import repeat, write_pictures
from experiments.runs.provenance import machine
from experiments.runs.run_dir import write_json
from vt_env.config import MediaConfig
from vt_env.media.library import VideoLibrary
from vt_env.media.search.encoders import ColourNameEncoder
from vt_env.task_sources import load_tasks
from vt_env.types import Box, VideoRef

ROOT = Path(__file__).parents[2]
NATIVE_LOOKS = 20
"""Closer looks a round; they decode, so there are fewer of them."""
_WIDTHS_PX = {"world": 112, "wide": 448, "wide_default": 112}
"""Side of the square of the earlier version, by case."""
_PIXELS = {"world": 112**2, "wide": 448 * 252, "wide_default": 112**2}
"""Pixels of a frame of this version, by case."""


@dataclass(frozen=True)
class VersionsBench:
    """Compare a checkout of an earlier version with this one."""

    before: Path
    """Checkout of the earlier version."""
    out: Path | None = None
    """JSON file to write."""
    minutes: int = 10
    """Length of the 16:9 video, a multiple of 2."""
    rounds: int = 5
    """Processes of each version for each video."""
    calls: int = 40
    """Zooms a round."""


@dataclass(frozen=True)
class Measured:
    """What one process measured."""

    build_s: float
    """CPU seconds of opening the video the first time; nearly none where it is stored."""
    zoom_ms: list[float]
    look_ms: list[float]
    disk_kb: float


def main(run: VersionsBench) -> None:
    """Measure in turns, print ratios of this version to the earlier one, and write all numbers."""
    checkouts = {"before": run.before.resolve(), "now": ROOT}
    tables: dict[str, Any] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for video, path in _videos(folder, run.minutes).items():
            found: dict[str, list[Measured]] = {version: [] for version in checkouts}
            for number in range(run.rounds):
                order = list(checkouts.items())
                for version, root in order if number % 2 else reversed(order):
                    now = {"max_pixels": _PIXELS[video]}
                    media = {"frame_px": _WIDTHS_PX[video]} if version == "before" else now
                    found[version].append(_in_child(root, path, folder / version / video, media, run.calls))
            tables[video] = _compare(found)
            print(video, *(f"  {key}: {value}" for key, value in tables[video].items()), sep="\n")
    if run.out is not None:
        calls = {"zooms": run.rounds * run.calls, "native_looks": run.rounds * NATIVE_LOOKS}
        about = {"command": "python -m experiments.bench.media_versions", "machine": machine(), "n": calls}
        write_json(run.out, {**about, **tables})


def measure(path: Path, cache: Path, media: Mapping[str, Any], calls: int) -> Measured:
    """Open a video, zoom at 8 frames of 10 s and look closer, each at another time.

    Names that both versions have are used alone.
    """
    library = VideoLibrary(MediaConfig(**media), cache, ColourNameEncoder())
    start = time.process_time()
    video = library.open(VideoRef("v", str(path)))
    build_s = time.process_time() - start
    starts_s = np.random.default_rng(0).uniform(0, video.duration_s - 10, calls)
    zooms = [np.linspace(start_s, start_s + 9, 8).tolist() for start_s in starts_s]
    video.frames_at(zooms[0])
    zoom_ms = [_cpu_ms(lambda times_s=times_s: video.frames_at(times_s)) for times_s in zooms]
    box = Box(0.25, 0.25, 0.75, 0.75)
    look_ms = [_cpu_ms(lambda at=times_s[3]: video.crop(at, box)) for times_s in zooms[:NATIVE_LOOKS]]
    disk_kb = sum(it.stat().st_size for it in (cache / "stores").rglob("*") if it.is_file()) / 1e3
    return Measured(build_s, zoom_ms, look_ms, disk_kb)


def report(arguments: Sequence[str]) -> None:
    """Measure in this process and print the numbers as JSON."""
    path, cache, media, calls = arguments
    print(json.dumps(asdict(measure(Path(path), Path(cache), json.loads(media), int(calls)))))


def _videos(folder: Path, minutes: int) -> dict[str, Path]:
    write_pictures(folder / "part.mp4", 120)
    repeat(folder / "part.mp4", folder / "wide.mp4", minutes // 2)
    task = load_tasks("world", "test")[0]
    task.prepare(task.item.video)
    wide = folder / "wide.mp4"
    return {"world": Path(task.item.video.path), "wide": wide, "wide_default": wide}


def _in_child(root: Path, path: Path, cache: Path, media: Mapping[str, int], calls: int) -> Measured:
    """Measure with the packages of a checkout; this file itself is read from here."""
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('media_versions', {str(Path(__file__))!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['media_versions'] = module\n"
        "spec.loader.exec_module(module)\n"
        "module.report(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, str(path), str(cache), json.dumps(media), str(calls)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def _compare(found: Mapping[str, Sequence[Measured]]) -> dict[str, float]:
    rows = {
        version: {
            "build_s": runs[0].build_s,
            "zoom_ms": median(it for run in runs for it in run.zoom_ms),
            "native_look_ms": median(it for run in runs for it in run.look_ms),
            "disk_kb": runs[-1].disk_kb,
        }
        for version, runs in found.items()
    }
    table = {f"{key}_{version}": value for version, row in rows.items() for key, value in row.items()}
    table |= {f"{key}_ratio": value / rows["before"][key] for key, value in rows["now"].items()}
    return {key: round(value, 3) for key, value in table.items()}


def _cpu_ms(call: Any) -> float:
    start = time.process_time()
    call()
    return 1e3 * (time.process_time() - start)


if __name__ == "__main__":
    main(tyro.cli(VersionsBench))
