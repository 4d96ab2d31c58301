"""Video library: opens a video with its stored frames, native crops, clip index, subtitles and captions.

Subtitles come from the file that the reference names, else from a text stream in the media file, else, on request, from
speech recognition.
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError
from vt_env.media.cache import decoded_frames
from vt_env.media.cache.build_once import Progress, cache_root, content_hash
from vt_env.media.cache.decoded_frames import DecodedFrames
from vt_env.media.cache.frame_store import FrameStore, build_store
from vt_env.media.decode.container import check_file
from vt_env.media.decode.video_file import crop_frame
from vt_env.media.search.clip_index import ClipIndex, build_clip_index
from vt_env.media.search.encoders import ClipEncoder, ColourNameEncoder, TextEncoder
from vt_env.media.text.line_index import LineIndex, build_line_index
from vt_env.media.text.load_subtitles import SubtitleConfig, load_subtitles
from vt_env.media.text.speech import has_audio, transcribe
from vt_env.media.text.subtitles import SubtitleTrack, load_captions
from vt_env.media.text.summaries import Summariser, WrittenSummaries
from vt_env.timed_lines import TimedLines
from vt_env.types import Box, FrameBatch, ScoredInterval, VideoRef


@dataclass(frozen=True, eq=False)
class Video:
    """An opened video, with its store and indexes built. Reads are thread-safe."""

    ref: VideoRef
    store: FrameStore
    decoded: DecodedFrames
    index: ClipIndex
    subtitles: SubtitleTrack
    """Subtitle lines; empty if the video has none."""
    captions: TimedLines | None
    """Timed captions in time order; `None` if the reference names no caption file."""
    caption_index: LineIndex | None = None
    """Caption vectors, searched instead of the clips; see `TextModels.search_captions`."""

    @property
    def duration_s(self) -> float:
        """Duration in seconds; valid times are `[0, duration_s)`."""
        return self.store.video.duration_s

    @property
    def size_px(self) -> tuple[int, int]:
        """Native display width and height in pixels."""
        return self.store.video.size_px

    def frames_at(self, times_s: Sequence[float]) -> FrameBatch:
        """Read stored frames, as `FrameStore.frames_at`.

        Raises:
            DataError: A time is outside `[0, duration_s)`.
        """
        return self.store.frames_at(times_s)

    def crop(self, time_s: float, box: Box) -> FrameBatch:
        """Crop the frame on screen at `time_s` at native resolution, as `VideoFile.crop_at`.

        Returns: one frame of the stored size, data uint8[1, frame_px, frame_px, 3].

        Raises:
            DataError: The time is outside `[0, duration_s)` or its frame cannot be decoded.
        """
        whole = self.decoded.frames_at(self.store.video, self.store.media, [time_s])
        return crop_frame(whole, box, self.store.config.frame_px)

    def search_clips(self, query: str, top_k: int) -> list[ScoredInterval]:
        """Return up to `top_k` intervals that match `query`, best first, as `ClipIndex.search`.

        With a `caption_index`, return the captions nearest in meaning instead.
        """
        if self.caption_index is not None:
            return [ScoredInterval(line.interval, score) for line, score in self.caption_index.search(query, top_k)]
        return self.index.search(query, top_k)


@dataclass(frozen=True)
class TextModels:
    """Optional models for searching and summarising subtitles, and how these are read."""

    encoder: TextEncoder | None = None
    """Adds semantic ranking to BM25 subtitle search, such as
    `vt_env.media.search.sentence_encoder.SentenceEncoder`."""
    summariser: Summariser | None = None
    """Writes summaries; `None` selects the most relevant lines instead."""
    search_captions: bool = False
    """Search clips by caption text rather than by frames, in videos that have captions."""
    subtitles: SubtitleConfig = field(default_factory=SubtitleConfig)
    """Which subtitles are read, and in which encoding."""

    def __post_init__(self) -> None:
        if self.search_captions and self.encoder is None:
            raise ConfigError("text_models.search_captions=True: needs text_models.encoder, such as SentenceEncoder()")


class VideoLibrary:
    """Opens videos and keeps the most recently used ones open. Picklable; a copy reopens its videos.

    Args:
        config: Storage and indexing settings.
        cache_dir: Folder for stores, indexes and transcripts; `None` means `cache_root()`.
        encoder: Clip encoder; `None` means `ColourNameEncoder`.
        text_models: Models for searching and summarising subtitles.
        transcribe: Fill an empty subtitle track by speech recognition (extra `asr`): `True` uses the packaged model, a
            string names a model or a model folder.
        max_open: Maximum number of open videos.
        decoded_bytes: Byte limit of the on-disk cache of decoded frames, shared by all users of `cache_dir`.
    """

    def __init__(
        self,
        config: MediaConfig,
        cache_dir: Path | None = None,
        encoder: ClipEncoder | None = None,
        *,
        text_models: TextModels = TextModels(),
        transcribe: bool | str = False,
        max_open: int = 64,
        decoded_bytes: int = 1 << 30,
    ) -> None:
        self.config = config
        self.cache_dir = cache_dir or cache_root()
        self.encoder: ClipEncoder = encoder or ColourNameEncoder()
        self.text_models = text_models
        self._transcribe, self._max_open = transcribe, max_open
        self._decoded = DecodedFrames(self.cache_dir / decoded_frames.FOLDER, decoded_bytes)
        self._open: OrderedDict[tuple[VideoRef, tuple[str, ...]], Video] = OrderedDict()
        self._lock = Lock()

    def open(self, ref: VideoRef, progress: Progress | None = None, speech_progress: Progress | None = None) -> Video:
        """Open a video, building its frame store and indexes on first use.

        A video is reopened if its media, subtitle or caption file has changed on disk.

        Args:
            ref: The video.
            progress: Progress callback for building the frame store.
            speech_progress: Progress callback for speech recognition.

        Raises:
            DataError: The video, its subtitles or its captions cannot be read.
            ConfigError: The cache cannot be written, or speech recognition is requested but not installed.
        """
        check_file(Path(ref.path))
        beside = (Path(path) for path in (ref.subtitles_path, ref.captions_path) if path and Path(path).is_file())
        key = (ref, (_state_of(Path(ref.path)), *map(_state_of, beside)))
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
        video = self._load(ref, progress, speech_progress)
        with self._lock:
            self._open[key] = video
            while len(self._open) > self._max_open:
                self._open.popitem(last=False)
        return video

    def _load(self, ref: VideoRef, progress: Progress | None, speech_progress: Progress | None) -> Video:
        store = build_store(ref.path, self.config, self.cache_dir, progress)
        index = build_clip_index(store, self.encoder, self.cache_dir)
        captions = load_captions(Path(ref.captions_path)) if ref.captions_path else None
        encoder = self.text_models.encoder if self.text_models.search_captions and captions else None
        caption_index = build_line_index(captions or (), encoder, self.cache_dir) if encoder else None
        subtitles = self._subtitles(ref, store, speech_progress)
        return Video(ref, store, self._decoded, index, subtitles, captions, caption_index)

    def _subtitles(self, ref: VideoRef, store: FrameStore, speech_progress: Progress | None) -> SubtitleTrack:
        track = load_subtitles(ref, store.video.timeline, self.text_models.subtitles)
        for note in track.notes:
            warnings.warn(f"{ref.subtitles_path or ref.path}: subtitles: {note}", stacklevel=4)
        if self._transcribe and not track.lines and has_audio(ref.path):
            model = self._transcribe if isinstance(self._transcribe, str) else None
            track = transcribe(ref.path, model, speech_progress, self.cache_dir)
        encoder, summariser = self.text_models.encoder, self.text_models.summariser
        meanings = build_line_index(track.lines, encoder, self.cache_dir) if encoder and track.lines else None
        written = WrittenSummaries(summariser, self.cache_dir) if summariser else None
        return replace(track, meanings=meanings, written=written)

    def __reduce__(self) -> tuple[Callable[..., "VideoLibrary"], tuple[object, ...]]:
        limits = (self._max_open, self._decoded.limit_bytes)
        return _library, (self.config, self.cache_dir, self.encoder, self.text_models, self._transcribe, *limits)


def _state_of(path: Path) -> str:
    """Fingerprint a file by its stat fields; a folder by its content.

    Hashing three MiB of the file on every reset would dominate the cost of the reset.
    """
    if path.is_dir():
        return content_hash(path)
    stat = path.stat()
    return f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _library(
    config: MediaConfig,
    cache_dir: Path,
    encoder: ClipEncoder,
    text_models: TextModels,
    transcribe: bool | str,
    max_open: int,
    decoded_bytes: int,
) -> VideoLibrary:
    return VideoLibrary(
        config,
        cache_dir,
        encoder,
        text_models=text_models,
        transcribe=transcribe,
        max_open=max_open,
        decoded_bytes=decoded_bytes,
    )
