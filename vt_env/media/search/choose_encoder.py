"""Choice of the encoder of a video's pictures, by name: `auto`, `none`, `colours`, or a checkpoint.

Encoders of transformers are loaded when the first video needs them.
"""

import os
from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from vt_env.errors import ConfigError, how_to_install, suggest
from vt_env.media.search.cached_checkpoints import cached_checkpoints, hub_identity
from vt_env.media.search.encoders import ClipEncoder, ColourNameEncoder
from vt_env.media.search.transformers_clip import WORLD, ClipModelEncoder
from vt_env.media.terminal import say_once
from vt_env.types import VideoRef

AUTO, NONE, COLOURS = "auto", "none", "colours"
"""Names besides those of checkpoints."""
ENCODER_VARIABLE = "VT_ENV_ENCODER"
"""Environment variable that names the checkpoint of `auto`."""

HOW_TO_SEARCH = "give --encoder OWNER/NAME or a folder of a CLIP, SigLIP or X-CLIP checkpoint (extra train)"
"""Ends every message that pictures are not searched."""


class EncoderChoice:
    """Encoder of the pictures of each video. Picklable by its choice; a copy loads encoders again.

    `auto` is `colours` for videos of the generated world. For others it is the checkpoint that `$VT_ENV_ENCODER` names,
    else the first of `cached_checkpoints`, else none.

    Args:
        choice: A name, an encoder for all videos, or `None` for none.

    Raises:
        ConfigError: The name is unknown, or the checkpoint cannot be loaded.
    """

    def __init__(self, choice: str | ClipEncoder | None) -> None:
        self.choice: str | ClipEncoder = NONE if choice is None else choice
        self._given = load_encoder(self.choice) if isinstance(self.choice, str) else self.choice

    def __reduce__(self) -> tuple[Callable[..., "EncoderChoice"], tuple[str | ClipEncoder]]:
        return EncoderChoice, (self.choice,)

    def encoder_of(self, ref: VideoRef) -> ClipEncoder | None:
        """Return the encoder of a video's pictures; `None` where they are not searched.

        Raises:
            ConfigError: The checkpoint of `auto` cannot be loaded.
        """
        if self.choice != AUTO:
            return self._given
        return self._colours if ref.world else self._found

    @cached_property
    def why_none(self) -> str:
        """Reason why the pictures of a video are not searched, and the remedy."""
        if self.choice == NONE:
            return f"the encoder is {NONE!r}; {HOW_TO_SEARCH}"
        if cached_checkpoints():
            return f"the CLIP models on this machine need transformers and torch: {how_to_install('train')}"
        return f"no CLIP, SigLIP or X-CLIP checkpoint is on this machine; {HOW_TO_SEARCH}"

    @cached_property
    def _colours(self) -> ClipEncoder:
        return ColourNameEncoder()

    @cached_property
    def _found(self) -> ClipEncoder | None:
        named = os.environ.get(ENCODER_VARIABLE)
        if named and named != AUTO:
            return load_encoder(named, f"${ENCODER_VARIABLE}")
        folders = cached_checkpoints()
        if not folders or not (find_spec("transformers") and find_spec("torch")):
            return None
        say_once(
            f"pictures are searched with {hub_identity(folders[0])}, which is on this machine; --encoder changes it"
        )
        return load_encoder(str(folders[0]))


def load_encoder(name: str, setting: str = "encoder") -> ClipEncoder | None:
    """Load an encoder by name or folder; `None` for `none`, and for `auto`, which depends on the video.

    Args:
        name: The name or folder.
        setting: Name of the setting in messages.

    Raises:
        ConfigError: The name is unknown, or the checkpoint cannot be loaded.
    """
    if name in (AUTO, NONE):
        return None
    if name == COLOURS:
        return ColourNameEncoder()
    if name.startswith((".", "/", "~")) and not Path(name).is_dir():
        raise ConfigError(f"{setting}={name!r}: no such folder; {HOW_TO_SEARCH}")
    if name != WORLD and "/" not in name and not Path(name).is_dir():
        names = (AUTO, NONE, COLOURS, WORLD)
        own = f"allowed are {', '.join(names)}, a folder, or OWNER/NAME of a hub"
        raise ConfigError(f"{setting}={name!r}: {own}{suggest(name, names)}")
    return ClipModelEncoder(name)
