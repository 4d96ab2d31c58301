"""All plots of some runs, as numbers. The viewer and the files of a report draw what this computes."""

from collections.abc import Sequence

from experiments.analysis.attempts import RunNumbers
from experiments.analysis.outcome_plots import calibration_plots, cost_plots
from experiments.analysis.series import Plot
from experiments.analysis.training_plots import training_plots


def run_plots(runs: Sequence[RunNumbers], seed: int = 0) -> list[Plot]:
    """Compute training over steps, accuracy against cost, and calibration.

    Args:
        runs: Runs, in the order of the legend.
        seed: Seed of the bootstrap.
    """
    return [*training_plots(runs), *cost_plots(runs, seed), *calibration_plots(runs, seed)]
