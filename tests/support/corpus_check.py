"""One file of a corpus under the engine: exact frames at random times, one line for a refusal, time and memory bounded.

Each file is opened in a process of its own, forked from one that has everything imported, so that a decoder that
crashes, hangs or eats the memory is a row of the table.
"""

import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image
from support.corpus_judge import SIDE_PX, Judged, judge

from vt_env.config import MediaConfig
from vt_env.errors import VtEnvError
from vt_env.media.cache.frame_store import build_store
from vt_env.media.decode.container import open_media, video_stream
from vt_env.media.decode.video_file import VideoFile, open_video

TIMES = 8
"""Random times a file, each decoded by itself, in random order."""
EDGE_S = 0.002
"""Distance from a change of the picture within which the judge's clock may round to the other side."""
FAR = 12.0
"""Mean difference of two pictures, of 255, from which they are not the same, whatever other frames look like."""
NEARER = 1.0
"""Difference by which another frame must fit better, to be the one that was returned."""
MEGABYTE = 1 << 20

EXACT, REFUSED = "exact", "refused"


@dataclass(frozen=True)
class Limits:
    """Bounds of one file."""

    seconds: float = 120.0
    megabytes: float = 2048.0


@dataclass(frozen=True)
class Row:
    """What became of one file."""

    name: str
    status: str
    """`exact`, `refused`; `wrong`, `error`, `crashed`, `time`, `memory` are faults."""
    line: str = ""
    """The refusal or the fault."""
    frames: int = 0
    judged: int = 0
    """Frames that the judge found."""
    times: int = 0
    """Random times at which frames were compared, those of the frame store included."""
    seconds: float = 0.0
    megabytes: float = 0.0
    """Memory that the file took beyond the imports."""

    @property
    def is_fault(self) -> bool:
        """Whether the engine did what it must not."""
        return self.status not in (EXACT, REFUSED)


def check_file(path: Path, name: str, seed: int) -> Row:
    """Compare the frames of one file with the judge's."""
    try:
        video = open_video(path)
        with open_media(path) as container:
            stream_idx = video_stream(container, path).index
    except VtEnvError as reason:
        return Row(name, REFUSED if is_clear(str(reason), path) else "error", str(reason), judged=_count(path))
    judged = judge(path, stream_idx)
    frames = len(video.timeline.pts)
    if not len(judged.times_s):
        return Row(name, "wrong", f"the judge finds no frame: {judged.said}", frames)
    judged = _on_our_clock(video, judged)
    faults = [] if _same_size(video.size_px, judged.size_px) else [f"size {video.size_px}, judged {judged.size_px}"]
    times_s = _times(video, judged, np.random.default_rng(seed))
    faults += [fault for time_s in times_s if (fault := _fault_at(video, judged, time_s))]
    in_store = _store_times(video, judged)
    faults += _store_faults(path, judged, in_store)
    count = len(times_s) + len(in_store)
    line = f"{len(faults)} of {count}: {faults[0]}" if faults else ""
    return Row(name, "wrong" if faults else EXACT, line, frames, len(judged.times_s), count)


def _on_our_clock(video: VideoFile, judged: Judged) -> Judged:
    """Return the judge's frames with times counted from our first frame.

    Versions of FFmpeg differ in where the clock of a container begins, so first frames are taken for the same; unless
    the judge shows frames before ours, as in streams that begin between keyframes.
    """
    first = video.frames_at([0.0], (SIDE_PX, SIDE_PX)).data[0].astype(np.int16)
    at = max(0, int(np.searchsorted(judged.times_s, video.timeline.origin_s + EDGE_S, side="right")) - 1)
    by_picture, by_time = (np.abs(judged.pictures[it].astype(np.int16) - first).mean() for it in (0, at))
    start_s = judged.times_s[at if by_time < by_picture - NEARER else 0]
    return replace(judged, times_s=judged.times_s - start_s)


def is_clear(message: str, path: Path) -> bool:
    """Tell whether a refusal is one line that names the file and holds a remedy behind the defect."""
    return (
        "\n" not in message and path.name in message and (";" in message or "at most" in message) and len(message) < 500
    )


def _count(path: Path) -> int:
    return len(judge(path, None).times_s)


def _same_size(shown: tuple[int, int], judged: tuple[int, int]) -> bool:
    return all(abs(a - b) <= 1 for a, b in zip(shown, judged, strict=True))


def _times(video: VideoFile, judged: Judged, rng: np.random.Generator) -> list[float]:
    """Draw times within the judged part, away from the changes of the picture."""
    end_s = min(video.duration_s, judged.times_s[-1] + 0.04)
    drawn = rng.uniform(0, max(end_s, 1e-6), 4 * TIMES)
    gaps = np.abs(judged.times_s[None] - drawn[:, None]).min(axis=1)
    return [float(it) for it, gap in zip(drawn, gaps, strict=True) if gap > EDGE_S or len(judged.times_s) == 1][:TIMES]


