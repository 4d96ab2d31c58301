"""Divergences of grounding: what came out differently when captions were replaced by frames."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synth.dataset import GROUNDING_FILE
from vt_env.jsonl import read_jsonl

Key = tuple[str, int]
"""Task id and sample."""


def read_divergences(run: Path) -> Mapping[Key, list[dict[str, Any]]]:
    """Read the divergences of a synthesis by task id and sample: turn, kind, what was expected and what was got.

    Raises:
        DataError: A line is damaged.
    """
    path = run / "dataset" / GROUNDING_FILE
    if not path.exists():
        return {}
    rows = read_jsonl(path, skip_torn=True)
    return {(str(row["task_id"]), int(row["sample"])): list(row["divergences"]) for row in rows}
