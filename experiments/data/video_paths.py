"""Videos of command-line paths, and worker processes that prepare many videos."""

import os
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from vt_env.errors import ConfigError, DataError
from vt_env.jsonl import decode_object, read_jsonl
from vt_env.media.cache.build_once import content_hash
from vt_env.media.decode.container import check_file
from vt_env.media.decode.picture_folder import PICTURE_SUFFIXES, list_pictures
from vt_env.media.terminal import track
from vt_env.types import VideoRef

VIDEO_SUFFIXES = (
    ".3g2", ".3gp", ".amv", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264", ".h265", ".hevc", ".ivf",
    ".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf",
    ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".swf", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m",
)  # fmt: skip
"""Suffixes of the containers that FFmpeg reads."""
_NO_VIDEOS = (".json", ".jsonl", ".txt", ".md", ".csv", *PICTURE_SUFFIXES)
"""Suffixes that commonly lie beside videos; they are not reported as left out."""
SUBTITLE_SUFFIXES = (".srt", ".vtt", ".ass", ".ssa")


def find_videos(paths: Sequence[Path]) -> list[Path]:
    """List the videos of files, of folders with their subfolders, and of the rows of JSONL files, without duplicates.

    A folder of pictures without a video file is one video. A video named by a row may be missing.

    Raises:
        ConfigError: A path does not exist, a folder holds no video, or a JSONL file names none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path}: no such file or folder")
        inside = _of_rows(path) if path.suffix == ".jsonl" else _of_folder(path) if path.is_dir() else [path]
        if not inside:
            raise ConfigError(f"{path}: no video in it; known suffixes are {', '.join(VIDEO_SUFFIXES)}")
        found += inside
    first: dict[Path, Path] = {}
    for path in found:
        first.setdefault(path.resolve(), path)
    return list(first.values())


def _of_folder(folder: Path) -> list[Path]:
    """List the videos below a folder, with a warning of what is left out: other files, and folders that cannot be read.

    Links, devices and pipes under a video's name are listed; opening them says what is wrong.
    """
    unread: list[str] = []
    files = [
        Path(parent) / name
        for parent, _, names in os.walk(folder, onerror=lambda error: unread.append(str(error.filename)))
        for name in names
    ]
    videos = sorted(it for it in files if it.suffix.lower() in VIDEO_SUFFIXES)
    for path in unread:
        warnings.warn(
            f"{path}: the folder cannot be read, its videos are left out; change its permissions", stacklevel=3
        )
    beside = (*VIDEO_SUFFIXES, *SUBTITLE_SUFFIXES, *_NO_VIDEOS)
    others = Counter(it.suffix.lower() or "no suffix" for it in files if it.suffix.lower() not in beside)
    if videos and others:
        named = ", ".join(f"{count} of {suffix}" for suffix, count in others.most_common(8))
        warnings.warn(
            f"{folder}: {others.total()} files are left out ({named}); name a file itself if it is a video",
            stacklevel=3,
        )
    return videos or ([folder] if list_pictures(folder) else [])


def _of_rows(rows: Path) -> list[Path]:
    """List the videos of a task file; their paths are relative to its folder."""

    def decode(line: bytes) -> Path:
        video = decode_object(line).get("video")
        if not isinstance(video, str):
            raise DataError(f'video={video!r}: need an object with "video", a path')
        return _inside_of(rows.parent, video)

    return list(read_jsonl(rows, decode))


def _inside_of(folder: Path, name: str) -> Path:
    if not Path(name).is_absolute() and Path(os.path.normpath(name)).parts[:1] == ("..",):
        raise ValueError(f"{name!r} leads out of the folder of this file; link it there, or give its full path")
    inside = (folder / name).resolve().is_relative_to(folder.resolve())
    if ".." in Path(name).parts and not Path(name).is_absolute() and not inside:
        # A link followed by `..` leads elsewhere than the text of the path says.
        raise ValueError(f"{name!r} leads out of the folder of this file; link it there, or give its full path")
    return folder / name


def video_ref(path: Path) -> VideoRef:
    """Return the reference of a video file, with the subtitle file of the same name beside it.

    The name may go on with a language, as in `film.en.srt`; the name alone comes first, forced subtitles last.

    Raises:
        DataError: The file is missing, a device, not readable, or empty.
    """
    # Before the file is hashed: a pipe under a video's name would never end.
    check_file(path)
    return VideoRef(content_hash(path)[:16], str(path), next(map(str, _subtitles_beside(path)), None))


def _subtitles_beside(path: Path) -> list[Path]:
    found = (it for it in path.parent.iterdir() if it.suffix.lower() in SUBTITLE_SUFFIXES and it.is_file())
    named = [it for it in found if it.stem == path.stem or it.stem.startswith(f"{path.stem}.")]

    def rank(it: Path) -> tuple[bool, bool, int, str]:
        is_forced = ".forced" in it.stem[len(path.stem) :].lower()
        return is_forced, it.stem != path.stem, SUBTITLE_SUFFIXES.index(it.suffix.lower()), it.name

    return sorted(named, key=rank)


def run_parallel(work: Callable[[Any], object], items: Sequence[Any], processes: int, label: str) -> None:
    """Call a function on each item in worker processes, with a progress bar; the first failure ends all.

    Args:
        work: Picklable function of one item.
        items: Picklable items.
        processes: Number of worker processes.
        label: Label of the progress bar.
    """
    with workers(processes) as executor:
        for _ in track(executor.map(work, items), label, len(items)):
            pass


@contextmanager
def workers(
    processes: int, prepare: Callable[[Any], object] | None = None, given: object = None
) -> Iterator[ProcessPoolExecutor]:
    """Start worker processes; terminate them if the block fails or is interrupted.

    Args:
        processes: Number of worker processes.
        prepare: Called once in each worker, with `given`.
        given: Picklable argument of `prepare`.

    Raises:
        ConfigError: `processes` is below 1.
    """
    if processes < 1:
        raise ConfigError(f"processes={processes}: need 1 or more")
    # Spawned, since a fork of a process with running threads can hang.
    executor = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_prepare_worker, initargs=(prepare, given)
    )
    try:
        yield executor
    except BaseException:
        try:
            executor.shutdown(wait=False, cancel_futures=True)
            # The executor's thread must drop the cancelled futures before the workers are gone, or it raises.
            time.sleep(0.2)
        finally:
            # Terminated, since a second Ctrl-C during their work would make them and this process wait for each other.
            for process in active_children():
                process.terminate()
        raise
    executor.shutdown()


def _end_with_parent() -> None:
    """Wait for the end of the parent process, whatever ends it, and end this one: its work is wanted no more."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _prepare_worker(prepare: Callable[[Any], object] | None, given: object) -> None:
    # The parent handles Ctrl-C with one message, instead of one traceback per worker.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare is not None:
        prepare(given)
