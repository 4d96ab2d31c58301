"""Video library: opens a video with its stored frames, native crops, clip index, subtitles and captions.

Subtitles come from the file that the reference names, else from a text stream in the media file, else, on request, from
speech recognition.
"""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Literal, get_args

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, foreign_input
from vt_env.media.cache import decoded_frames
from vt_env.media.cache.build_once import Progress, cache_root, content_hash
from vt_env.media.cache.decoded_frames import DecodedFrames
from vt_env.media.cache.frame_store import FrameStore, build_store
from vt_env.media.decode.container import check_file
from vt_env.media.decode.video_file import crop_frame, cut_size_px
from vt_env.media.search.choose_encoder import AUTO, EncoderChoice
from vt_env.media.search.clip_index import ClipIndex, build_clip_index
from vt_env.media.search.encoders import ClipEncoder, TextEncoder
from vt_env.media.search.line_source import LineSource
from vt_env.media.search.sources import CAPTIONS, PICTURES, SCREEN_TEXT, ClipSearch, ClipSource
from vt_env.media.terminal import say_once
from vt_env.media.text.line_index import build_line_index
from vt_env.media.text.load_subtitles import SubtitleConfig, load_subtitles
from vt_env.media.text.read_screen import ScreenOcr, read_screen
from vt_env.media.text.screen_text import screens_of
from vt_env.media.text.speech import has_audio, transcribe
from vt_env.media.text.subtitles import SubtitleTrack, load_captions
from vt_env.media.text.summaries import Summariser, WrittenSummaries
from vt_env.timed_lines import TimedLines, ended_with
from vt_env.types import Box, FrameBatch, ScoredInterval, VideoRef

CaptionSearch = Literal["auto", "words", "none"]


