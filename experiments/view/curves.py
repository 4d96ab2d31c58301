"""Curves of training and evaluation runs for the viewer, read from their metrics and journals."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.runs.read_run import read_metrics

_NO_CURVE = ("step", "elapsed_s", "event", "commit")


def training_curves(path: Path) -> dict[str, list[list[float]]]:
    """Return the numbers of a run over optimiser steps: name to pairs of step and value, in order.

    Nested records, such as the seconds of the parts of a step, become names with a dot. Values that are no finite
    number are left out.

    Raises:
        DataError: A line of the metrics is damaged.
    """
    curves: dict[str, list[list[float]]] = defaultdict(list)
    for row in read_metrics(path):
        step = row.get("step")
        if isinstance(step, int | float) and not isinstance(step, bool):
            for name, value in _numbers(row):
                curves[name].append([float(step), value])
    return {name: points for name, points in sorted(curves.items()) if len(points) > 1}


def rollout_curves(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """Average rows of rollouts by step: accuracy, reward, calls, frames, failed actions, tokens.

    Args:
        rows: With the columns of `EpisodeRow`.
    """
    by_step: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["step"] is not None:
            by_step[row["step"]].append(row)
    curves: dict[str, list[list[float]]] = defaultdict(list)
    for step, own in sorted(by_step.items()):
        scored = [row for row in own if row["outcome"] in ("right", "wrong")]
        if scored:
            right = sum(row["outcome"] == "right" for row in scored)
            curves["rollouts.accuracy"].append([float(step), right / len(scored)])
        for name in ("reward", "calls", "frames", "failed", "tokens"):
            values = [row[name] for row in own if row[name] is not None]
            if values:
                curves[f"rollouts.{name}"].append([float(step), sum(values) / len(values)])
    return dict(curves)


def _numbers(row: Mapping[str, Any], prefix: str = "") -> Sequence[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in row.items():
        if isinstance(value, Mapping):
            found += _numbers(value, f"{prefix}{name}.")
        elif (prefix or name not in _NO_CURVE) and _is_finite(value):
            found.append((f"{prefix}{name}", float(value)))
    return found


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
