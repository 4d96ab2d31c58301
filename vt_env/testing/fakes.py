"""Fakes for tests of agents and environments: videos in memory, a library of them, tasks about them, an OCR engine.

Each frame paints the number of its second, so a test can read back which moment it was shown (`read_second`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vt_env.errors import DataError
from vt_env.gold import Gold
from vt_env.media.text.screen_text import PictureText
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import Box, FrameBatch, Interval, Item, ScoredInterval, SubtitleLine, VideoRef

_BITS = 16
# Painted like the videos of the generated world, and played with its profile.
_REF = VideoRef("fake", "fake.mp4", world=1)


def paint_second(second: int, frame_px: int) -> NDArray[np.uint8]:
    """Paint `second` (below 65536) as 16 vertical black and white stripes, uint8[px, px, 3]."""
    stripes = np.array([second >> bit & 1 for bit in range(_BITS)], dtype=np.uint8) * 255
    row = stripes[np.arange(frame_px) * _BITS // frame_px]
    return np.repeat(np.repeat(row[None, :, None], frame_px, axis=0), 3, axis=2)


def read_second(picture: NDArray[np.uint8]) -> int:
    """Read the second back from a picture of `paint_second`, uint8[px, px, 3]."""
    side = picture.shape[1]
    columns = ((np.arange(_BITS) + 0.5) * side / _BITS).astype(int)
    bits = picture[side // 2, columns, 0] > 127
    return int(sum(1 << bit for bit in range(_BITS) if bits[bit]))


@dataclass(frozen=True)
class FakeSubtitles:
    """Subtitles that are searched by the words they share with the query."""

    lines: tuple[SubtitleLine, ...] = ()

    def within(self, interval: Interval) -> list[SubtitleLine]:
        """Return the lines that overlap `interval`, in time order."""
        return [line for line in self.lines if line.interval.overlap_s(interval) > 0]

    def search(self, query: str, top_k: int) -> list[tuple[SubtitleLine, float]]:
        """Return up to `top_k` lines that share a word with `query`, the best first."""
        scored = [(line, _shared(query, line.text)) for line in self.lines]
        return sorted((it for it in scored if it[1] > 0), key=lambda it: (-it[1], it[0].interval))[:top_k]

    def summary(self, query: str, max_lines: int) -> list[SubtitleLine]:
        """Return the best lines in time order."""
        return sorted((line for line, _ in self.search(query, max_lines)), key=lambda line: line.interval)

    def written_summary(self, query: str) -> str | None:
        """Return nothing: no model writes here."""
        return None


@dataclass(frozen=True)
class FakeVideo:
    """A video in memory with one frame a second. It satisfies `vt_env.protocols.Video`."""

    ref: VideoRef = _REF
    duration_s: float = 600.0
    frame_px: int = 32
    clip_s: float = 10.0
    captions: tuple[SubtitleLine, ...] | None = (
        SubtitleLine(Interval(0, 320), "black"),
        SubtitleLine(Interval(320, 346), "red square 47"),
        SubtitleLine(Interval(346, 600), "blue circle 12"),
    )
    subtitle_lines: tuple[SubtitleLine, ...] = (
        SubtitleLine(Interval(190, 194), "the code of delta is 31"),
        SubtitleLine(Interval(400, 404), "look at the circle"),
    )
    screen_text: tuple[SubtitleLine, ...] | None = None
    broken_from_s: float = float("inf")
    """Frames from here on cannot be decoded."""

    @property
    def subtitles(self) -> FakeSubtitles:
        """The subtitle track."""
        return FakeSubtitles(self.subtitle_lines)

    def frames_at(self, times_s: Sequence[float]) -> FrameBatch:
        """Return the frames on screen, uint8[N, px, px, 3].

        Raises:
            DataError: A time is outside `[0, duration_s)`, or a frame cannot be decoded.
        """
        seconds = [int(time_s) for time_s in times_s]
        if not all(0 <= time_s < self.duration_s for time_s in times_s):
            raise DataError(f"{self.ref.path}: times {list(times_s)} leave the video; ask for 0 to {self.duration_s} s")
        if any(time_s >= self.broken_from_s for time_s in times_s):
            raise DataError(f"{self.ref.path}: nothing can be decoded from {self.broken_from_s} s on; replace the file")
        pictures = [paint_second(second, self.frame_px) for second in seconds]
        data = np.array(pictures, dtype=np.uint8).reshape(-1, self.frame_px, self.frame_px, 3)
        return FrameBatch(data, np.array(seconds, dtype=np.float64))

    def crop(self, time_s: float, box: Box) -> FrameBatch:
        """Return the whole frame with everything outside the box in grey, uint8[1, px, px, 3]."""
        frames = self.frames_at([time_s])
        inside = np.zeros(frames.data.shape[1:3], dtype=bool)
        left, top, right, bottom = (round(edge * self.frame_px) for edge in (box.left, box.top, box.right, box.bottom))
        inside[top:bottom, left:right] = True
        return FrameBatch(np.where(inside[None, :, :, None], frames.data, np.uint8(128)), frames.pts_s)

    def picture_size_px(self, box: Box | None = None) -> tuple[int, int]:
        """Return the side twice: frames and crops have one size."""
        return (self.frame_px, self.frame_px)

    @property
    def search_sources(self) -> tuple[str, ...]:
        """`("captions",)`; nothing without captions."""
        return ("captions",) if self.captions else ()

    def search_clips(self, query: str, top_k: int) -> list[ScoredInterval]:
        """Return up to `top_k` clips whose captions share a word with `query`, the best first."""
        starts_s = np.arange(0.0, self.duration_s, self.clip_s)
        clips = [Interval(float(start_s), min(float(start_s) + self.clip_s, self.duration_s)) for start_s in starts_s]
        scored = [ScoredInterval(clip, self._match(query, clip)) for clip in clips]
        return sorted((it for it in scored if it.score > 0), key=lambda it: (-it.score, it.interval))[:top_k]

    def _match(self, query: str, clip: Interval) -> float:
        lines = [line for line in self.captions or () if line.interval.overlap_s(clip) > 0]
        return max((_shared(query, line.text) for line in lines), default=0.0)


FAKE_TEXTS: Mapping[tuple[int, int, int], str] = {
    (255, 0, 0): "quarterly harvest of the mill",
    (0, 255, 0): "barley 412 tonnes",
    (0, 0, 255): "storage cost fell",
    (255, 255, 255): "thank you",
}
"""Colours, RGB, and what `FakeOcr` reads there."""


@dataclass(frozen=True)
class FakeOcr:
    """An OCR engine that reads the colours of the upper and the lower half of a picture; black says nothing.

    It satisfies `vt_env.media.text.screen_text.OcrEngine`.
    """

    texts: Mapping[tuple[int, int, int], str] = field(default_factory=lambda: dict(FAKE_TEXTS))
    """Colours, RGB, and their texts; a half says the text of the nearest colour."""
    key: str = "fake==1"
    read_sizes: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]], compare=False)
    """Width and height of each picture read, in order."""

    def read(self, picture: NDArray[np.uint8]) -> list[PictureText]:
        """Return one text for each half that is not black, with a confidence of 0.9."""
        height, width = picture.shape[:2]
        self.read_sizes.append((width, height))
        halves = ((0.0, picture[: height // 2]), (0.5, picture[height // 2 :]))
        texts = [(top, self._nearest(part.reshape(-1, 3).mean(axis=0))) for top, part in halves]
        return [PictureText(text, Box(0.1, top + 0.1, 0.9, top + 0.4), 0.9) for top, text in texts if text]

    def _nearest(self, colour: NDArray[np.float64]) -> str:
        known = {(0, 0, 0): "", **self.texts}
        return min(known.items(), key=lambda it: float(np.abs(colour - it[0]).sum()))[1]


@dataclass(frozen=True)
class FakeLibrary:
    """A library of videos in memory. It satisfies `vt_env.protocols.Library`."""

    videos: tuple[FakeVideo, ...] = (FakeVideo(),)

    def open(self, ref: VideoRef) -> FakeVideo:
        """Return the video with this handle.

        Raises:
            DataError: There is none.
        """
        for video in self.videos:
            if video.ref.handle == ref.handle:
                return video
        raise DataError(f"video {ref.handle}: not in this library")

    def search_sources(self, ref: VideoRef) -> tuple[str, ...]:
        """Return what the video can be searched by; nothing for one that is not in this library."""
        return next((it.search_sources for it in self.videos if it.ref.handle == ref.handle), ())


def fake_task(answer_idx: int = 1, task_id: str = "fake/0") -> Task:
    """Return a task about the default `FakeVideo`, whose right answer is "47"."""
    item = Item(task_id, "what number is beside the red square?", ("12", "47", "31", "88"), FakeVideo().ref, "needle")
    return Task(item, Gold(answer_idx, (Interval(320, 346),)))


def fake_tasks(count: int = 3) -> TaskSet:
    """Return `count` tasks about the default `FakeVideo`."""
    return TaskSet(tuple(fake_task(task_id=f"fake/{idx}") for idx in range(count)))


def _shared(query: str, text: str) -> float:
    wanted, there = set(query.casefold().split()), set(text.casefold().split())
    return len(wanted & there) / max(1, len(wanted))