@dataclass(frozen=True, eq=False)
class Video:
    """An opened video, with its store and indexes built. Reads are thread-safe."""

    ref: VideoRef
    store: FrameStore
    decoded: DecodedFrames
    index: ClipIndex | None
    """Clip embeddings of the pictures; `None` where they are not searched."""
    clips: ClipSearch
    """Search over the clips by every source that this video has."""
    subtitles: SubtitleTrack
    """Subtitle lines; empty if the video has none."""
    captions: TimedLines | None
    """Timed captions in time order; `None` if the reference names no caption file."""
    screen_text: TimedLines | None = None
    """Timed `ScreenLine`s; `None` if the screen was not read, see `TextModels.screen_ocr`."""

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

        Returns: one frame, data uint8[1, H, W, 3], of the size that the media settings give the crop.

        Raises:
            DataError: The time is outside `[0, duration_s)` or its frame cannot be decoded.
        """
        whole = self.decoded.frames_at(self.store.video, self.store.media, [time_s])
        return crop_frame(whole, box, self.store.config)

    def picture_size_px(self, box: Box | None = None) -> tuple[int, int]:
        """Return the width and height of frames, or of a crop of `box`, as `frames_at` and `crop` make them."""
        return (
            self.store.frame_size_px if box is None else self.store.config.frame_size_px(cut_size_px(self.size_px, box))
        )

    @property
    def search_sources(self) -> tuple[str, ...]:
        """Names of what `search_clips` searches: `"pictures"`, `"captions"`; empty where there is nothing to search."""
        return self.clips.names

    def search_clips(self, query: str, top_k: int) -> list[ScoredInterval]:
        """Return up to `top_k` intervals that match `query`, best first, as `ClipSearch.search`."""
        return self.clips.search(query, top_k)


@dataclass(frozen=True)
class TextModels:
    """Optional models for reading the screen, and for searching and summarising subtitles, and how these are read."""

    encoder: TextEncoder | None = None
    """Adds semantic ranking to BM25 subtitle search, such as
    `vt_env.media.search.sentence_encoder.SentenceEncoder`."""
    summariser: Summariser | None = None
    """Writes summaries; `None` selects the most relevant lines instead."""
    captions: CaptionSearch = "auto"
    """How captions find clips: `"words"`, `"none"`, or `"auto"`: by words, but not in the generated world."""
    caption_encoder: TextEncoder | None = None
    """Adds meaning to the words of captions."""
    subtitles: SubtitleConfig = field(default_factory=SubtitleConfig)
    """Which subtitles are read, and in which encoding."""
    screen_ocr: ScreenOcr | None = None
    """Reads the text on the screen of each video, once (extra `ocr` for the default engine)."""

    def __post_init__(self) -> None:
        if self.captions not in get_args(CaptionSearch):
            raise ConfigError(f"text_models.captions={self.captions!r}: allowed are 'auto', 'words' and 'none'")
        if self.captions == "none" and self.caption_encoder is not None:
            raise ConfigError("text_models.captions='none': caption_encoder has no use; leave one of them out")

    def searches_captions(self, ref: VideoRef) -> bool:
        """Return whether the captions of a video are a source of clip retrieval."""
        if ref.captions_path is None or self.captions == "none":
            return False
        return self.captions == "words" or self.caption_encoder is not None or not ref.world


class VideoLibrary:
    """Opens videos and keeps the most recently used ones open. Picklable; a copy reopens its videos.

    Args:
        config: Storage and indexing settings.
        cache_dir: Folder for stores, indexes and transcripts; `None` means `cache_root()`.
        encoder: Clip encoder, or its name as in `EncoderChoice`: `"auto"`, `"none"`, `"colours"`, a checkpoint. `None`
            means `"none"`.
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
        encoder: str | ClipEncoder | EncoderChoice | None = AUTO,
        *,
        text_models: TextModels = TextModels(),
        transcribe: bool | str = False,
        max_open: int = 64,
        decoded_bytes: int = 1 << 30,
    ) -> None:
        self.config = config
        self.cache_dir = cache_dir or cache_root()
        self.encoders = encoder if isinstance(encoder, EncoderChoice) else EncoderChoice(encoder)
        self.text_models = text_models
        self._transcribe, self._max_open = transcribe, max_open
        self._decoded = DecodedFrames(self.cache_dir / decoded_frames.FOLDER, decoded_bytes)
        self._open: OrderedDict[tuple[VideoRef, tuple[str, ...]], Video] = OrderedDict()
        self._lock = Lock()

    def open(
        self,
        ref: VideoRef,
        progress: Progress | None = None,
        speech_progress: Progress | None = None,
        screen_progress: Progress | None = None,
    ) -> Video:
        """Open a video, building its frame store and indexes on first use.

        A video is reopened if its media, subtitle or caption file has changed on disk.

        Args:
            ref: The video.
            progress: Progress callback for building the frame store.
            speech_progress: Progress callback for speech recognition.
            screen_progress: Progress callback for reading the screen.

        Raises:
            DataError: The video, its subtitles or its captions cannot be read.
            ConfigError: The cache cannot be written, or speech or text recognition is requested but not installed.
        """
        check_file(Path(ref.path))
        beside = (Path(path) for path in (ref.subtitles_path, ref.captions_path) if path and Path(path).is_file())
        key = (ref, (_state_of(Path(ref.path)), *map(_state_of, beside)))
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
        video = self._load(ref, progress, speech_progress, screen_progress)
        with self._lock:
            self._open[key] = video
            while len(self._open) > self._max_open:
                self._open.popitem(last=False)
        return video

    def search_sources(self, ref: VideoRef) -> tuple[str, ...]:
        """Return `sources_of`; a line on the terminal says once why pictures are not searched, and the remedy.

        Raises:
            ConfigError: The encoder cannot be loaded.
        """
        return self._told(self.sources_of(ref))

    def sources_of(self, ref: VideoRef) -> tuple[str, ...]:
        """Return the names of the sources of clip retrieval that a video has, without opening it.

        Raises:
            ConfigError: The encoder cannot be loaded.
        """
        has = {
            PICTURES: self.encoders.encoder_of(ref) is not None,
            CAPTIONS: self.text_models.searches_captions(ref),
            SCREEN_TEXT: self.text_models.screen_ocr is not None,
        }
        return tuple(name for name, is_there in has.items() if is_there)

    def _told(self, sources: Iterable[str]) -> tuple[str, ...]:
        """Return the names of sources; say once what is missing among them."""
        names = tuple(sources)
        if PICTURES in names:
            return names
        why = f"pictures are not searched, since {self.encoders.why_none}"
        if not names:
            say_once(
                f"clip_retrieval is not offered for videos that have no captions to search: {why}; or search the text "
                "on the screen with --screen-text"
            )
        elif self.encoders.choice == AUTO:
            say_once(why)
        return names

    def _load(
        self,
        ref: VideoRef,
        progress: Progress | None,
        speech_progress: Progress | None,
        screen_progress: Progress | None,
    ) -> Video:
        with foreign_input(ref.path):
            store = build_store(ref.path, self.config, self.cache_dir, progress)
        duration_s = store.video.duration_s
        with foreign_input(ref.captions_path):
            captions = _captions(Path(ref.captions_path), duration_s) if ref.captions_path else None
        encoder = self.encoders.encoder_of(ref)
        index = build_clip_index(store, encoder, self.cache_dir) if encoder else None
        sources: list[ClipSource] = [] if index is None else [index]
        if captions is not None and self.text_models.searches_captions(ref):
            sources.append(self._caption_source(captions, duration_s))
        subtitles = self._subtitles(ref, store, speech_progress)
        ocr = self.text_models.screen_ocr
        screen = read_screen(store.video, store.media, ocr, self.cache_dir, screen_progress) if ocr else None
        if screen:
            sources.append(LineSource(SCREEN_TEXT, screens_of(screen), self.config.clip_s, duration_s))
        self._told(source.name for source in sources)
        clips = ClipSearch(tuple(sources), self.config.clip_s, duration_s)
        return Video(ref, store, self._decoded, index, clips, subtitles, captions, screen)

    def _caption_source(self, captions: TimedLines, duration_s: float) -> ClipSource:
        encoder = self.text_models.caption_encoder
        meanings = build_line_index(captions, encoder, self.cache_dir) if encoder else None
        return LineSource(CAPTIONS, captions, self.config.clip_s, duration_s, meanings)

    def _subtitles(self, ref: VideoRef, store: FrameStore, speech_progress: Progress | None) -> SubtitleTrack:
        track = load_subtitles(ref, store.video.timeline, self.text_models.subtitles)
        track = track.ended_with(store.video.duration_s)
        for note in track.notes:
            warnings.warn(f"{ref.subtitles_path or ref.path}: subtitles: {note}", stacklevel=4)
        if self._transcribe and not track.lines and has_audio(ref.path):
            model = self._transcribe if isinstance(self._transcribe, str) else None
            track = transcribe(ref.path, model, speech_progress, self.cache_dir).ended_with(store.video.duration_s)
        encoder, summariser = self.text_models.encoder, self.text_models.summariser
        meanings = build_line_index(track.lines, encoder, self.cache_dir) if encoder and track.lines else None
        written = WrittenSummaries(summariser, self.cache_dir) if summariser else None
        return replace(track, meanings=meanings, written=written)

    def __reduce__(self) -> tuple[Callable[..., "VideoLibrary"], tuple[object, ...]]:
        limits = (self._max_open, self._decoded.limit_bytes)
        return _library, (self.config, self.cache_dir, self.encoders, self.text_models, self._transcribe, *limits)


def _captions(path: Path, duration_s: float) -> TimedLines:
    """Load the captions of a video that begin before it ends."""
    written = load_captions(path)
    kept = ended_with(written, duration_s)
    if len(kept) < len(written):
        late = f"{len(written) - len(kept)} of {len(written)} captions are left out"
        warnings.warn(f"{path}: {late}, since they begin after the video's end; are they of this video?", stacklevel=4)
    return TimedLines(kept)


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
    encoder: EncoderChoice,
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
