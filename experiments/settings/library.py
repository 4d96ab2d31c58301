"""Video library of a command: frame storage, clip search, subtitle models, speech recognition."""

from dataclasses import dataclass, field

from experiments.settings.text_models import TextConfig
from vt_env.config import MediaConfig
from vt_env.errors import ConfigError
from vt_env.media.library import VideoLibrary
from vt_env.media.search.choose_encoder import AUTO


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

    def __post_init__(self) -> None:
        if self.asr_model is not None and not self.asr:
            raise ConfigError(f"--asr-model {self.asr_model} needs --asr: add --asr")

    def open_library(self) -> VideoLibrary:
        """Open the library.

        Raises:
            ConfigError: The encoder cannot be loaded, or an extra is not installed.
        """
        models = self.text.open()
        transcribe = (self.asr_model or True) if self.asr else False
        return VideoLibrary(self.media, encoder=self.encoder, text_models=models, transcribe=transcribe)
