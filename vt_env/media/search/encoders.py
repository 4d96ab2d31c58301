"""Clip encoders: the protocol, and a colour-name encoder without a model."""

import re
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vt_env.types import FrameBatch

Vectors = NDArray[np.float32]

_SHADES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "red": ((255, 0, 0), (200, 30, 30), (139, 0, 0)),
    "orange": ((255, 140, 0), (255, 165, 0), (230, 110, 20)),
    "yellow": ((255, 255, 0), (255, 255, 150), (240, 215, 60), (200, 180, 0)),
    "green": ((0, 255, 0), (144, 238, 144), (0, 128, 0), (60, 180, 75), (0, 70, 0)),
    "cyan": ((0, 255, 255), (0, 180, 190), (0, 128, 128)),
    "blue": ((0, 0, 255), (135, 206, 235), (50, 90, 220), (30, 144, 255), (0, 0, 128)),
    "purple": ((128, 0, 128), (148, 60, 210), (75, 0, 130)),
    "pink": ((255, 192, 203), (255, 105, 180), (255, 0, 255)),
    "brown": ((139, 69, 19), (165, 105, 60), (100, 60, 30)),
    "white": ((255, 255, 255),),
    "gray": ((128, 128, 128), (192, 192, 192), (64, 64, 64)),
    "black": ((0, 0, 0),),
}
_SYNONYMS = {
    "grey": "gray", "silver": "gray", "crimson": "red", "scarlet": "red", "gold": "yellow", "golden": "yellow",
    "lime": "green", "teal": "cyan", "turquoise": "cyan", "aqua": "cyan", "navy": "blue", "violet": "purple",
    "magenta": "pink", "beige": "brown",
}  # fmt: skip
_NAMES = tuple(_SHADES)
_DULL = tuple(_NAMES.index(name) for name in ("white", "gray", "black"))
_BITS = 5
"""Quantisation of each channel in bits: 32768 colours."""
_FLOOR = 0.002
"""Added to the norm, as a fraction of the picture, so that a few noisy pixels are not normalised to a full match."""


class TextEncoder(Protocol):
    """A deterministic map from texts to vectors."""

    @property
    def key(self) -> str:
        """Identifier of the encoder, its weights and its version; part of cache keys."""
        ...

    @property
    def dim(self) -> int:
        """Embedding dimension."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return float32[N, dim], rows of length 1; all 0 where the encoder recognises nothing in a text."""
        ...


class ClipEncoder(TextEncoder, Protocol):
    """Maps frames and texts into one embedding space; a larger inner product means a better match."""

    def encode_frames(self, frames: FrameBatch) -> Vectors:
        """Return float32[N, dim], one vector per frame."""
        ...


@runtime_checkable
class JointClipEncoder(ClipEncoder, Protocol):
    """Encoder that also maps all frames of a clip to one vector, such as a video-text model."""

    def encode_clip(self, frames: FrameBatch) -> Vectors:
        """Return float32[dim], the vector of the frames, one or more, in the order of time."""
        ...


def pool_frames(encoder: ClipEncoder, frames: FrameBatch) -> Vectors:
    """Return the vector of a clip, float32[dim]: a joint encoder's, else the mean of the vectors of its frames.

    Mean pooling of frames of length 1 is that of CLIP4Clip (Luo et al. 2021, arXiv 2104.08860, section 3.3), which
    finds it as good as poolings with parameters unless there is much training data. An inner product with the mean is
    the mean similarity of the frames. The maximum would need the vectors of all frames in the index, and one stray
    frame would decide. The mean is not scaled to length 1 again, so that a clip of frames that disagree scores less.
    """
    if isinstance(encoder, JointClipEncoder):
        return encoder.encode_clip(frames)
    return encoder.encode_frames(frames).mean(axis=0)


class ColourNameEncoder:
    """Encoder of twelve colour names: the default of the generated world, deliberately weak, without a model.

    A frame's vector is the fraction of its pixels nearest to each colour, weighted by chroma, so that a small bright
    object outweighs a large dull background. Chromatic colours are normalised separately from white, gray and black, so
    the latter only matter to texts that name them. A text's vector marks its colour words. A query without colour words
    finds nothing; use a learned encoder for real videos.
    """

    key = "colour-names-1"
    dim = len(_NAMES)

    def encode_frames(self, frames: FrameBatch) -> Vectors:
        """Return float32[N, 12]; the chromatic and the achromatic part each have length at most 1."""
        owners, weights = _lookup()
        count, height, width, _ = frames.data.shape
        high = frames.data.reshape(count, height * width, 3).astype(np.int64) >> (8 - _BITS)
        codes = (high[..., 0] << 2 * _BITS) | (high[..., 1] << _BITS) | high[..., 2]
        places = owners[codes] + self.dim * np.arange(count)[:, None]
        totals = np.bincount(places.ravel(), weights[codes].ravel(), minlength=self.dim * count)
        shares = totals.reshape(count, self.dim) / (height * width)
        dull = np.isin(np.arange(self.dim), _DULL)
        for group in (dull, ~dull):
            shares[:, group] /= np.linalg.norm(shares[:, group], axis=1, keepdims=True) + _FLOOR
        return shares.astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return float32[N, 12], rows of length 1; all 0 where a text names no colour."""
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"[a-z]+", text.lower()):
                name = _SYNONYMS.get(word, word)
                if name in _NAMES:
                    vector[_NAMES.index(name)] = 1
            vector /= max(1.0, float(np.linalg.norm(vector)))
        return vectors


@cache
def _lookup() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the colour name index, int64[32768], and the weight, float32[32768], of each quantised colour.

    A colour belongs to its nearest shade by Euclidean distance in RGB. The weight of chromatic names is the chroma,
    (max(RGB) - min(RGB)) / 255; the weight of white, gray and black is 1.
    """
    steps = (np.arange(1 << _BITS) + 0.5) * (256 >> _BITS)
    colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    shades = np.array(list(chain.from_iterable(_SHADES.values())), dtype=np.float64)
    names = np.repeat(np.arange(len(_NAMES)), [len(of) for of in _SHADES.values()])
    owners = names[np.argmin(((colours[:, None] - shades) ** 2).sum(axis=2), axis=1)]
    chroma = (colours.max(axis=1) - colours.min(axis=1)) / 255
    return owners, np.where(np.isin(owners, _DULL), 1.0, chroma).astype(np.float32)
