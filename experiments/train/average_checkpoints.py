"""Mean of the weights of checkpoints: `vt-env grpo --average-last N` writes it beside the last model.

Each weight is the arithmetic mean of that weight over the checkpoints, summed in fp64 and rounded once (checkpoint
averaging, as in Vaswani et al., arXiv 1706.03762, section 6.1).
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vt_env.errors import DataError

WEIGHTS = "*.safetensors"


def last_checkpoints(folder: Path, count: int) -> list[Path]:
    """Return the newest `count` checkpoints of a trainer, the oldest first; all if there are fewer."""
    found = [it for it in folder.glob("checkpoint-*") if it.name.rpartition("-")[2].isdecimal()]
    return sorted(found, key=lambda it: int(it.name.rpartition("-")[2]))[-count:]


def average_checkpoints(checkpoints: Sequence[Path], like: Path, out: Path) -> None:
    """Write a checkpoint with the mean weights.

    Args:
        checkpoints: Folders with the weights of one model in safetensors files of the same names.
        like: Checkpoint of the same model, whose other files (configuration, processor, prompts) are copied.
        out: Folder to write; it must not exist.

    Raises:
        DataError: There is no checkpoint, or they do not hold the same weights.
    """
    if not checkpoints:
        raise DataError(f"{out}: no checkpoint to average; give one or more")
    files = [it.name for it in sorted(checkpoints[0].glob(WEIGHTS))]
    for it in checkpoints:
        if not files or [own.name for own in sorted(it.glob(WEIGHTS))] != files:
            raise DataError(
                f"{it}: {sorted(own.name for own in it.glob(WEIGHTS)) or 'no'} weights in safetensors, "
                f"{checkpoints[0].name} has {files}; checkpoints of one model on one machine can be averaged"
            )
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(like, draft, ignore=shutil.ignore_patterns(WEIGHTS, "*.index.json"))
    for index in checkpoints[-1].glob("*.index.json"):
        shutil.copy(index, draft)
    for name in files:
        _average_file([it / name for it in checkpoints], draft / name)
    draft.rename(out)


def _average_file(paths: Sequence[Path], out: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    first = load_file(paths[0])
    sums: dict[str, Any] = {name: weight.to(torch.float64) for name, weight in first.items()}
    for path in paths[1:]:
        weights = load_file(path)
        if {name: it.shape for name, it in weights.items()} != {name: it.shape for name, it in first.items()}:
            raise DataError(f"{path}: other weights than {paths[0]}; average checkpoints of one model")
        for name, weight in weights.items():
            sums[name] += weight
    means = {name: (total / len(paths)).to(first[name].dtype) for name, total in sums.items()}
    save_file(means, out, metadata={"format": "pt"})
