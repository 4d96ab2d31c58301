"""Checkpoints of transformers' trainers: find the newest whole one, and read its weights into a model.

Transformers and torch are imported where they are used.
"""

import json
from pathlib import Path
from typing import Any

_STATE = "trainer_state.json"


def newest_checkpoint(folder: Path) -> str | None:
    """Return the newest whole checkpoint in a folder; the trainer's state is the last file that is written of one."""
    whole = [it.parent for it in folder.glob(f"checkpoint-*/{_STATE}") if _is_json(it)]
    newest = max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)
    return None if newest is None else str(newest)


def epochs_done(checkpoint: str) -> int:
    """Return the whole passes over the training set that a trainer had done when it wrote a checkpoint."""
    state = json.loads(Path(checkpoint, _STATE).read_text())
    return int(state["epoch"] or 0)


def restore_weights(model: Any, checkpoint: str) -> None:
    """Read the weights of a trainer's checkpoint into the model that it was saved from.

    `transformers.Trainer` (5.19) reads the file by the names that weights have in memory and skips the others. On disk
    Qwen2.5-VL's have other names, so most of a resumed model would keep the weights that it began with.
    `from_pretrained` translates the names.

    Args:
        model: A `transformers.PreTrainedModel`; it is changed in place.
        checkpoint: Folder of the checkpoint.

    Raises:
        RuntimeError: The checkpoint lacks a weight of the model.
    """
    from transformers import AutoModelForImageTextToText

    saved = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=model.dtype, trust_remote_code=False)
    own = model.state_dict()
    # Pretraining puts stored features in the tower's place: its checkpoints hold no tower, so none is read.
    model.load_state_dict({name: value for name, value in saved.state_dict().items() if name in own})


def _is_json(path: Path) -> bool:
    # A process that is killed while it writes leaves half a file.
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True
