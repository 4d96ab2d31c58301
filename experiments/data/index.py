"""Store and index videos: `vt-env index talks/ film.mp4`. Existing stores and indices are reused.

A JSONL file of tasks stands for the videos that its rows name; missing ones are reported. `--verify` and `--gc`
maintain the cache; `--check` measures retrieval with planted queries.
"""

import errno
import multiprocessing
import os
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tqdm import tqdm

from experiments.data.check_retrieval import check_clips
from experiments.data.video_paths import find_videos, video_ref
from experiments.runs.executors import ExecutorConfig, Work, run_in_workers
from experiments.runs.run_dir import Stopwatch, write_json
from experiments.settings.library import LibraryConfig
from experiments.settings.profile import holds_world
from vt_env.config import at_least
from vt_env.errors import ConfigError, DataError, foreign_input
from vt_env.media.cache.build_once import Progress, cache_root, content_hash
from vt_env.media.cache_eviction import Limits, collect, find_faults
from vt_env.media.library import Video, VideoLibrary
from vt_env.media.terminal import ProgressLines, track
from vt_env.media.text.speech import has_audio
from vt_env.types import VideoRef, format_time
from vt_env.valid_text import printable

MANIFEST_SCHEMA = 1


@dataclass(frozen=True)
class IndexRun(LibraryConfig, ExecutorConfig):
    """Store frames, index clips and read subtitles of videos; maintain the cache."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Video files, folders of videos, folders of pictures (one video each), JSONL files whose rows name a `video`."""
    manifest: Path | None = None
    """JSON file for the status of every video, with the reason for missing and undecodable ones."""
    check: bool = False
    """Measure retrieval with planted queries of known answer, and fail if recall is near chance."""
    verify: bool = False
    """Read the whole cache, or the entries of the paths, and report damaged and outdated entries."""
    gc: bool = False
    """Delete leftovers of killed processes, entries that --verify reports, and those beyond --max-gb and
    --max-age-days."""
    max_gb: float | None = None
    """With --gc: size limit of the cache in gigabytes (10^9 bytes); the least recently used entries are deleted."""
    max_age_days: float | None = None
    """With --gc: age limit in days since the last use of an entry."""

    def __post_init__(self) -> None:
        LibraryConfig.__post_init__(self)
        ExecutorConfig.__post_init__(self)
        if not (self.paths or self.verify or self.gc):
            raise ConfigError("nothing to do: give videos or folders, --verify or --gc")
        if (self.max_gb is not None or self.max_age_days is not None) and not self.gc:
            raise ConfigError("--max-gb and --max-age-days need --gc: add --gc")
        for name in ("max_gb", "max_age_days"):
            at_least(self, name, 0)

    @property
    def plays_world(self) -> bool:
        """Whether the paths are task files of the generated world."""
        return bool(self.paths) and all(map(holds_world, self.paths))


@dataclass(frozen=True)
class IndexResult:
    """Status of one video after indexing."""

    path: str
    status: Literal["indexed", "missing", "undecodable"]
    line: str
    """Printed line: a summary of the index, or the reason for its absence."""
    duration_s: float | None = None
    frames: int = 0
    clips: int = 0
    subtitle_lines: int = 0
    screen_lines: int | None = None
    """Lines of text on the screen; `None` if it was not read."""


def main(run: IndexRun) -> int:
    """Maintain the cache with `--verify` or `--gc`, else index every video; an unreadable video stops no other.

    Returns:
        2 if a video is unreadable, a cache entry is damaged, or recall is near chance; else 0.

    Raises:
        ConfigError: A path does not exist or holds no video, or the cache is not writable.
    """
    if run.verify or run.gc:
        return maintain_cache(run)
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


def index_all(run: IndexRun, paths: Sequence[Path]) -> Iterator[IndexResult]:
    """Index videos in parallel and print one line for each when it is done.

    A worker that dies (crash of a decoder, out of memory) fails the videos of all other workers, too. Each of them is
    retried alone, so that only a video that kills its worker is reported.

    Raises:
        ConfigError: The cache is not writable, or the encoder cannot be loaded.
    """
    existing = [path for path in paths if path.exists()]
    missing = [
        IndexResult(str(path), "missing", f"{path}: missing; copy it there") for path in paths if not path.exists()
    ]
    is_parallel = run.executor == "ray" or min(run.workers or os.cpu_count() or 1, len(existing)) > 1
    if is_parallel and existing:
        # Worker processes say nothing, so what is missing is said here.
        run.open_library().search_sources(VideoRef("", str(existing[0])))
        done = _index_in_workers(run, existing)
    else:
        opened = run.open_library() if existing else None
        done = (index_one(path, opened) for path in existing if opened is not None)
    for result in missing:
        yield _print_result(result)
    for result in track(done, "videos", len(existing)) if is_parallel else done:
        yield _print_result(result)


def index_one(path: Path, library: VideoLibrary) -> IndexResult:
    """Index one video; an unreadable one gives the status `undecodable`."""
    try:
        with foreign_input(path):
            return index_video(path, library)
    except DataError as reason:
        return IndexResult(str(path), "undecodable", str(reason))
    except OSError as reason:
        if reason.errno not in (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT, errno.ESTALE):
            raise
        return IndexResult(
            str(path), "undecodable", f"{path}: cannot be read ({reason.strerror}); check its permissions"
        )


