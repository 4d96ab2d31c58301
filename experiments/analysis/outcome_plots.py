"""Numbers of finished evaluations: accuracy against cost, and calibration."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.analysis.attempts import Attempt, RunNumbers
from experiments.analysis.budget_curves import UNITS, Curve, curves_of
from experiments.analysis.gate_sweep import bin_of
from experiments.analysis.series import CALIBRATION, COST, Plot, Series
from vt_env.stats import bootstrap_ci95, clustered_by_video

_ACCURACY = "accuracy, 95 % interval over videos"
_COST = "accuracy under a limit; marks: whole runs"


def cost_plots(runs: Sequence[RunNumbers], seed: int = 0) -> list[Plot]:
    """Compute accuracy against frames, calls, tokens and seconds of video, as `experiments.analysis.budget_curves`.

    A policy has two series: its accuracy under each limit, and its whole runs at their mean use. Policies are told
    apart by their tasks where several sets were played. Units in which nothing was used are left out.
    """
    policies: dict[str, dict[str, Sequence[Attempt]]] = defaultdict(dict)
    for name, some in _by_policy(runs).items():
        policies[name] = {run.name: run.attempts for run in some}
    plots: list[Plot] = []
    for unit in UNITS:
        curves = curves_of(policies, unit, seed)
        if any(curve.within[-1].spent for curve in curves):
            series = [it for curve in curves for it in _of_curve(curve)]
            plots.append(Plot(f"accuracy against {unit}", COST, f"{unit} per episode", _COST, series))
    return plots


def calibration_plots(runs: Sequence[RunNumbers], seed: int = 0) -> list[Plot]:
    """Compute accuracy against the confidence of final answers, in ten bins of equal width; empty without confidences.

    The runs of a policy are pooled; intervals resample videos within a bin.
    """
    series: list[Series] = []
    for name, some in _by_policy(runs).items():
        bins: defaultdict[int, list[Attempt]] = defaultdict(list)
        for it in (it for run in some for it in run.attempts):
            if it.is_scored and it.confidence is not None:
                bins[bin_of(it.confidence)].append(it)
        if bins:
            series.append(_of_bins(name, [bins[place] for place in sorted(bins)], [run.name for run in some], seed))
    if not series:
        return []
    return [Plot("calibration of final answers", CALIBRATION, "confidence, mean of a bin", _ACCURACY, series)]


def _by_policy(runs: Sequence[RunNumbers]) -> Mapping[str, list[RunNumbers]]:
    played = [run for run in runs if run.kind == "eval" and any(it.is_scored for it in run.attempts)]
    is_one_set = len({run.task_set for run in played}) == 1
    policies: defaultdict[str, list[RunNumbers]] = defaultdict(list)
    for run in played:
        policies[run.policy if is_one_set else f"{run.policy}, {run.task_set}"].append(run)
    return policies


def _of_curve(curve: Curve) -> list[Series]:
    runs = tuple(point.label for point in curve.runs)
    limits = (f"{curve.policy}, under a limit", curve.within, "step")
    found: list[Series] = []
    for name, points, form in (limits, (f"{curve.policy}, whole runs", curve.runs, "points")):
        found.append(
            Series(
                name=name,
                x=tuple(it.spent for it in points),
                y=tuple(it.accuracy for it in points),
                low=tuple(it.ci95[0] for it in points),
                high=tuple(it.ci95[1] for it in points),
                n=tuple(it.n for it in points),
                runs=runs,
                form=form,
                policy=curve.policy,
            )
        )
    return found


def _of_bins(name: str, bins: Sequence[Sequence[Attempt]], runs: Sequence[str], seed: int) -> Series:
    columns = [clustered_by_video((it.video, it.task_id, float(it.is_right)) for it in held) for held in bins]
    bounds = [bootstrap_ci95(column, np.random.default_rng(seed)) for column in columns]
    return Series(
        name=name,
        x=tuple(float(np.mean([it.confidence for it in held if it.confidence is not None])) for held in bins),
        y=tuple(float(np.mean([it.is_right for it in held])) for held in bins),
        low=tuple(low for low, _ in bounds),
        high=tuple(high for _, high in bounds),
        n=tuple(len(held) for held in bins),
        runs=tuple(runs),
        form="points",
        policy=name,
    )
