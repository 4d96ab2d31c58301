"""Protocols of videos, subtitles, libraries and ways of looking; the media engine and the fakes satisfy them."""

from collections.abc import Sequence
from typing import Protocol

from vt_env.types import Box, FrameBatch, Interval, ScoredInterval, SubtitleLine, VideoRef, View


class Subtitles(Protocol):
    """The subtitle track of one video; empty where the video has none."""

    def within(self, interval: Interval) -> Sequence[SubtitleLine]:
        """Return the lines that overlap `interval`, in time order."""
        ...

    def search(self, query: str, top_k: int) -> Sequence[tuple[SubtitleLine, float]]:
        """Return up to `top_k` lines with their scores, the best first."""
        ...

    def summary(self, query: str, max_lines: int) -> Sequence[SubtitleLine]:
        """Return up to `max_lines` lines that matter for `query`, in time order."""
        ...

    def written_summary(self, query: str) -> str | None:
        """Return what a model writes about `query` from the track; `None` where no model was handed in."""
        ...


class Video(Protocol):
    """A video that can be looked at and searched."""

    @property
    def ref(self) -> VideoRef:
        """Path of the video, and the handle that may be shown."""
        ...

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        ...

    @property
    def subtitles(self) -> Subtitles:
        """The subtitle track."""
        ...

    @property
    def captions(self) -> Sequence[SubtitleLine] | None:
        """Timed captions in time order; `None` where there are none."""
        ...

    @property
    def screen_text(self) -> Sequence[SubtitleLine] | None:
        """Timed lines of the text on the screen, in time order; `None` where it was not read."""
        ...

    def frames_at(self, times_s: Sequence[float]) -> FrameBatch:
        """Return the stored frames nearest to the times, uint8[N, H, W, 3] RGB, with their true times.

        They have the aspect ratio of the video and no border, and the same size in every call.
        """
        ...

    def crop(self, time_s: float, box: Box) -> FrameBatch:
        """Return part of the frame on screen at `time_s`, cut at native resolution: uint8[1, H, W, 3] RGB."""
        ...

    def picture_size_px(self, box: Box | None = None) -> tuple[int, int]:
        """Return the width and height of the pictures of `frames_at`, or of a crop of `box`, without decoding any."""
        ...

    @property
    def search_sources(self) -> Sequence[str]:
        """Names of what `search_clips` searches, such as `"pictures"`; without one, `clip_retrieval` is not offered."""
        ...

    def search_clips(self, query: str, top_k: int) -> Sequence[ScoredInterval]:
        """Return up to `top_k` clips, the best match first."""
        ...


class Library(Protocol):
    """Opens videos. Opening the same video twice is cheap."""

    def open(self, ref: VideoRef) -> Video:
        """Open a video.

        Raises:
            DataError: The file is missing or is not what it claims to be.
        """
        ...

    def search_sources(self, ref: VideoRef) -> Sequence[str]:
        """Return the `Video.search_sources` that a video may have, without opening it; it need not exist yet."""
        ...


class Perception(Protocol):
    """Way of looking: returns captions or frames. Everything else about an episode is the same for both."""

    name: str
    """`"captions"` or `"frames"`."""
    zoom_tool: str
    """The tool that looks at an interval: `"caption_zoom"` or `"frame_zoom"`."""

    def overview(self) -> View | None:
        """Return what is shown with the question, before any call; `None` if nothing is."""
        ...

    def frames_needed(self, count: int) -> int:
        """Frames that looking at `count` moments takes from the budget, known before anything is rendered."""
        ...

    def look(self, interval: Interval, count: int, size_px: tuple[int, int] | None = None) -> View:
        """Look at an interval, at `count` moments of it or fewer.

        Args:
            interval: Part of the video.
            count: 1 or more; the budget holds as many.
            size_px: Width and height of the frames; `None` for the size at which they are stored.
        """
        ...

    def look_closer(self, time_s: float, box: Box) -> View:
        """Look at part of the frame on screen at `time_s`, at native resolution."""
        ...
