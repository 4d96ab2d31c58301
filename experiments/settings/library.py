"""Video library of a command: frame storage, clip encoder, subtitle models, speech recognition."""

from dataclasses import dataclass, field
from pathlib import Path

from experiments.settings.text_models import TextConfig
from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, suggest
from vt_env.media.library import VideoLibrary
from vt_env.media.search.encoders import ClipEncoder, ColourNameEncoder

COLOURS = "colours"
"""Name of the default encoder, which needs no model."""


@dataclass(frozen=True, kw_only=True)
class LibraryConfig:
    """Settings of every command that opens videos; a video indexed with the same settings is not indexed again."""

    media: MediaConfig = field(default_factory=MediaConfig)
    """Stored frames and clips; a model must see frames of the size that it was trained on."""
    encoder: str = COLOURS
    """Encoder for clip search: `colours`, `world` (ships with the code, for the generated world), or a CLIP or SigLIP
    checkpoint by name or folder (extra train)."""
    text: TextConfig = field(default_factory=TextConfig)
    """Models that search and summarise subtitles."""
    asr: bool = False
    """Transcribe the audio of videos without subtitles, once per video (extra asr)."""
    asr_model: str | None = None
    """With --asr: faster-whisper model by folder or name; by default the shipped one."""

    def __post_init__(self) -> None:
        if self.asr_model is not None and not self.asr:
            raise ConfigError(f"--asr-model {self.asr_model} needs --asr: add --asr")

    def open_library(self) -> VideoLibrary:
        """Open the library.

        Raises:
            ConfigError: The encoder cannot be loaded, or an extra is not installed.
        """
        encoder, models = make_encoder(self.encoder), self.text.open()
        transcribe = (self.asr_model or True) if self.asr else False
        return VideoLibrary(self.media, encoder=encoder, text_models=models, transcribe=transcribe)


def make_encoder(name: str) -> ClipEncoder:
    """Load a clip encoder by name or folder.

    Raises:
        ConfigError: The name is unknown, or the checkpoint cannot be loaded.
    """
    if name == COLOURS:
        return ColourNameEncoder()
    from vt_env.media.search.transformers_clip import WORLD, ClipModelEncoder

    if name != WORLD and "/" not in name and not Path(name).is_dir():
        own = f"allowed are {COLOURS}, {WORLD}, a folder, or OWNER/NAME of a hub"
        raise ConfigError(f"encoder={name!r}: {own}{suggest(name, (COLOURS, WORLD))}")
    return ClipModelEncoder(name)
