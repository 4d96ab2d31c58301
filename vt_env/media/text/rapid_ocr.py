"""Text recognition by RapidOCR with PP-OCRv6 small (extra `ocr`); the weights are in its wheel, no network is needed.

Knows pictures; knows nothing of videos or caches. Runs on the CPU by onnxruntime.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vt_env.errors import ConfigError, how_to_install
from vt_env.media.text.screen_text import PictureText
from vt_env.types import Box

_PACKAGE = "rapidocr"
_MODELS = "PP-OCRv6 small"
_SETTINGS = {
    # Text lies upright in nearly all videos; the classifier would turn lines that stand on their head.
    "Global.use_cls": False,
    "Global.log_level": "error",
    # Detection at native size: the package's 736 pixels would enlarge a 640x360 picture twice, which takes 2.7 times as
    # long and found no more than single letters below 12 pixels.
    "Det.limit_side_len": 32,
}
_lock = threading.Lock()


@dataclass(frozen=True)
class RapidOcr:
    """OCR engine of the extra `ocr`; it satisfies `OcrEngine`. The models are loaded at the first picture."""

    least_confidence: float = 0.5
    """Texts of a lower confidence are dropped (0.5 is `text_score` of RapidOCR 3.10's `config.yaml`)."""

    def __post_init__(self) -> None:
        if not 0 <= self.least_confidence <= 1:
            raise ConfigError(f"least_confidence={self.least_confidence}: need a number in [0, 1]")

    @property
    def key(self) -> str:
        """Package version, models and settings.

        Raises:
            ConfigError: The extra is not installed.
        """
        check_installed()
        return f"{_PACKAGE}=={metadata.version(_PACKAGE)}, {_MODELS}, native size, from {self.least_confidence:g}"

    def read(self, picture: NDArray[np.uint8]) -> Sequence[PictureText]:
        """Return the texts of a picture uint8[H, W, 3] RGB in reading order.

        Raises:
            ConfigError: The extra is not installed.
        """
        # RapidOCR keeps the settings of a call on the object.
        with _lock:
            found = _load()(np.ascontiguousarray(picture[:, :, ::-1]), text_score=self.least_confidence)
        if found.txts is None:
            return []
        height, width = picture.shape[:2]
        read: list[PictureText] = []
        for text, score, corners in zip(found.txts, found.scores, found.boxes, strict=True):
            box = _upright(np.asarray(corners, dtype=np.float64) / (width, height))
            if text.strip() and box is not None:
                read.append(PictureText(" ".join(text.split()), box, round(float(score), 4)))
        return read


def check_installed() -> None:
    """Check that the extra is installed, without importing it.

    Raises:
        ConfigError: It is not.
    """
    missing = next((it for it in (_PACKAGE, "onnxruntime") if find_spec(it) is None), None)
    if missing is not None:
        raise ConfigError(f"text on the screen needs {missing}: {how_to_install('ocr')}")


def _upright(corners: NDArray[np.float64]) -> Box | None:
    """Return the upright box around float64[4, 2] corners inside the picture; `None` if it is empty."""
    (left, top), (right, bottom) = np.clip(corners.min(axis=0), 0, 1), np.clip(corners.max(axis=0), 0, 1)
    edges = (round(float(it), 4) for it in (left, top, right, bottom))
    return Box(*edges) if left < right and top < bottom else None


@lru_cache(maxsize=1)
def _load() -> Any:
    check_installed()
    from rapidocr import RapidOCR

    return RapidOCR(params=_SETTINGS)
