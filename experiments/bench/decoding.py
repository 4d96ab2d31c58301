"""Correctness and speed of decoding backends: `python -m experiments.bench.decoding --out FILE.json`.

Every frame of a test video shows its own index, so a wrong frame is recognised. A backend returns the right frame, a
wrong or torn one, or an error; it is right for a format (container and codec) if it returns the right frame every time
in every file of the format. Speeds are ratios to PyAV in the same run. If torchcodec finds no FFmpeg on the machine, it
uses the libraries that PyAV ships.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import tyro

from experiments.bench.fixtures.camera_like_video import write_pictures
from experiments.bench.fixtures.ffmpeg_for_torchcodec import run_with_pyav_ffmpeg
from experiments.bench.fixtures.numbered_frames import SPECS, read_index, write_numbered_video
from experiments.runs.provenance import package_version
from experiments.runs.run_dir import write_json
from vt_env.errors import DataError
from vt_env.markdown import markdown_table
from vt_env.media.decode.container import format_of, open_media, video_stream
from vt_env.media.decode.other_backends import RIGHT, is_installed
from vt_env.media.decode.video_file import VideoFile, open_video


@dataclass(frozen=True)
class DecodingBench:
    """Measure all installed backends."""

    out: Path | None = None
    """JSON file to write."""
    frames: int = 40
    """Frames requested of each video, in random order."""
    repeats: int = 3
    """Repeats of each timing; the median counts."""


@dataclass(frozen=True)
class FrameCounts:
    """Right, wrong and refused frames of one backend on one file."""

    right: int
    wrong: int
    refused: int
    reason: str = ""
    """Message of the first refusal."""

    @property
    def total(self) -> int:
        """Number of requested frames."""
        return self.right + self.wrong + self.refused


def main(run: DecodingBench) -> None:
    """Measure, print the table and write it to `out`."""
    run_with_pyav_ffmpeg("experiments.bench.decoding")
    backends = [name for name in ("pyav", *RIGHT) if is_installed(name)]
    with TemporaryDirectory() as folder:
        table, formats = check_backends(Path(folder), backends, run.frames)
        speed = time_backends(Path(folder), backends, run.repeats)
    right = {
        backend: sorted(
            {fmt for fmt in formats.values() if all(_is_right(table[n][backend]) for n in table if formats[n] == fmt)}
        )
        for backend in backends
    }
    versions = {name: package_version(name) for name in ("av", "torchcodec", "decord2", "torch")}
    print(_markdown(table, formats, backends), "", *(f"{b}: {right[b]}" for b in backends), speed, sep="\n")
    if run.out is not None:
        cells = {name: {b: asdict(cell) for b, cell in row.items()} for name, row in table.items()}
        record = {"versions": versions, "frames": run.frames, "files": cells, "formats": formats, "right": right}
        write_json(run.out, {**record, "ratios_to_pyav": speed, "repeats": run.repeats})


def check_backends(
    folder: Path, backends: list[str], count: int
) -> tuple[dict[str, dict[str, FrameCounts]], dict[str, str]]:
    """Check every backend on every numbered video.

    Returns:
        File name to backend to counts, and file name to format.
    """
    table, formats = dict[str, dict[str, FrameCounts]](), dict[str, str]()
    for name in SPECS:
        write_numbered_video(folder, name)
        video = open_video(folder / name)
        with open_media(video.path) as container:
            formats[name] = format_of(container, video_stream(container, video.path))
        first = read_index(video.frames_at([0.0]).data[0])
        table[name] = {
            backend: _check(VideoFile(video.path, video.size_px, video.timeline, backend), first, count)
            for backend in backends
        }
        counts = (f"{backend} {cell.right}/{cell.total}" for backend, cell in table[name].items())
        print(name, *counts, flush=True)
    return table, formats


def _check(video: VideoFile, first: int, count: int) -> FrameCounts:
    """Request single frames in random order; `first` is the index shown by the first frame of the video."""
    tally, reason = defaultdict[str, int](int), ""
    for idx in np.random.default_rng(7).permutation(len(video.timeline.pts))[:count].tolist():
        try:
            frames = video.frames_at([float(video.timeline.times_s[idx])])
            tally["right" if read_index(frames.data[0]) == idx + first else "wrong"] += 1
        except ValueError:
            tally["wrong"] += 1
        except DataError as error:
            tally["refused"] += 1
            reason = reason or str(error).partition(": ")[2]
    return FrameCounts(tally["right"], tally["wrong"], tally["refused"], reason)


def time_backends(folder: Path, backends: list[str], repeats: int) -> dict[str, dict[str, float]]:
    """Time one frame a second of a 20-second camera-like video, and 8 random frames, as ratios to PyAV."""
    write_pictures(folder / "pictures.mp4", duration_s=20)
    video = open_video(folder / "pictures.mp4")
    seconds = list(range(20))
    eight = np.random.default_rng(0).uniform(0, 19, 8).tolist()
    times: dict[str, dict[str, float]] = {}
    for backend in backends:
        played = VideoFile(video.path, video.size_px, video.timeline, backend)
        pass_s = _median_s(lambda played=played: played.frames_at(seconds, (112, 112)), repeats)
        times[backend] = {"pass": pass_s, "eight": _median_s(lambda played=played: played.frames_at(eight), repeats)}
    return {
        backend: {kind: round(times[backend][kind] / times["pyav"][kind], 2) for kind in ("pass", "eight")}
        for backend in backends
    }


def _median_s(work: Callable[[], object], repeats: int) -> float:
    # CPU time of the process, since it excludes other work on the machine and includes the backend's threads.
    times_s: list[float] = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times_s.append(time.process_time() - start)
    return median(times_s)


def _is_right(counts: FrameCounts) -> bool:
    return counts.right > 0 and not counts.wrong and not counts.refused


def _markdown(table: dict[str, dict[str, FrameCounts]], formats: dict[str, str], backends: list[str]) -> str:
    rows: list[list[str]] = []
    for name, row in table.items():
        cells: list[str] = []
        for cell in row.values():
            cells.append(f"{cell.right}/{cell.total}" + f", {cell.wrong} wrong" * bool(cell.wrong))
        rows.append([name, formats[name], *cells])
    return "\n".join(markdown_table(["file", "format", *backends], rows))


if __name__ == "__main__":
    main(tyro.cli(DecodingBench))
