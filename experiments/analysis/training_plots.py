"""Numbers of training over its steps: what a run has logged, and means of its rollouts, with intervals over seeds."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from experiments.analysis.attempts import Attempt, RunNumbers
from experiments.analysis.seed_groups import seed_groups
from experiments.analysis.series import TRAINING, Plot, Series, is_main_metric, rank_of_metric
from vt_env.stats import mean_ci95

Values = Mapping[float, float]
"""Optimiser step to value."""
_NO_CURVE = ("step", "elapsed_s", "event", "commit")
_ROLLOUT_MEANS = ("reward", "calls", "frames", "failed", "tokens")


def training_plots(runs: Sequence[RunNumbers]) -> list[Plot]:
    """Compute one plot for each value that a run has logged over two steps or more, the most wanted first.

    Runs of one policy over training seeds (`seed_groups`) become a mean with its 95 % interval (`mean_ci95`), at the
    steps that all of them have; each run is a series, too.
    """
    values = {run.name: {**logged_values(run.metrics), **rollout_values(run.attempts)} for run in runs}
    groups = seed_groups({run.name: run.config for run in runs})
    plots: list[Plot] = []
    titles = {name for own in values.values() for name, points in own.items() if len(points) > 1}
    for title in sorted(titles, key=lambda name: (rank_of_metric(name), name)):
        series: list[Series] = []
        for name, members in groups.items():
            own = {it: values[it][title] for it in members if title in values[it]}
            joined = _joined(name, own) if len(own) > 1 else None
            series += [joined] if joined else []
            part_of = name if joined else ""
            series += [replace(_single(it, points), part_of=part_of) for it, points in own.items()]
        plots.append(Plot(title, TRAINING, "step", title, series, is_main_metric(title)))
    return plots


def logged_values(metrics: Iterable[Mapping[str, Any]]) -> dict[str, Values]:
    """Return the values of each name in lines of `metrics.jsonl`, by step; of a step that was done twice the last one.

    Nested records, such as the seconds of the parts of a step, become names with a dot. Values that are no finite
    number are left out.
    """
    found: defaultdict[str, dict[float, float]] = defaultdict(dict)
    for row in metrics:
        step = row.get("step")
        if isinstance(step, int | float) and _is_finite(step):
            for name, value in _numbers(row):
                found[name][float(step)] = value
    return {name: dict(sorted(points.items())) for name, points in found.items()}


def rollout_values(attempts: Iterable[Attempt]) -> dict[str, Values]:
    """Average rollouts by step: accuracy, reward, calls, frames, failed actions, tokens written."""
    by_step: defaultdict[int, list[Attempt]] = defaultdict(list)
    for it in attempts:
        if it.step is not None:
            by_step[it.step].append(it)
    found: defaultdict[str, dict[float, float]] = defaultdict(dict)
    for step, own in sorted(by_step.items()):
        scored = [it for it in own if it.is_scored]
        if scored:
            found["rollouts.accuracy"][float(step)] = fmean(it.is_right for it in scored)
        for name in _ROLLOUT_MEANS:
            known = [getattr(it, name) for it in own if getattr(it, name) is not None]
            if known:
                found[f"rollouts.{name}"][float(step)] = fmean(known)
    return dict(found)


def _single(name: str, points: Values) -> Series:
    return Series(name, tuple(points), tuple(points.values()), (), (), (), (name,), policy=name)


def _joined(name: str, own: Mapping[str, Values]) -> Series | None:
    """Average runs at the steps that all of them have; `None` with fewer than two such steps."""
    steps = sorted(set.intersection(*(set(points) for points in own.values())))
    if len(steps) < 2:
        return None
    at_steps = [[points[step] for points in own.values()] for step in steps]
    bounds = [mean_ci95(values) for values in at_steps]
    return Series(
        name=name,
        x=tuple(steps),
        y=tuple(map(fmean, at_steps)),
        low=tuple(low for low, _ in bounds),
        high=tuple(high for _, high in bounds),
        n=(len(own),) * len(steps),
        runs=tuple(own),
        policy=name,
    )


def _numbers(row: Mapping[str, Any], prefix: str = "") -> Sequence[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in row.items():
        if isinstance(value, Mapping):
            found += _numbers(value, f"{prefix}{name}.")
        elif (prefix or name not in _NO_CURVE) and _is_finite(value):
            found.append((f"{prefix}{name}", float(value)))
    return found


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
