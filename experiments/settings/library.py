"""How a command opens videos: what is stored of them, and what they are searched with."""

from dataclasses import dataclass, field
from pathlib import Path

from experiments.settings.text_models import TextConfig
from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, suggest
from vt_env.media.library import VideoLibrary
from vt_env.media.search.encoders import ClipEncoder, ColourNameEncoder

COLOURS = "colours"
"""Names the default encoder, which needs no model."""


@dataclass(frozen=True, kw_only=True)
class LibraryConfig:
    """What every command that opens videos is told. Videos that were indexed with the same are not indexed again."""

    media: MediaConfig = field(default_factory=MediaConfig)
    """How frames are stored and clips are cut; a model must see frames of the size that it was trained with."""
    encoder: str = COLOURS
    """What clips are searched with: colours, or a CLIP or SigLIP checkpoint by name or folder (extra train); world is
    the small one of the generated world, which ships with the code."""
    text: TextConfig = field(default_factory=TextConfig)
    """What subtitles are searched and summed up with."""
    asr: bool = False
    """Transcribe the audio of videos without subtitles, once a video (extra asr)."""
    asr_model: str | None = None
    """With --asr: a folder with a faster-whisper model, or a name that faster-whisper knows; by default the shipped
    one."""

    def __post_init__(self) -> None:
        if self.asr_model is not None and not self.asr:
            raise ConfigError("--asr-model names the model of --asr: add --asr")

    def open_library(self) -> VideoLibrary:
        """Open the library that a run asks for.

        Raises:
            ConfigError: The encoder cannot be loaded, or an extra is not installed.
        """
        encoder, models = make_encoder(self.encoder), self.text.open()
        transcribe = (self.asr_model or True) if self.asr else False
        return VideoLibrary(self.media, encoder=encoder, text_models=models, transcribe=transcribe)


def make_encoder(name: str) -> ClipEncoder:
    """Make a clip encoder by its name on the command line.

    Raises:
        ConfigError: There is no such encoder, or the checkpoint cannot be loaded.
    """
    if name == COLOURS:
        return ColourNameEncoder()
    from vt_env.media.search.transformers_clip import WORLD, ClipModelEncoder

    if name != WORLD and "/" not in name and not Path(name).is_dir():
        own = f"allowed are {COLOURS}, {WORLD}, a folder, or OWNER/NAME of a hub"
        raise ConfigError(f"encoder={name!r}: {own}{suggest(name, (COLOURS, WORLD))}")
    return ClipModelEncoder(name)
