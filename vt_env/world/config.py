"""How videos of the world are made: every knob of their length, their events and how hard they are to find."""

from dataclasses import dataclass

from vt_env.errors import ConfigError
from vt_env.world.vocabulary import NAMES

LATER_KNOBS = ("events", "distractors", "detail_px", "caption_loss")
"""Knobs that the first version did not have; at their defaults, videos are those of the first version."""


@dataclass(frozen=True)
class WorldConfig:
    """How videos of the world are made.

    Raises:
        ConfigError: A knob is out of its range, or two of them contradict each other.
    """

    duration_min_s: int = 600
    """Shortest video in seconds."""
    duration_max_s: int = 1800
    """Longest video in seconds."""
    scene_min_s: int = 12
    """Shortest scene in seconds."""
    scene_max_s: int = 40
    """Longest scene in seconds."""
    facts: int = 4
    """Spoken codes a video, and as many spoken references to the screen."""
    size_px: int = 224
    """Width and height of the video."""
    frame_rate_hz: int = 2
    """Frames per second of the video file."""
    keyframe_every_s: int = 20
    """Seconds between keyframes, long as in real files."""
    videos: int = 60
    """Videos in a split."""
    tasks_per_video: int = 12
    """Questions asked of each video, families in turn."""
    events: int = 0
    """How often a counted thing is shown at most, every number from 1 on being as likely; 0 for nothing to count."""
    distractors: int = 1
    """Scenes of the same colour and another shape that each counted thing is hidden among, at least."""
    detail_px: int = 0
    """Font size of a small number on every shape, too small for stored frames; 0 for none."""
    caption_loss: float = 0.0
    """Chance that a caption lacks one of its words, for each word; a caption keeps one word at least."""

    def __post_init__(self) -> None:
        for name in (
            "duration_min_s",
            "scene_min_s",
            "size_px",
            "frame_rate_hz",
            "keyframe_every_s",
            "tasks_per_video",
        ):
            _check(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        _check(
            self.duration_max_s >= self.duration_min_s, "duration_max_s", self.duration_max_s, "duration_min_s or more"
        )
        _check(self.scene_max_s >= self.scene_min_s, "scene_max_s", self.scene_max_s, "scene_min_s or more")
        # At least one name is left for what is said besides facts.
        _check(0 <= self.facts < len(NAMES) / 2, "facts", self.facts, f"0 to {(len(NAMES) - 1) // 2}")
        _check(self.events == 0 or 2 <= self.events <= 9, "events", self.events, "0, or 2 to 9")
        _check(self.distractors >= 0, "distractors", self.distractors, "0 or more")
        _check(0 <= self.detail_px <= self.size_px // 12, "detail_px", self.detail_px, "0 to a twelfth of size_px")
        _check(0 <= self.caption_loss <= 1, "caption_loss", self.caption_loss, "0 to 1")


def full_world() -> WorldConfig:
    """The world that all eight families can be asked about: larger frames with small print, and things to count."""
    return WorldConfig(size_px=448, detail_px=18, events=4, tasks_per_video=8)


def _check(is_met: bool, name: str, value: float, allowed: str) -> None:
    if not is_met:
        raise ConfigError(f"world.{name}={value}: need {allowed}")
