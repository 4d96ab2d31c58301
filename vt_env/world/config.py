"""World settings: length, content and difficulty of the generated videos."""

from dataclasses import dataclass

from vt_env.config import at_least
from vt_env.errors import ConfigError
from vt_env.world.vocabulary import NAMES

LATER_SETTINGS = ("events", "distractors", "detail_px", "caption_loss")
"""Settings added after the first version; their defaults reproduce the videos of the first version."""


@dataclass(frozen=True)
class WorldConfig:
    """Settings of the generated world.

    Raises:
        ConfigError: A setting is out of range, or two settings contradict each other.
    """

    duration_min_s: int = 600
    """Minimum video duration in seconds."""
    duration_max_s: int = 1800
    """Maximum video duration in seconds."""
    scene_min_s: int = 12
    """Minimum scene duration in seconds."""
    scene_max_s: int = 40
    """Maximum scene duration in seconds."""
    facts: int = 4
    """Number of spoken codes per video; the number of spoken references to the screen is the same."""
    size_px: int = 224
    """Width and height of the video in pixels."""
    frame_rate_hz: int = 2
    """Frame rate of the video file."""
    keyframe_every_s: int = 20
    """Keyframe interval in seconds, as long as in real files."""
    videos: int = 60
    """Number of videos per split."""
    tasks_per_video: int = 12
    """Number of questions per video, alternating between families."""
    events: int = 0
    """Maximum number of scenes of a counted object, drawn uniformly from 1; 0 disables counting."""
    distractors: int = 1
    """Minimum number of scenes with the colour of a counted object and another shape."""
    detail_px: int = 0
    """Font size of a small number on every shape, illegible in stored frames; 0 disables it."""
    caption_loss: float = 0.0
    """Probability of removing each word from a caption; at least one word remains."""

    def __post_init__(self) -> None:
        for name in (
            "duration_min_s",
            "scene_min_s",
            "size_px",
            "frame_rate_hz",
            "keyframe_every_s",
            "tasks_per_video",
        ):
            at_least(self, f"world.{name}", 1)
        _check(
            self.duration_max_s >= self.duration_min_s, "duration_max_s", self.duration_max_s, "duration_min_s or more"
        )
        _check(self.scene_max_s >= self.scene_min_s, "scene_max_s", self.scene_max_s, "scene_min_s or more")
        # At least one name must remain for filler lines.
        _check(0 <= self.facts < len(NAMES) / 2, "facts", self.facts, f"0 to {(len(NAMES) - 1) // 2}")
        _check(self.events == 0 or 2 <= self.events <= 9, "events", self.events, "0, or 2 to 9")
        at_least(self, "world.distractors", 0)
        _check(0 <= self.detail_px <= self.size_px // 12, "detail_px", self.detail_px, "0 to a twelfth of size_px")
        _check(0 <= self.caption_loss <= 1, "caption_loss", self.caption_loss, "0 to 1")


def full_world() -> WorldConfig:
    """Return the settings that support all eight families: larger frames with small print, and counted objects."""
    return WorldConfig(size_px=448, detail_px=18, events=4, tasks_per_video=8)


def _check(is_met: bool, name: str, value: float, allowed: str) -> None:
    if not is_met:
        raise ConfigError(f"world.{name}={value}: need {allowed}")
