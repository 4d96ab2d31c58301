"""Configuration of `vt-env doctor`."""

from dataclasses import dataclass
from typing import Literal

from experiments.settings.profile import is_world
from experiments.settings.prompts import EpisodeConfig
from vt_env.config import at_least
from vt_env.errors import ConfigError


@dataclass(frozen=True)
class DoctorRun(EpisodeConfig):
    """Check this machine; with --tasks or --model, what episodes would be played with and what does not fit."""

    tasks: str = ""
    """Task set, by name or path."""
    model: str = ""
    """Folder or hub name of a checkpoint; its processor alone is read."""
    split: str = "test"
    """Split of the tasks."""
    perception: Literal["frames", "captions"] = "frames"
    """What looking returns."""
    budget: str | None = None
    """Budget of an episode: a preset, optionally with changes (`default,max_calls=16`), or changes alone of the
    profile's."""
    tools: Literal["default", "paper", "adaptive", "none"] | None = None
    """Tool set."""
    context_tokens: int | None = None
    """Maximum length of a conversation in tokens; by default the checkpoint's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, "context_tokens", 1)
        if self.model and not self.tasks:
            raise ConfigError("doctor --model needs the tasks to be played: add --tasks, such as --tasks talks")

    @property
    def plays_world(self) -> bool:
        """Whether the tasks are of the generated world."""
        return is_world(self.tasks or "world")

    @property
    def known_model(self) -> str | None:
        """The model."""
        return self.model or None