def index_video(path: Path, library: VideoLibrary) -> IndexResult:
    """Index one video and return a summary of the index.

    Raises:
        DataError: The video or its subtitles cannot be read.
    """
    watch, ref = Stopwatch(), video_ref(path)
    with (
        _progress(path.name) as (show, shares),
        _progress(f"{path.name}, speech") as (show_speech, _),
        _progress(f"{path.name}, text on the screen") as (show_screen, _),
    ):
        video = library.open(ref, show, show_speech, show_screen)
    width, height = video.size_px
    done = f"stored and indexed in {watch.elapsed_s:.1f} s" if shares else "already stored and indexed"
    clips = 0 if video.index is None else len(video.index.vectors)
    frames, lines = len(video.store.times_s), len(video.subtitles.lines)
    kept = f"{frames} frames and {clips} clips" if clips else f"{frames} frames and no clips"
    shape = f"{format_time(video.duration_s)} long, {width}x{height}"
    line = f"{path}: {shape}; {kept} {done}; {_subtitles(ref, video)}"
    screen = None if video.screen_text is None else len(video.screen_text)
    if screen is not None:
        line += f"; {screen or 'no'} {'line' if screen == 1 else 'lines'} of text on the screen"
    return IndexResult(str(path), "indexed", line, video.duration_s, frames, clips, lines, screen)


@contextmanager
def _progress(label: str) -> Generator[tuple[Progress, list[float]]]:
    """Yield a progress callback, and the shares in [0, 1] passed to it; the bar appears with the first one."""
    shares = list[float]()
    is_bar = sys.stderr.isatty() or multiprocessing.parent_process() is not None
    lines = None if is_bar else ProgressLines(label, 100, unit="%")
    with lines or tqdm(desc=label, total=100, unit="%", leave=False, disable=None, delay=1e-9) as bar:

        def show(share: float) -> None:
            shares.append(share)
            bar.update(round(100 * share) - bar.n)

        yield show, shares


def maintain_cache(run: IndexRun) -> int:
    """Verify the cache and delete entries, according to the flags.

    Returns:
        2 if a damaged or outdated entry remains, else 0.

    Raises:
        OSError: An entry cannot be deleted.
    """
    root = cache_root()
    media = frozenset(content_hash(path) for path in find_videos(run.paths) if path.exists()) if run.paths else None
    faults = tuple(find_faults(root, media)) if run.verify else ()
    for fault in faults:
        print(f"vt-env: {fault}", file=sys.stderr)
    if run.verify:
        print(f"{root}: {len(faults)} faults" if faults else f"{root}: no faults")
    if not run.gc:
        return 2 if faults else 0
    limits = Limits(
        None if run.max_gb is None else int(run.max_gb * 1e9),
        None if run.max_age_days is None else run.max_age_days * 86_400,
    )
    done = collect(root, limits, time.time(), faults)
    for path in done.kept_in_use:
        print(f"vt-env: {path}: kept, since a process uses it", file=sys.stderr)
    freed, left = done.freed_bytes / 1e6, done.left_bytes / 1e6
    print(f"{root}: deleted {len(done.removed)} entries, {freed:.1f} MB; {left:.1f} MB are left")
    return 2 if {fault.path for fault in faults} & set(done.kept_in_use) else 0


def _open_library(run: IndexRun) -> VideoLibrary:
    return run.open_library()


def _index_with(library: VideoLibrary, path: Path) -> IndexResult:
    return index_one(path, library)


def _index_in_workers(run: IndexRun, paths: Sequence[Path]) -> Iterator[IndexResult]:
    """Index in the workers of the executor; a worker's library is opened once, since an encoder loads for seconds."""
    for path, result in run_in_workers(run, Work(_open_library, run, _index_with), paths):
        if result is not None:
            yield result
        else:
            reason = "its decoding ends the process (too little memory, or a crash); keep what is readable with ffmpeg"
            yield IndexResult(str(path), "undecodable", f"{path}: {reason}")


def _print_result(result: IndexResult) -> IndexResult:
    if result.status == "indexed":
        tqdm.write(printable(result.line))
    else:
        tqdm.write(f"vt-env: {printable(result.line)}", file=sys.stderr)
    return result


def _write_manifest(run: IndexRun, results: Sequence[IndexResult]) -> None:
    assert run.manifest is not None
    counts = {name: sum(it.status == name for it in results) for name in ("indexed", "missing", "undecodable")}
    videos: list[dict[str, object]] = []
    for it in sorted(results, key=lambda it: it.path):
        entry = asdict(it)
        line = entry.pop("line")
        videos.append({**entry, "reason": None if it.status == "indexed" else line})
    record = {"schema": MANIFEST_SCHEMA, "media": asdict(run.chosen.media), "counts": counts, "videos": videos}
    run.manifest.parent.mkdir(parents=True, exist_ok=True)
    write_json(run.manifest, record)


def _subtitles(ref: VideoRef, video: Video) -> str:
    track = video.subtitles
    if not track.lines:
        return "no subtitles" + ("; --asr transcribes its audio" if has_audio(ref.path) else " and no audio")
    return f"{len(track.lines)} subtitle lines from {track.source}"
