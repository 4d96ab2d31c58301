"""Readers of run directories; nothing here writes. The writer is `experiments.runs.run_dir`."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from vt_env.errors import DataError
from vt_env.jsonl import read_jsonl

CONFIG, PROVENANCE, JOURNAL, METRICS = "config.json", "provenance.json", "journal.jsonl", "metrics.jsonl"


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: The file is missing or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: is this a run directory?") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}): restore it or start a new run") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: {type(value).__name__} instead of a JSON object: restore it or start a new run")
    return value


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the metrics of a run directory; an empty list where it has none.

    A torn last line, left by a killed process, is skipped.

    Raises:
        DataError: A line is not JSON.
    """
    metrics = path / METRICS
    if not metrics.exists():
        return []
    # NaN is accepted: a diverged loss must stay readable.
    return list(read_jsonl(metrics, _metric, skip_torn=True, remedy="remove the line and run again"))


def _metric(line: bytes) -> Any:
    try:
        return json.loads(line)
    except RecursionError as error:
        raise ValueError(f"not JSON ({error})") from error


def wall_s(path: Path) -> float:
    """Return the wall time of a run in seconds, summed over the processes that resumed it.

    The last `elapsed_s` of each process counts.
    """
    total, last = 0.0, 0.0
    for line in read_metrics(path):
        if line.get("event") == "opened":
            total += last
        last = line["elapsed_s"]
    return round(total + last, 3)


def drop_how_only(config: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the values of fields marked `vt_env.config.HOW_ONLY`, at any depth.

    Args:
        config: An instance of the dataclass that `values` belongs to.
        values: Field names to values, as kept in `config.json`.
    """
    kept: dict[str, Any] = {}
    for field in fields(config):
        if field.name in values and not field.metadata.get("how_only"):
            inner, value = getattr(config, field.name), values[field.name]
            kept[field.name] = drop_how_only(inner, value) if is_dataclass(inner) else value
    return kept
