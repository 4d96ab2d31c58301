"""Videos as an episode needs them: stored frames, native crops, clips to search, subtitles and captions.

Puts the parts of this package together and adds no policy of its own beyond where subtitles come from: the file that
the reference names, else the text stream in the media, else (only if asked for) speech recognition.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from vt_env.config import MediaConfig
from vt_env.media.asr import has_audio, transcribe
from vt_env.media.cache import Progress, cache_root, content_hash
from vt_env.media.clip_index import ClipIndex, build_clip_index
from vt_env.media.container import check_file
from vt_env.media.encoders import ClipEncoder, ColourNameEncoder
from vt_env.media.store import FrameStore, build_store
from vt_env.media.subtitles import SubtitleTrack, load_captions, load_subtitles
from vt_env.types import Box, FrameBatch, ScoredInterval, SubtitleLine, VideoRef


@dataclass(frozen=True, eq=False)
class Video:
    """An opened video: everything slow is done. Reading it is safe from several threads."""

    ref: VideoRef
    store: FrameStore
    index: ClipIndex
    subtitles: SubtitleTrack
    """Empty if the video has none."""
    captions: tuple[SubtitleLine, ...] | None
    """Timed captions in time order; `None` if the reference names none."""

    @property
    def duration_s(self) -> float:
        """Length in seconds; times from 0 to below it can be asked for."""
        return self.store.video.duration_s

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the video itself, as shown."""
        return self.store.video.size_px

    def frames_at(self, times_s: Sequence[float]) -> FrameBatch:
        """Read stored frames, as `FrameStore.frames_at`.

        Raises:
            DataError: A time is outside `[0, duration_s)`.
        """
        return self.store.frames_at(times_s)

    def crop(self, time_s: float, box: Box) -> FrameBatch:
        """Decode part of the frame on screen at `time_s` at native resolution, as `VideoFile.crop_at`.

        Returns: one frame of the stored size, data uint8[1, frame_px, frame_px, 3].

        Raises:
            DataError: The time is outside `[0, duration_s)` or its frame cannot be decoded.
        """
        return self.store.video.crop_at(time_s, box, self.store.config.frame_px)

    def search_clips(self, query: str, top_k: int) -> list[ScoredInterval]:
        """Return up to `top_k` intervals that look like `query`, the best first, as `ClipIndex.search`."""
        return self.index.search(query, top_k)


class VideoLibrary:
    """Opens videos and keeps the latest ones open. Can be pickled; the copy opens its videos anew.

    Args:
        config: How videos are stored and indexed.
        cache_dir: Folder for stores, indexes and transcripts; `None` means `cache_root()`.
        encoder: What clips are searched with; `None` means `ColourNameEncoder`.
        transcribe: Fill an empty subtitle track by speech recognition (extra `asr`).
        max_open: Videos kept open.
    """

    def __init__(
        self,
        config: MediaConfig,
        cache_dir: Path | None = None,
        encoder: ClipEncoder | None = None,
        *,
        transcribe: bool = False,
        max_open: int = 64,
    ) -> None:
        self.config = config
        self.cache_dir = cache_dir or cache_root()
        self.encoder: ClipEncoder = encoder or ColourNameEncoder()
        self._transcribe, self._max_open = transcribe, max_open
        self._open: OrderedDict[tuple[VideoRef, str], Video] = OrderedDict()
        self._lock = Lock()

    def open(self, ref: VideoRef, progress: Progress | None = None) -> Video:
        """Open a video; its store and index are built if they are not there, which can take a while.

        A file that has changed since it was last opened is opened anew.

        Args:
            ref: The video.
            progress: Told the share done while frames are stored.

        Raises:
            DataError: The video, its subtitles or its captions cannot be read.
            ConfigError: The cache cannot be written, or speech recognition is asked for and not installed.
        """
        check_file(Path(ref.path))
        key = (ref, content_hash(Path(ref.path)))
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
        video = self._load(ref, progress)
        with self._lock:
            self._open[key] = video
            while len(self._open) > self._max_open:
                self._open.popitem(last=False)
        return video

    def _load(self, ref: VideoRef, progress: Progress | None) -> Video:
        store = build_store(ref.path, self.config, self.cache_dir, progress)
        index = build_clip_index(store, self.encoder, self.cache_dir)
        subtitles = load_subtitles(ref, store.video.timeline)
        if self._transcribe and not subtitles.lines and has_audio(ref.path):
            subtitles = transcribe(ref.path, cache_dir=self.cache_dir)
        captions = load_captions(Path(ref.captions_path)) if ref.captions_path else None
        return Video(ref, store, index, subtitles, captions)

    def __reduce__(self) -> tuple[Callable[..., "VideoLibrary"], tuple[object, ...]]:
        return _library, (self.config, self.cache_dir, self.encoder, self._transcribe, self._max_open)


def _library(
    config: MediaConfig, cache_dir: Path, encoder: ClipEncoder, transcribe: bool, max_open: int
) -> VideoLibrary:
    return VideoLibrary(config, cache_dir, encoder, transcribe=transcribe, max_open=max_open)
