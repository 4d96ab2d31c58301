"""From paths that a person types to videos, and the slow preparation of many videos on several cores."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vt_env.errors import ConfigError
from vt_env.media.cache import content_hash
from vt_env.types import VideoRef

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm")
SUBTITLE_SUFFIXES = (".srt", ".vtt")


def find_videos(paths: Sequence[Path]) -> list[Path]:
    """List files as they are given, and the video files in and below folders, by their suffixes.

    Raises:
        ConfigError: A path does not exist, or a folder holds no video.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path}: no such file or folder")
        inside = (
            [it for it in sorted(path.rglob("*")) if it.suffix.lower() in VIDEO_SUFFIXES] if path.is_dir() else [path]
        )
        if not inside:
            raise ConfigError(f"{path}: no video in it; known suffixes are {', '.join(VIDEO_SUFFIXES)}")
        found += inside
    return list(dict.fromkeys(found))


def video_ref(path: Path) -> VideoRef:
    """Refer to a video file; subtitles are the SRT or VTT file of the same name beside it, if there is one."""
    beside = (path.with_suffix(suffix) for suffix in SUBTITLE_SUFFIXES)
    subtitles = next((str(it) for it in beside if it.is_file()), None)
    return VideoRef(content_hash(path)[:16], str(path), subtitles)


def run_parallel(work: Callable[[Any], object], items: Sequence[Any], processes: int, label: str) -> None:
    """Do a piece of work for each item in several processes, with a progress bar; the first failure ends it.

    Args:
        work: A function that can be pickled.
        items: What it is called with.
        processes: How many at once.
        label: Stands before the bar.
    """
    with _workers(processes) as executor:
        for _ in tqdm(executor.map(work, items), label, len(items), disable=None):
            pass


@contextmanager
def _workers(processes: int) -> Iterator[ProcessPoolExecutor]:
    # Spawned, since forking a process whose libraries run threads can hang.
    executor = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_ignore_interrupt)
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


def _ignore_interrupt() -> None:
    """Leave Ctrl-C to the parent, which ends its workers with one message instead of one traceback each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
