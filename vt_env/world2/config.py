"""Settings of the second world: length and number of the generated videos."""

from dataclasses import dataclass

from vt_env.config import at_least
from vt_env.errors import ConfigError

SHORTEST_S = 540
"""Shortest video that holds all scenes that questions are about, in seconds."""
FRAME_RATE_HZ = 2
"""Frame rate of the video file. All changes on screen are at multiples of half a second, so it is no setting."""


@dataclass(frozen=True)
class World2Config:
    """Settings of the second world.

    Raises:
        ConfigError: A setting is out of range, or two settings contradict each other.
    """

    duration_min_s: int = 600
    """Minimum video duration in seconds."""
    duration_max_s: int = 3600
    """Maximum video duration in seconds."""
    size_px: int = 448
    """Width and height of the video in pixels."""
    detail_px: int = 18
    """Font size of small numbers, which are illegible in stored frames."""
    keyframe_every_s: int = 20
    """Keyframe interval in seconds, as long as in real files."""
    videos: int = 60
    """Number of videos per split."""
    tasks_per_video: int = 13
    """Number of questions per video, alternating between families."""

    def __post_init__(self) -> None:
        minimums = {"duration_min_s": SHORTEST_S, "size_px": 112, "keyframe_every_s": 1, "tasks_per_video": 1}
        for name, minimum in minimums.items():
            at_least(self, f"world2.{name}", minimum)
        if self.duration_max_s < self.duration_min_s:
            raise ConfigError(f"world2.duration_max_s={self.duration_max_s}: need duration_min_s or more")
        if self.size_px % 2:
            raise ConfigError(f"world2.size_px={self.size_px}: need an even number, as H.264 does")
        if not 4 <= self.detail_px <= self.size_px // 20:
            raise ConfigError(f"world2.detail_px={self.detail_px}: need 4 to a twentieth of size_px")
