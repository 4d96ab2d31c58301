"""Control: looks return frames of another video.

A policy that answers as often with them as with the right ones does not use what it sees. Durations, times of frames,
subtitles, captions, text on the screen and search are those of the right video, so nothing else tells the two apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nextafter

import numpy as np

from vt_env.errors import ConfigError
from vt_env.protocols import Library, Subtitles, Video
from vt_env.types import Box, FrameBatch, ScoredInterval, SubtitleLine, VideoRef


class ShuffledFrames:
    """Library whose videos show each other's frames, each those of one other video at the same share of its duration.

    Args:
        library: Opens the videos.
        videos: Two videos or more; they are put into one circle, in which each shows the next.
        seed: Seed of the circle.

    Raises:
        ConfigError: There are fewer than two videos.
    """

    def __init__(self, library: Library, videos: Sequence[VideoRef], seed: int) -> None:
        if len(videos) < 2:
            raise ConfigError(f"shuffled frames of {len(videos)} video(s): need two or more; take more tasks")
        self._library = library
        order = [videos[int(place)] for place in np.random.default_rng(seed).permutation(len(videos))]
        self._shown = dict(zip(order, [*order[1:], order[0]], strict=True))

    def open(self, ref: VideoRef) -> Video:
        """Open a video and the one whose frames it shows.

        Raises:
            DataError: One of the two cannot be read.
        """
        return _ShuffledVideo(self._library.open(ref), self._library.open(self._shown[ref]))

    def search_sources(self, ref: VideoRef) -> Sequence[str]:
        """Return the sources of the right video."""
        return self._library.search_sources(ref)


@dataclass(frozen=True)
class _ShuffledVideo:
    """A video that shows the frames of another one."""

    own: Video
    shown: Video

    @property
    def ref(self) -> VideoRef:
        return self.own.ref

    @property
    def duration_s(self) -> float:
        return self.own.duration_s

    @property
    def subtitles(self) -> Subtitles:
        return self.own.subtitles

    @property
    def captions(self) -> Sequence[SubtitleLine] | None:
        return self.own.captions

    @property
    def screen_text(self) -> Sequence[SubtitleLine] | None:
        return self.own.screen_text

    @property
    def search_sources(self) -> Sequence[str]:
        return self.own.search_sources

    def search_clips(self, query: str, top_k: int) -> Sequence[ScoredInterval]:
        return self.own.search_clips(query, top_k)

    def frames_at(self, times_s: Sequence[float]) -> FrameBatch:
        pts_s = self.own.frames_at(times_s).pts_s
        return FrameBatch(self.shown.frames_at([self._there(it) for it in times_s]).data, pts_s)

    def crop(self, time_s: float, box: Box) -> FrameBatch:
        pts_s = self.own.crop(time_s, box).pts_s
        return FrameBatch(self.shown.crop(self._there(time_s), box).data, pts_s)

    def picture_size_px(self, box: Box | None = None) -> tuple[int, int]:
        return self.shown.picture_size_px(box)

    def _there(self, time_s: float) -> float:
        """Return the moment of the other video at the same share of its duration."""
        end_s = self.shown.duration_s
        return min(time_s / self.own.duration_s * end_s, nextafter(end_s, 0.0))
