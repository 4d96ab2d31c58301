"""Clip encoder of transformers: any CLIP, SigLIP, SigLIP2 or X-CLIP checkpoint, by name or folder.

Knows torch and transformers, both imported on first use; knows nothing of stores. Embeddings are computed in float32 on
one device and normalised, so an inner product is a cosine. The checkpoint's processor resizes and crops stored frames
as it does in the checkpoint's own use.

X-CLIP (arXiv 2208.02816) compares a text with all frames of a clip, as the paper's LanguageBind does. Its prompt that
adapts the text to the video is left out, since it would need every clip again for each query.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vt_env.errors import ConfigError, first_line, how_to_install
from vt_env.media.search.cached_checkpoints import KINDS, hub_identity
from vt_env.media.search.encoders import Vectors
from vt_env.types import FrameBatch

SCHEMA = 1
"""Version of the embeddings; part of the encoder's key."""

XCLIP = "xclip"
"""Model type of X-CLIP in transformers."""
WORLD = "world"
"""Name of the small encoder of the generated world, trained by `experiments.tiny_model.dual_encoder`."""
_WORLD_FOLDER = Path(__file__).parents[2] / "world" / "encoder"

_BATCH = 32
"""Batch size in frames; bounds the memory for long clips."""


class ClipModelEncoder:
    """Encodes frames and texts with a dual encoder of transformers.

    Pickled by its arguments; a copy loads the weights on first use.

    Args:
        checkpoint: A folder written by `save_pretrained`, processor included, a model id on the hub, or `"world"` for
            the small encoder of the generated world.
        device: Torch device.

    Raises:
        ConfigError: The extra `train` is not installed, or the checkpoint cannot be loaded or is of another type.
    """

    def __init__(self, checkpoint: str | Path, device: str = "cpu") -> None:
        if checkpoint == WORLD and not _WORLD_FOLDER.is_dir():
            command = f"python -m experiments.tiny_model.dual_encoder --out {_WORLD_FOLDER}"
            raise ConfigError(f"encoder 'world' was not trained on this machine: {command}, or give a checkpoint")
        self._checkpoint, self._device = str(_WORLD_FOLDER if checkpoint == WORLD else checkpoint), device
        try:
            from transformers import AutoConfig
        except ImportError as error:
            raise ConfigError(f"clip models need transformers and torch: {how_to_install('train')}") from error
        try:
            self._config: Any = AutoConfig.from_pretrained(self._checkpoint, trust_remote_code=False)
        except _load_errors() as error:
            reason = first_line(error)
            raise ConfigError(f"encoder {self._checkpoint!r} cannot be loaded ({reason}); give a folder") from error
        if self._config.model_type not in KINDS:
            allowed = f"allowed are {', '.join(KINDS)}"
            raise ConfigError(f"encoder {self._checkpoint!r} is of type {self._config.model_type!r}; {allowed}")

    def __reduce__(self) -> tuple[type["ClipModelEncoder"], tuple[str, str]]:
        return ClipModelEncoder, (self._checkpoint, self._device)

    @property
    def key(self) -> str:
        """Model type with a hash of weights and processor files; for a model of the hub, its id and commit."""
        return self._key

    @property
    def dim(self) -> int:
        """Embedding dimension."""
        return self._dim

    # `ClipEncoder` declares properties, which pyright distinguishes from cached ones.
    @cached_property
    def _key(self) -> str:
        folder = Path(self._checkpoint)
        if not folder.is_dir():
            commit = getattr(self._config, "_commit_hash", None)
            return f"transformers-{SCHEMA}-{self._checkpoint}@{commit}"
        if hub := hub_identity(folder):
            return f"transformers-{SCHEMA}-{hub}"
        digest = hashlib.sha256()
        for path in sorted(it for it in folder.iterdir() if it.suffix in (".json", ".safetensors", ".bin", ".txt")):
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return f"transformers-{SCHEMA}-{self._config.model_type}-{digest.hexdigest()[:32]}"

    @cached_property
    def _dim(self) -> int:
        return len(self.encode_texts([""])[0])

    def encode_frames(self, frames: FrameBatch) -> Vectors:
        """Return float32[N, dim], rows of length 1; X-CLIP takes each frame as a still clip."""
        import torch

        parts: list[Vectors] = []
        if self._config.model_type == XCLIP:
            parts = [self._joint(frame[None])[None] for frame in frames.data]
            return np.concatenate(parts) if parts else np.zeros((0, self.dim), dtype=np.float32)
        model, processor = self._loaded
        for start in range(0, len(frames), _BATCH):
            pictures = list(frames.data[start : start + _BATCH])
            inputs = processor.image_processor(images=pictures, return_tensors="pt").to(self._device)
            with torch.inference_mode():
                parts.append(_unit(model.get_image_features(**inputs)))
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), dtype=np.float32)

    def encode_clip(self, frames: FrameBatch) -> Vectors:
        """Return float32[dim]: of length 1 for X-CLIP, which sees the frames together; else the mean of their vectors.

        X-CLIP takes a fixed number of frames: those at the middles of as many equal parts.
        """
        if self._config.model_type != XCLIP:
            return self.encode_frames(frames).mean(axis=0)
        return self._joint(frames.data)

    def _joint(self, pictures: NDArray[np.uint8]) -> Vectors:
        import torch

        model, processor = self._loaded
        count = int(self._config.vision_config.num_frames)
        rows = ((np.arange(count) + 0.5) * len(pictures) / count).astype(int)
        inputs = processor.image_processor([list(pictures[rows])], return_tensors="pt").to(self._device)
        with torch.inference_mode():
            return _unit(model.get_video_features(**inputs))[0]

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return float32[N, dim], rows of length 1; longer texts are truncated to the model's maximum length."""
        import torch

        model, processor = self._loaded
        length = int(self._config.text_config.max_position_embeddings)
        # SigLIP was trained on texts padded to the full length; for CLIP and X-CLIP the padding is masked.
        inputs = processor.tokenizer(
            list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).to(self._device)
        is_masked = self._config.model_type in ("clip", XCLIP)
        names = ("input_ids", "attention_mask") if is_masked else ("input_ids",)
        with torch.inference_mode():
            return _unit(model.get_text_features(**{name: inputs[name] for name in names}))

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModel, AutoProcessor

        try:
            model: Any = AutoModel.from_pretrained(self._checkpoint, dtype=torch.float32, trust_remote_code=False)
            processor: Any = AutoProcessor.from_pretrained(self._checkpoint, trust_remote_code=False)
        except _load_errors() as error:
            reason = first_line(error)
            raise ConfigError(f"encoder {self._checkpoint!r} cannot be loaded ({reason})") from error
        return model.to(self._device).eval(), processor


def _load_errors() -> tuple[type[Exception], ...]:
    """Return what transformers raises for a checkpoint that is missing, incomplete, damaged or of another class."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    return OSError, ValueError, KeyError, SafetensorError, StrictDataclassError


def _unit(features: Any) -> Vectors:
    """Normalise pooled features to length 1 and convert them to numpy, float32[N, dim]."""
    pooled = getattr(features, "pooler_output", features)
    return (pooled / pooled.norm(dim=-1, keepdim=True)).float().cpu().numpy()
