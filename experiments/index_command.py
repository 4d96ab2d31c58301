"""Store and index videos: `vt-env index talks/ film.mp4`. What is there already is not built again."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from experiments.runs import Stopwatch
from experiments.video_files import find_videos, video_ref
from vt_env.config import MediaConfig
from vt_env.errors import DataError
from vt_env.media.asr import has_audio
from vt_env.media.subtitles import load_subtitles
from vt_env.media.video import Video, VideoLibrary
from vt_env.types import VideoRef, format_time


@dataclass(frozen=True)
class IndexRun:
    """Store frames, index clips and read subtitles, once a video."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Video files, or folders that hold some."""
    asr: bool = False
    """Transcribe the audio of videos without subtitles (extra asr)."""
    media: MediaConfig = field(default_factory=MediaConfig)
    """How frames are stored and clips are cut."""


def main(run: IndexRun) -> int:
    """Index every video and print a line about it; a video that cannot be read is named and the others go on.

    Returns:
        2 if a video could not be read, else 0.

    Raises:
        ConfigError: A path does not exist or holds no video, or the cache cannot be written.
    """
    library = VideoLibrary(run.media, transcribe=run.asr)
    failures = 0
    for path in find_videos(run.paths):
        try:
            print(index_video(path, library))
        except DataError as reason:
            failures += 1
            print(f"vt-env: {reason}", file=sys.stderr)
    return 2 if failures else 0


def index_video(path: Path, library: VideoLibrary) -> str:
    """Index one video and say what is there now.

    Raises:
        DataError: The video or its subtitles cannot be read.
    """
    watch, shares = Stopwatch(), list[float]()
    with tqdm(desc=path.name, total=100, unit="%", leave=False, disable=None) as bar:

        def show(share: float) -> None:
            shares.append(share)
            bar.update(round(100 * share) - bar.n)

        ref = video_ref(path)
        video = library.open(ref, show)
    width, height = video.size_px
    done = f"stored and indexed in {watch.elapsed_s:.1f} s" if shares else "already stored and indexed"
    return (
        f"{path}: {format_time(video.duration_s)} long, {width}x{height}; {len(video.store.times_s)} frames and "
        f"{len(video.index.vectors)} clips {done}; {_subtitles(ref, video)}"
    )


def _subtitles(ref: VideoRef, video: Video) -> str:
    count = len(video.subtitles.lines)
    if ref.subtitles_path is not None:
        return f"{count} subtitle lines from {ref.subtitles_path}"
    if not count:
        return "no subtitles" + ("; --asr transcribes its audio" if has_audio(ref.path) else " and no audio")
    source = "the file itself" if load_subtitles(ref).lines else "speech recognition"
    return f"{count} subtitle lines from {source}"
