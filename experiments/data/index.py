"""Store and index videos: `vt-env index talks/ film.mp4`. What is there already is not built again.

Besides files and folders it takes a JSONL file of tasks and reports which of its videos are missing. `--verify` and
`--gc` look after the cache, `--check` plants queries in the indexed videos.
"""

import os
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from experiments.data.check_retrieval import check_clips
from experiments.data.video_paths import find_videos, video_ref, workers
from experiments.runs.run_dir import Stopwatch, write_json
from experiments.settings.library import LibraryConfig
from vt_env.errors import ConfigError, DataError
from vt_env.media.cache.build_once import Progress, cache_root, content_hash
from vt_env.media.cache_eviction import Limits, collect, find_faults
from vt_env.media.library import Video, VideoLibrary
from vt_env.media.text.speech import has_audio
from vt_env.media.text.subtitles import load_subtitles
from vt_env.types import VideoRef, format_time

MANIFEST_SCHEMA = 1


@dataclass(frozen=True)
class IndexRun(LibraryConfig):
    """Store frames, index clips and read subtitles, once a video; look after what is stored."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Video files, folders that hold some or are pictures, JSONL files whose rows name a `video`."""
    workers: int = 0
    """Videos indexed side by side, each in a process of its own; 0 means as many as there are cores."""
    manifest: Path | None = None
    """JSON file to write: every video with its state, and for missing or undecodable ones why."""
    check: bool = False
    """Plant queries whose answers are known, and fail if retrieval finds them hardly more often than chance."""
    verify: bool = False
    """Read everything in the cache, or what belongs to the paths, and report what is damaged or outdated."""
    gc: bool = False
    """Delete what killed processes left behind, what --verify reports, and what --max-gb and --max-age-days exclude."""
    max_gb: float | None = None
    """With --gc: delete what was used longest ago until this much is left, in gigabytes of 10^9 bytes."""
    max_age_days: float | None = None
    """With --gc: delete what has not been used for this many days."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.paths or self.verify or self.gc):
            raise ConfigError("nothing to do: name videos or folders, or ask for --verify or --gc")
        if (self.max_gb is not None or self.max_age_days is not None) and not self.gc:
            raise ConfigError("--max-gb and --max-age-days limit what --gc leaves: add --gc")
        if self.workers < 0 or (self.max_gb or 0) < 0 or (self.max_age_days or 0) < 0:
            raise ConfigError("--workers, --max-gb and --max-age-days must not be negative")


@dataclass(frozen=True)
class Indexed:
    """What became of one video."""

    path: str
    status: str
    """`indexed`, `missing` or `undecodable`."""
    line: str
    """What is printed: what is there now, or why it is not."""
    duration_s: float | None = None
    frames: int = 0
    clips: int = 0
    subtitle_lines: int = 0


def main(run: IndexRun) -> int:
    """Look after the cache if asked to, else index every video; one that cannot be read is named, the others go on.

    Returns:
        2 if a video could not be read, something in the cache is not whole or retrieval is near chance, else 0.

    Raises:
        ConfigError: A path does not exist or holds no video, or the cache cannot be written.
    """
    if run.verify or run.gc:
        return look_after(run)
    results = list(index_all(run, find_videos(run.paths)))
    bad = [result for result in results if result.status != "indexed"]
    if run.manifest is not None:
        _write_manifest(run, results)
    if len(results) > 1:
        print(f"{len(results) - len(bad)} of {len(results)} videos are indexed")
    is_weak = run.check and not check_clips(
        [Path(it.path) for it in results if it.status == "indexed"], run.open_library()
    )
    return 2 if bad or is_weak else 0


def index_all(run: IndexRun, paths: Sequence[Path]) -> Iterator[Indexed]:
    """Index videos, several at a time, and print a line about each as it is done.

    A worker that dies (a decoder's crash, too little memory) takes down what was done beside it; each of these is then
    tried again alone, so that only the video that kills its worker is reported.

    Raises:
        ConfigError: The cache cannot be written or the encoder cannot be loaded.
    """
    there = [path for path in paths if path.exists()]
    missing = [Indexed(str(path), "missing", f"{path}: missing; copy it there") for path in paths if not path.exists()]
    count = min(run.workers or os.cpu_count() or 1, len(there))
    if count > 1:
        done = _side_by_side(run, there, count)
    else:
        opened = run.open_library() if there else None
        done = (index_one(path, opened) for path in there if opened is not None)
    for result in missing:
        yield _told(result)
    for result in tqdm(done, "videos", len(there), disable=True if count < 2 else None):
        yield _told(result)


def index_one(path: Path, library: VideoLibrary) -> Indexed:
    """Index one video; one that cannot be read is a result, too."""
    try:
        return index_video(path, library)
    except DataError as reason:
        return Indexed(str(path), "undecodable", str(reason))


def index_video(path: Path, library: VideoLibrary) -> Indexed:
    """Index one video and say what is there now.

    Raises:
        DataError: The video or its subtitles cannot be read.
    """
    watch, ref = Stopwatch(), video_ref(path)
    with _percent(path.name) as (show, shares), _percent(f"{path.name}, speech") as (show_speech, _):
        video = library.open(ref, show, show_speech)
    width, height = video.size_px
    done = f"stored and indexed in {watch.elapsed_s:.1f} s" if shares else "already stored and indexed"
    frames, clips, lines = len(video.store.times_s), len(video.index.vectors), len(video.subtitles.lines)
    line = (
        f"{path}: {format_time(video.duration_s)} long, {width}x{height}; {frames} frames and {clips} clips {done}; "
        f"{_subtitles(ref, video)}"
    )
    return Indexed(str(path), "indexed", line, video.duration_s, frames, clips, lines)


@contextmanager
def _percent(label: str) -> Generator[tuple[Progress, list[float]]]:
    """Show a bar from the first share on that it is told; yields what to tell and the shares told."""
    shares = list[float]()
    with tqdm(desc=label, total=100, unit="%", leave=False, disable=None, delay=1e-9) as bar:

        def show(share: float) -> None:
            shares.append(share)
            bar.update(round(100 * share) - bar.n)

        yield show, shares


def look_after(run: IndexRun) -> int:
    """Verify the cache and delete from it, as asked.

    Returns:
        2 if something is not whole and still there, else 0.

    Raises:
        OSError: Something cannot be deleted.
    """
    root = cache_root()
    media = frozenset(content_hash(path) for path in find_videos(run.paths) if path.exists()) if run.paths else None
    faults = tuple(find_faults(root, media)) if run.verify else ()
    for fault in faults:
        print(f"vt-env: {fault}", file=sys.stderr)
    if run.verify:
        print(f"{root}: {len(faults)} faults" if faults else f"{root}: everything is whole")
    if not run.gc:
        return 2 if faults else 0
    limits = Limits(
        None if run.max_gb is None else int(run.max_gb * 1e9),
        None if run.max_age_days is None else run.max_age_days * 86_400,
    )
    done = collect(root, limits, time.time(), faults)
    for path in done.kept_in_use:
        print(f"vt-env: {path}: in use, it was kept", file=sys.stderr)
    freed, left = done.freed_bytes / 1e6, done.left_bytes / 1e6
    print(f"{root}: deleted {len(done.removed)} entries, {freed:.1f} MB; {left:.1f} MB are left")
    return 2 if {fault.path for fault in faults} & set(done.kept_in_use) else 0


_library: VideoLibrary | None = None
"""Of a worker process: opened once, since loading an encoder takes seconds."""


def _open_library(run: IndexRun) -> None:
    global _library
    _library = run.open_library()


def _index_in_worker(path: Path) -> Indexed:
    assert _library is not None
    return index_one(path, _library)


def _side_by_side(run: IndexRun, paths: Sequence[Path], count: int) -> Iterator[Indexed]:
    undone: list[Path] = []
    with workers(count, _open_library, run) as executor:
        futures: dict[Future[Indexed], Path] = {executor.submit(_index_in_worker, path): path for path in paths}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:
                undone.append(futures[future])
    for path in undone:
        try:
            with workers(1, _open_library, run) as executor:
                yield executor.submit(_index_in_worker, path).result()
        except BrokenProcessPool:
            reason = "its decoding ends the process (too little memory, or a crash); keep what is readable with ffmpeg"
            yield Indexed(str(path), "undecodable", f"{path}: {reason}")


def _told(result: Indexed) -> Indexed:
    if result.status == "indexed":
        tqdm.write(result.line)
    else:
        tqdm.write(f"vt-env: {result.line}", file=sys.stderr)
    return result


def _write_manifest(run: IndexRun, results: Sequence[Indexed]) -> None:
    assert run.manifest is not None
    counts = {name: sum(it.status == name for it in results) for name in ("indexed", "missing", "undecodable")}
    videos: list[dict[str, object]] = []
    for it in sorted(results, key=lambda it: it.path):
        entry = asdict(it)
        line = entry.pop("line")
        videos.append({**entry, "reason": None if it.status == "indexed" else line})
    record = {"schema": MANIFEST_SCHEMA, "media": asdict(run.media), "counts": counts, "videos": videos}
    run.manifest.parent.mkdir(parents=True, exist_ok=True)
    write_json(run.manifest, record)


def _subtitles(ref: VideoRef, video: Video) -> str:
    count = len(video.subtitles.lines)
    if ref.subtitles_path is not None:
        return f"{count} subtitle lines from {ref.subtitles_path}"
    if not count:
        return "no subtitles" + ("; --asr transcribes its audio" if has_audio(ref.path) else " and no audio")
    source = "the file itself" if load_subtitles(ref).lines else "speech recognition"
    return f"{count} subtitle lines from {source}"
