"""In-memory world: videos rendered on access, without files, for training on thousands of questions.

Skipping encoding and decoding reduces the cost of a video from seconds to hundredths of a second. Scripts, subtitles,
captions and questions equal those of the files. Frames have no H.264 or JPEG artefacts, so they differ from stored
frames by a few grey levels. The order of clips that hardly match a query may differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, DataError
from vt_env.media.decode.pyav_player import Pixels
from vt_env.media.decode.video_file import crop_frame, cut_size_px
from vt_env.media.search.clip_index import ClipIndex
from vt_env.media.search.encoders import ClipEncoder, ColourNameEncoder, Vectors
from vt_env.media.search.sources import PICTURES
from vt_env.media.text.subtitles import SubtitleTrack, load_captions
from vt_env.tasks.task_set import TaskSet, nothing_to_prepare
from vt_env.timed_lines import TimedLines
from vt_env.types import Box, FrameBatch, ScoredInterval, VideoRef
from vt_env.world.content import CAPTIONS_FILE, Picture, VideoContent

_CACHED_PICTURES = 512
_CACHED_VIDEOS = 1024


@runtime_checkable
class GeneratedVideo(Protocol):
    """Video of a world; the `prepare` of its tasks."""

    def ref(self) -> VideoRef:
        """Return the reference to the files, which need not exist."""
        ...

    def content(self) -> VideoContent:
        """Generate the content."""
        ...


def in_memory(
    tasks: TaskSet, media: MediaConfig | None = None, encoder: ClipEncoder | None = None
) -> "tuple[TaskSet, WorldLibrary]":
    """Convert world tasks to in-memory tasks, and build the library that opens their videos.

        tasks, library = in_memory(world_tasks("train", config=WorldConfig(videos=400)))
        env = gymnasium.make("vt_env/LongVideoQANumeric-v0", tasks=tasks, library=library, perception="captions")

    Args:
        tasks: Tasks of a generated world, as of `vt_env.load_tasks("world")` or `vt_env.load_tasks("world2")`. Captions
            are those that a task names: the world's own, or a file of others.
        media: Frame size and rate; `None` means the defaults, as in environments.
        encoder: Clip encoder; `None` means `ColourNameEncoder`.

    Raises:
        ConfigError: The video of a task is not a world video.
    """
    videos: dict[str, GeneratedVideo] = {}
    for task in tasks:
        if not isinstance(task.prepare, GeneratedVideo):
            raise ConfigError(f"task {task.item.task_id!r}: not about a generated video; take tasks of the world")
        videos[task.item.video.handle] = task.prepare
    library = WorldLibrary(videos, media or MediaConfig(), encoder or ColourNameEncoder())
    return TaskSet(tuple(replace(task, prepare=nothing_to_prepare) for task in tasks)), library


class WorldLibrary:
    """Opens world videos without files and keeps the most recently used ones open.

    Args:
        videos: World videos by handle.
        media: Frame size and rate.
        encoder: Clip encoder.
    """

    def __init__(self, videos: dict[str, GeneratedVideo], media: MediaConfig, encoder: ClipEncoder) -> None:
        self._videos, self._media, self._encoder = videos, media, encoder
        self._cached = lru_cache(maxsize=_CACHED_VIDEOS)(self._open)

    def open(self, ref: VideoRef) -> "PaintedVideo":
        """Open a video.

        Raises:
            DataError: The video is not in this library, or a file of captions by others cannot be read.
        """
        return self._cached(ref)

    def search_sources(self, ref: VideoRef) -> tuple[str, ...]:
        """Return `("pictures",)`."""
        return (PICTURES,)

    def _open(self, ref: VideoRef) -> "PaintedVideo":
        video = self._videos.get(ref.handle)
        if video is None:
            raise DataError(f"video {ref.handle}: not among the {len(self._videos)} of this library; add its tasks")
        content, named = video.content(), Path(ref.captions_path or CAPTIONS_FILE)
        is_beside = ref.captions_path is None or named.parent == Path(ref.path).parent
        read = None if is_beside and named.name in content.captions else TimedLines(load_captions(named))
        return PaintedVideo(ref, content, self._media, self._encoder, named.name, read)

    def __reduce__(self) -> tuple[Any, ...]:
        return WorldLibrary, (self._videos, self._media, self._encoder)


@dataclass(frozen=True, eq=False)
class PaintedVideo:
    """World video in memory; implements `vt_env.protocols.Video`."""

    ref: VideoRef
    content: VideoContent
    media: MediaConfig
    encoder: ClipEncoder
    captions_name: str
    """Name of the caption file that is read."""
    captions_read: TimedLines | None = field(default=None, repr=False)
    """Captions of a file by others; `None` means the world's own."""

    @property
    def duration_s(self) -> float:
        """Duration in seconds."""
        return float(self.content.duration_s)

    @cached_property
    def subtitles(self) -> SubtitleTrack:
        """Lines of the narrator."""
        return SubtitleTrack(self.content.subtitles)

    @cached_property
    def captions(self) -> TimedLines:
        """Timed captions, as the file that the reference names holds them."""
        if self.captions_read is not None:
            return self.captions_read
        return TimedLines(self.content.captions[self.captions_name]())

    @property
    def screen_text(self) -> None:
        """Nothing: no text is read from the pictures."""
        return None

    def frames_at(self, times_s: Sequence[float]) -> FrameBatch:
        """Render the frames that a frame store would return, as `FrameStore.frames_at`.

        Returns: data uint8[N, H, W, 3] RGB in the order of `times_s`, pts_s float64[N].

        Raises:
            DataError: A time is outside `[0, duration_s)`.
        """
        self._check(times_s)
        rate_hz = self.media.frame_rate_hz
        pts_s = np.floor(np.asarray(times_s, dtype=np.float64) * rate_hz) / rate_hz
        pictures = [self._stored(self._picture_at(time_s)) for time_s in pts_s.tolist()]
        width, height = self.media.frame_size_px(self._native_px)
        return FrameBatch(np.array(pictures, dtype=np.uint8).reshape(-1, height, width, 3), pts_s)

    def crop(self, time_s: float, box: Box) -> FrameBatch:
        """Crop the frame on screen at `time_s` from the native picture: uint8[1, H, W, 3].

        Raises:
            DataError: The time is outside `[0, duration_s)`.
        """
        self._check([time_s])
        shown_s = np.floor(time_s * self.content.frame_rate_hz) / self.content.frame_rate_hz
        whole = self._picture_at(shown_s).paint(self.content.size_px)
        return crop_frame(FrameBatch(whole[None], np.array([shown_s])), box, self.media)

    def picture_size_px(self, box: Box | None = None) -> tuple[int, int]:
        """Return the width and height of frames, or of a crop of `box`."""
        return self.media.frame_size_px(self._native_px if box is None else cut_size_px(self._native_px, box))

    @property
    def search_sources(self) -> tuple[str, ...]:
        """`("pictures",)`: captions state what is asked, so they are not searched."""
        return (PICTURES,)

    def search_clips(self, query: str, top_k: int) -> list[ScoredInterval]:
        """Return up to `top_k` intervals that match `query`, best first, as `ClipIndex.search`."""
        return self._index.search(query, top_k)

    @cached_property
    def _index(self) -> ClipIndex:
        clip_s, rate_hz = self.media.clip_s, self.media.frame_rate_hz
        moments_s = np.arange(int(np.ceil(self.duration_s * rate_hz))) / rate_hz
        shots = [self.content.shot_idx(time_s) for time_s in moments_s.tolist()]
        shown = sorted(set(shots))
        pictures = np.array([self._stored(self.content.shots[idx].picture) for idx in shown])
        starts_s = np.array([self.content.shots[idx].start_s for idx in shown], dtype=np.float64)
        encoded: Vectors = self.encoder.encode_frames(FrameBatch(pictures, starts_s))
        frame_vectors = encoded[np.searchsorted(shown, shots)]
        clips = (moments_s // clip_s).astype(int)
        means = [frame_vectors[clips == clip].mean(axis=0) for clip in range(int(clips[-1]) + 1)]
        return ClipIndex(np.array(means, dtype=np.float32), clip_s, self.duration_s, self.encoder)

    @property
    def _native_px(self) -> tuple[int, int]:
        return self.content.size_px, self.content.size_px

    def _picture_at(self, time_s: float) -> Picture:
        return self.content.shots[self.content.shot_idx(time_s)].picture

    def _stored(self, picture: Picture) -> Pixels:
        return _scaled(picture, self.content.size_px, self.media)

    def _check(self, times_s: Sequence[float]) -> None:
        if not all(0 <= time_s < self.duration_s for time_s in times_s):
            allowed = f"valid times are 0 to below {self.duration_s} s"
            raise DataError(f"video {self.ref.handle}: no frames at {list(times_s)} s; {allowed}")


@lru_cache(maxsize=_CACHED_PICTURES)
def _scaled(picture: Picture, size_px: int, media: MediaConfig) -> Pixels:
    native = Image.fromarray(picture.paint(size_px))
    return np.asarray(native.resize(media.frame_size_px(native.size), Image.Resampling.BOX))