def _fault_at(video: VideoFile, judged: Judged, time_s: float) -> str:
    try:
        found = video.frames_at([time_s], (SIDE_PX, SIDE_PX))
    except VtEnvError as reason:
        return f"{time_s:.3f} s: {reason}"
    expected = _expected(judged, time_s)
    at_s = found.pts_s[0]
    if abs(at_s - judged.times_s[expected]) > EDGE_S:
        return f"{time_s:.3f} s: the frame of {at_s:.3f} s, the judge shows that of {judged.times_s[expected]:.3f} s"
    return _difference(found.data[0], judged, expected, time_s)


def _expected(judged: Judged, time_s: float) -> int:
    shown = np.searchsorted(judged.times_s, time_s + 1e-6, side="right") - 1
    return max(0, int(shown))


def _difference(picture: np.ndarray, judged: Judged, expected: int, time_s: float) -> str:
    first = max(0, expected - 30)
    near = judged.pictures[first : expected + 31].astype(np.int16)
    far = np.abs(near - picture.astype(np.int16)[None]).mean(axis=(1, 2, 3))
    own, best = far[expected - first], int(far.argmin())
    if own > FAR or own > far[best] + NEARER:
        return f"{time_s:.3f} s: differs by {own:.1f} of 255; frame {best + first - expected:+d} by {far[best]:.1f}"
    return ""


def _store_times(video: VideoFile, judged: Judged) -> list[float]:
    end_s = min(video.duration_s, judged.times_s[-1] + 0.04)
    moments = np.arange(int(np.ceil(end_s))).astype(float)
    gaps = np.abs(judged.times_s[None] - moments[:, None])
    # A picture that begins within the slack of a moment is the one shown there, by either clock.
    return [float(it) for it, gap in zip(moments, gaps, strict=True) if not ((gap > 1e-5) & (gap < EDGE_S)).any()][:40]


def _store_faults(path: Path, judged: Judged, times_s: list[float]) -> list[str]:
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as cache:
        try:
            stored = build_store(path, MediaConfig(), Path(cache)).frames_at(times_s)
        except VtEnvError as reason:
            return [f"store: {reason}"]
        for picture, time_s in zip(stored.data, times_s, strict=True):
            small = np.asarray(Image.fromarray(picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))
            fault = _difference(small, judged, _expected(judged, time_s), time_s)
            faults += [f"store: {fault}"] if fault else []
    return faults


def check_bounded(path: Path, name: str, seed: int, limits: Limits) -> Row:
    """Check one file in a forked process of bounded time and memory."""
    read, write = os.pipe()
    began_s = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _child(path, name, seed, limits, write)
    os.close(write)
    answer = b""
    while chunk := _read(read, limits.seconds - (time.monotonic() - began_s)):
        answer += chunk
    os.close(read)
    is_late = chunk is None
    if is_late:
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    seconds = round(time.monotonic() - began_s, 2)
    if is_late:
        return Row(name, "time", f"not done after {limits.seconds:g} s", seconds=seconds)
    if not answer:
        return Row(name, "crashed", f"the process ended with status {status}", seconds=seconds)
    row = Row(**{**json.loads(answer), "seconds": seconds})
    if row.megabytes > limits.megabytes:
        return Row(name, "memory", f"{row.megabytes:.0f} MB", row.frames, row.judged, row.times, seconds, row.megabytes)
    return row


def _read(descriptor: int, left_s: float) -> bytes | None:
    ready, _, _ = select.select([descriptor], [], [], max(0.0, left_s))
    return os.read(descriptor, 1 << 16) if ready else None


def _child(path: Path, name: str, seed: int, limits: Limits, write: int) -> None:
    os.setpgid(0, 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    most = int((limits.megabytes + 4096) * MEGABYTE)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        row: dict[str, Any] = asdict(check_file(path, name, seed))
    except BaseException as fault:  # noqa: BLE001 - whatever is raised is the row
        row = asdict(Row(name, "error", f"{type(fault).__name__}: {str(fault).splitlines()[:1]}"))
    row["megabytes"] = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1)
    os.write(write, json.dumps(row).encode())
    os._exit(0)


def check_folder(folder: Path, seed: int, limits: Limits) -> Iterator[Row]:
    """Check every file below a folder, in the order of their names."""
    for path in sorted(it for it in folder.rglob("*") if it.is_file() and not it.name.startswith(".")):
        yield check_bounded(path, str(path.relative_to(folder)), seed, limits)


def main(folder: Path, answers: Path, seed: int, limits: Limits) -> None:
    """Write one JSON line a file; `python -m support.corpus_check FOLDER ANSWERS SEED SECONDS MEGABYTES`."""
    av.logging.set_level(None)
    warnings.simplefilter("ignore")
    with answers.open("w") as file:
        for row in check_folder(folder, seed, limits):
            file.write(json.dumps(asdict(row)) + "\n")
            file.flush()


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]), Path(given[1]), int(given[2]), Limits(float(given[3]), float(given[4])))
