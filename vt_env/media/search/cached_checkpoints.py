"""Dual encoders in the cache of the Hugging Face hub, found by its layout, without network and without importing it."""

import json
import os
from pathlib import Path

KINDS = ("siglip2", "siglip", "clip", "xclip")
"""Model types that can search clips, those preferred by `auto` first.

SigLIP retrieves better than CLIP of its size, and SigLIP 2 better than SigLIP: arXiv 2303.15343 and 2502.14786, tables
of zero-shot retrieval.
"""

_SNAPSHOTS = "snapshots"
_PREFIX = "models--"


def hub_cache() -> Path:
    """Return the folder of the hub's cache: `$HF_HUB_CACHE`, `$HF_HOME/hub`, or `~/.cache/huggingface/hub`."""
    named, home = os.environ.get("HF_HUB_CACHE"), os.environ.get("HF_HOME")
    if named:
        return Path(named)
    return (Path(home) if home else Path.home() / ".cache" / "huggingface") / "hub"


def cached_checkpoints() -> list[Path]:
    """List complete checkpoints that can search clips: their snapshot folders, preferred kinds first, then by name."""
    found: list[tuple[int, str, Path]] = []
    for repo in sorted(hub_cache().glob(f"{_PREFIX}*")):
        commit = repo / "refs" / "main"
        folder = repo / _SNAPSHOTS / commit.read_text().strip() if commit.is_file() else None
        kind = None if folder is None else _kind(folder)
        if folder is not None and kind in KINDS and _is_complete(folder):
            found.append((KINDS.index(kind), repo.name, folder))
    return [folder for *_, folder in sorted(found)]


def hub_identity(folder: Path) -> str | None:
    """Return `OWNER/NAME@COMMIT` of a snapshot folder of the cache; `None` for any other folder."""
    repo = folder.parent.parent.name
    if folder.parent.name != _SNAPSHOTS or not repo.startswith(_PREFIX):
        return None
    return f"{repo.removeprefix(_PREFIX).replace('--', '/')}@{folder.name}"


def _kind(folder: Path) -> str | None:
    try:
        return json.loads((folder / "config.json").read_text())["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        # Repositories without such a file are of other libraries, or were fetched in part.
        return None


def _is_complete(folder: Path) -> bool:
    # Links of the cache may be broken, which `is_file` tells.
    has_weights = any(it.is_file() for pattern in ("*.safetensors", "*.bin") for it in folder.glob(pattern))
    has_images = any((folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json"))
    has_texts = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
    return has_weights and has_images and has_texts
