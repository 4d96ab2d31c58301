"""Video library of a command: frame storage, clip search, subtitle models, recognition of speech and screen text."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from experiments.settings.profile import PROFILE_IF_MISSING, MediaFlags, choose, flags_of, has_begun, read_media
from experiments.settings.text_models import TextConfig
from vt_env.config import at_least
from vt_env.errors import ConfigError
from vt_env.media.library import VideoLibrary
from vt_env.media.terminal import say_once
from vt_env.media.text.rapid_ocr import check_installed
from vt_env.media.text.read_screen import ScreenOcr
from vt_env.profiles import WORLD, Profile, resolve_profile
from vt_env.tools.builtin import ADAPTIVE, SCREEN_TEXT_TOOL, ToolChoice

_PARTS = ("budget", "tools", "encoder")
"""Parts of a profile that commands take as flags of the same name, besides media and prompts."""


@dataclass(frozen=True, kw_only=True)
class LibraryConfig:
    """Settings of every command that opens videos; a video indexed with the same settings is not indexed again."""

    profile: str | None = None
    """Defaults of picture size, budget, tools, prompts, encoder and reply length: `world`, `field` or `paper`, see
    docs/profiles.md. By default `world` for the generated world and `field` for everything else."""
    media: MediaFlags = field(default_factory=MediaFlags)
    """Stored frames and clips; a model must see frames of the size that it was trained on."""
    encoder: str | None = None
    """Encoder of pictures for clip search. `auto`: colours for the generated world; for other videos the CLIP, SigLIP
    or X-CLIP checkpoint that $VT_ENV_ENCODER names, else one in the Hugging Face cache, else none. Or `none`,
    `colours`, `world` (ships with the code, for the generated world), or a checkpoint by name or folder (extra
    train)."""
    text: TextConfig = field(default_factory=TextConfig)
    """Models that search and summarise subtitles."""
    asr: bool = False
    """Transcribe the audio of videos without subtitles, once per video (extra asr)."""
    asr_model: str | None = None
    """With --asr: faster-whisper model by folder or name; by default the shipped one."""
    screen_text: bool = False
    """Read the text on the screen, once per video (extra ocr): slides, signs, scoreboards, burnt-in captions. Searched
    by clip retrieval and read by the tool `screen_text`, which the tool set `default` then has."""
    screen_text_gap_s: float = 2.0
    """With --screen-text: least seconds between two pictures read; bounds the time for pictures that always move."""

    def __post_init__(self) -> None:
        resolve_profile(self.profile or WORLD).with_parts(budget=getattr(self, "budget", None))
        if self.asr_model is not None and not self.asr:
            raise ConfigError(f"--asr-model {self.asr_model} needs --asr: add --asr")
        at_least(self, "screen_text_gap_s", 0)

    @property
    def chosen(self) -> Profile:
        """Parts that are played: those given by flags, else those of the run that is resumed, else the profile's.

        Raises:
            ConfigError: A value is not allowed.
        """
        return self._chosen

    @cached_property
    def _chosen(self) -> Profile:
        given = {name: getattr(self, name, None) for name in _PARTS}
        return choose(
            self.profile, self.media, given, world=self.plays_world, model=self.known_model, run=self.run_folder
        )

    def filled(self) -> Self:
        """Return the configuration with every part given, as `config.json` holds it.

        Raises:
            ConfigError: A value is not allowed.
        """
        chosen = self.chosen
        parts = {name: getattr(chosen, name) for name in _PARTS if hasattr(self, name)}
        filled = replace(self, profile=chosen.name, media=flags_of(chosen.media), **parts)
        # Whether the profile was chosen for the user is said later, when nothing is wrong with the other flags.
        vars(filled)["_is_by_default"] = self._is_by_default
        return filled

    @cached_property
    def _is_by_default(self) -> bool:
        return self.profile is None and not has_begun(self.run_folder)

    @property
    def plays_world(self) -> bool:
        """Whether all videos are of the generated world."""
        return False

    @property
    def known_model(self) -> str | None:
        """Folder or name of the model that sees the pictures; `None` if the command does not know it."""
        return None

    @property
    def run_folder(self) -> Path | None:
        """Run directory that may be resumed; `None` if the command has none."""
        return None

    @property
    def offered(self) -> ToolChoice:
        """Tools on offer, with `screen_text` where the screen is read."""
        return self.with_screen_text(self.chosen.tools)

    def open_library(self) -> VideoLibrary:
        """Open the library; a line on the terminal says once where another profile than `world` was chosen by default.

        Raises:
            ConfigError: The encoder cannot be loaded, or an extra is not installed.
        """
        models = self.text.open()
        if self.screen_text:
            check_installed()
            models = replace(models, screen_ocr=ScreenOcr(gap_s=self.screen_text_gap_s))
        transcribe = (self.asr_model or True) if self.asr else False
        chosen = self.chosen
        library = VideoLibrary(chosen.media, encoder=chosen.encoder, text_models=models, transcribe=transcribe)
        if self._is_by_default and chosen.name != WORLD.name:
            say_once(f"profile {chosen.describe()}; --profile changes it")
        return library

    def with_screen_text(self, tools: ToolChoice) -> ToolChoice:
        """Add the tool `screen_text` to the tool sets `default` and `adaptive` where the screen is read; no others."""
        if self.screen_text and isinstance(tools, str) and tools in ("default", ADAPTIVE):
            return (tools, SCREEN_TEXT_TOOL)
        return tools


def library_config(config: Mapping[str, Any]) -> LibraryConfig:
    """Return the library configuration of an evaluation, from its `config.json`."""
    kinds = {"media": _read_flags, "text": TextConfig}
    given = {it.name: config[it.name] for it in fields(LibraryConfig) if it.name in config}
    read = {name: kinds[name](**value) if name in kinds else value for name, value in given.items()}
    return LibraryConfig(**{**read, "profile": read.get("profile") or PROFILE_IF_MISSING["profile"]})


def _read_flags(**settings: Any) -> MediaFlags:
    return flags_of(read_media(**settings))
