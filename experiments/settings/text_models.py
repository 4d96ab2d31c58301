"""Models that search subtitles and captions and summarise subtitles, from flags."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from vt_env.config import HOW_ONLY
from vt_env.errors import ConfigError
from vt_env.media.library import TextModels
from vt_env.media.text.load_subtitles import SubtitleConfig
from vt_env.media.text.summaries import ChatSummariser


@dataclass(frozen=True)
class TextConfig:
    """Models that search subtitles and captions and summarise subtitles."""

    by_meaning: bool = False
    """Search subtitles by sentence embeddings and words; by default by words alone (extra text)."""
    captions: Literal["auto", "words", "meaning", "none"] = "auto"
    """Search clips by captions, where a task names a file of them: by `words`, by sentence embeddings and words
    (`meaning`, extra text), or not at all (`none`). `auto`: by words, but not in the generated world, whose captions
    state what is asked."""
    summaries_model: str = ""
    """Name under which a server serves the model for summaries; empty extracts the most informative lines instead."""
    summaries_url: str = field(default="http://127.0.0.1:8000/v1", metadata=HOW_ONLY)
    """Address of the OpenAI-compatible server for summaries, up to and including `/v1`."""

    subtitles_encoding: str | None = None
    """Encoding of subtitle files, such as `cp1251`, `gb18030` or `cp932`; by default it is found out."""
    subtitles_languages: tuple[str, ...] = ()
    """Languages of the text stream read from media files, as these tag them (`eng`, `ger`), the preferred one first."""

    def __post_init__(self) -> None:
        _ = self.subtitles

    @property
    def subtitles(self) -> SubtitleConfig:
        """Settings of the readers of subtitles.

        Raises:
            ConfigError: The encoding is not known.
        """
        return SubtitleConfig(self.subtitles_encoding, self.subtitles_languages)

    def open(self) -> TextModels:
        """Load the models; a server is first contacted for the first summary.

        Raises:
            ConfigError: The extra text is not installed.
        """
        encoder = None
        if self.by_meaning or self.captions == "meaning":
            from vt_env.media.search.sentence_encoder import SentenceEncoder

            encoder = SentenceEncoder()
        served = ServedWriter(self.summaries_url, self.summaries_model)
        return TextModels(
            encoder if self.by_meaning else None,
            ChatSummariser(self.summaries_model, served) if self.summaries_model else None,
            "words" if self.captions == "meaning" else self.captions,
            encoder if self.captions == "meaning" else None,
            subtitles=self.subtitles,
        )


@dataclass(frozen=True)
class ServedWriter:
    """Chat model behind a server, as a function from prompt to text. Picklable; a copy opens its own connection."""

    url: str
    model: str

    def __call__(self, prompt: str) -> str:
        """Return the reply of the model, without its thoughts.

        Raises:
            ConfigError: The server rejects the request, fails or cannot be reached, so that no summary is left empty.
        """
        from agents.backends.ask_once import ask_once
        from agents.backends.chat_wire import NoReply

        try:
            return ask_once(self._client.complete, prompt)
        except NoReply as failure:
            why = f"{failure.status}: {failure.error[:80]}"
            raise ConfigError(
                f"{self.url}: no summary ({why}); start the server, or leave out --text.summaries-model"
            ) from failure

    def __reduce__(self) -> tuple[type["ServedWriter"], tuple[str, str]]:
        return ServedWriter, (self.url, self.model)

    @cached_property
    def _client(self) -> Any:
        from agents.backends.chat_client import OpenAIClient
        from agents.backends.server_limits import ServerConfig

        return OpenAIClient(ServerConfig(self.url, self.model))
