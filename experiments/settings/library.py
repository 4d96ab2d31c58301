"""Video library of a command: frame storage, clip search, subtitle models, recognition of speech and screen text."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from experiments.settings.text_models import TextConfig
from vt_env.config import MediaConfig, at_least
from vt_env.errors import ConfigError
from vt_env.media.library import VideoLibrary
from vt_env.media.search.choose_encoder import AUTO
from vt_env.media.text.rapid_ocr import check_installed
from vt_env.media.text.read_screen import ScreenOcr
from vt_env.tools.builtin import ADAPTIVE, SCREEN_TEXT_TOOL, ToolChoice


@dataclass(frozen=True, kw_only=True)
class LibraryConfig:
    """Settings of every command that opens videos; a video indexed with the same settings is not indexed again."""

    media: MediaConfig = field(default_factory=MediaConfig)
    """Stored frames and clips; a model must see frames of the size that it was trained on."""
    encoder: str = AUTO
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
        if self.asr_model is not None and not self.asr:
            raise ConfigError(f"--asr-model {self.asr_model} needs --asr: add --asr")
        at_least(self, "screen_text_gap_s", 0)

    def open_library(self) -> VideoLibrary:
        """Open the library.

        Raises:
            ConfigError: The encoder cannot be loaded, or an extra is not installed.
        """
        models = self.text.open()
        if self.screen_text:
            check_installed()
            models = replace(models, screen_ocr=ScreenOcr(gap_s=self.screen_text_gap_s))
        transcribe = (self.asr_model or True) if self.asr else False
        return VideoLibrary(self.media, encoder=self.encoder, text_models=models, transcribe=transcribe)

    def with_screen_text(self, tools: ToolChoice) -> ToolChoice:
        """Add the tool `screen_text` to the tool sets `default` and `adaptive` where the screen is read; no others."""
        if self.screen_text and isinstance(tools, str) and tools in ("default", ADAPTIVE):
            return (tools, SCREEN_TEXT_TOOL)
        return tools


def library_config(config: Mapping[str, Any]) -> LibraryConfig:
    """Return the library configuration of an evaluation, from its `config.json`."""
    kinds = {"media": _read_media, "text": TextConfig}
    given = {it.name: config[it.name] for it in fields(LibraryConfig) if it.name in config}
    return LibraryConfig(**{name: kinds[name](**value) if name in kinds else value for name, value in given.items()})


def _read_media(frame_px: int | None = None, **settings: Any) -> MediaConfig:
    """Read media settings; those of before frames had the shape of their video hold the side of a square."""
    if frame_px is None:
        return MediaConfig(**settings)
    patch_px = 28 if frame_px % 28 == 0 else 32
    return MediaConfig(frame_px**2, min(frame_px**2, MediaConfig.min_pixels), patch_px, **settings)
