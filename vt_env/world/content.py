"""Content of a generated video, from which files are written and videos in memory are opened.

The worlds share it: a script becomes shots, subtitles and captions.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vt_env.timed_lines import Caption
from vt_env.types import SubtitleLine
from vt_env.world.captions import write_captions
from vt_env.world.config import WorldConfig
from vt_env.world.render import render_scene
from vt_env.world.script import Scene, VideoScript

VIDEO_FILE, SUBTITLES_FILE, CAPTIONS_FILE = "video.mp4", "subtitles.srt", "captions.jsonl"


class Picture(Protocol):
    """A still picture; hashable, and equal to another one that looks the same."""

    def paint(self, size_px: int) -> NDArray[np.uint8]:
        """Render the picture: uint8[size_px, size_px, 3], RGB."""
        ...


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture, on screen until the next shot begins."""

    start_s: float
    picture: Picture


@dataclass(frozen=True)
class VideoContent:
    """Content of one video: everything that its files hold."""

    duration_s: int
    size_px: int
    frame_rate_hz: int
    keyframe_every_s: int
    shots: tuple[Shot, ...]
    """Shots in time order; the first begins at 0, all begin at multiples of the frame period."""
    subtitles: tuple[SubtitleLine, ...]
    captions: Mapping[str, Callable[[], Sequence[Caption]]]
    """Writers of timed captions by file name; `CAPTIONS_FILE` is among them."""

    def shot_idx(self, time_s: float) -> int:
        """Return the index of the shot on screen at a time."""
        return bisect_right(self._starts_s, time_s) - 1

    @cached_property
    def _starts_s(self) -> list[float]:
        return [shot.start_s for shot in self.shots]


@dataclass(frozen=True, slots=True)
class ScenePicture:
    """Picture of a scene of the first world."""

    scene: Scene
    detail_px: int

    def paint(self, size_px: int) -> NDArray[np.uint8]:
        """Render the scene: uint8[size_px, size_px, 3], RGB."""
        return render_scene(self.scene, size_px, self.detail_px)


def script_content(script: VideoScript, config: WorldConfig) -> VideoContent:
    """Return the content of a video of the first world: one shot and one caption per scene."""
    return VideoContent(
        script.duration_s,
        config.size_px,
        config.frame_rate_hz,
        config.keyframe_every_s,
        tuple(Shot(scene.interval.start_s, ScenePicture(scene, config.detail_px)) for scene in script.scenes),
        script.subtitles,
        {CAPTIONS_FILE: partial(write_captions, script, config)},
    )
