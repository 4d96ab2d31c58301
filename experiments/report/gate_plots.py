"""Plots of the confidence gate: accuracy against cost over thresholds, and calibration."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.analysis.gate_sweep import CalibrationBin, ThresholdRow
from experiments.report.plots import ACCENT, INK, PALE, STYLE, save

_LABEL_SHARE = 0.09
"""Size of a label as a share of both axes."""


def plot_sweep(rows: Sequence[ThresholdRow], path: Path) -> None:
    """Draw accuracy with its 95 % interval against frames per episode, one point per threshold.

    Args:
        rows: Thresholds in rising order.
        path: The PNG to write.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        frames, accuracy = [row.frames for row in rows], [row.accuracy for row in rows]
        axes.plot(frames, accuracy, "-", color=PALE, linewidth=1.5, zorder=1)
        for row in rows:
            axes.plot((row.frames, row.frames), row.ci95, color=PALE, linewidth=1, zorder=0)
        axes.plot(frames, accuracy, "o", color=ACCENT, markersize=6, zorder=2)
        for row in _apart(rows):
            # The curve rises: there is room below it on the right, and above its end on the left.
            label, beside, ha = f"tau = {row.tau:g}", (7, -11), "left"
            if row.tau > 1:
                label, beside, ha = "never direct", (4, 24), "right"
            place = (row.frames, row.accuracy)
            axes.annotate(label, place, beside, textcoords="offset points", ha=ha, color=INK)
        axes.set_xlabel("frames per episode")
        axes.set_ylabel("accuracy, with 95 % interval over videos")
        save(figure, path)


def _apart(rows: Sequence[ThresholdRow]) -> list[ThresholdRow]:
    """Choose thresholds with room for a label: the last, then each that is far enough from those chosen."""
    ranges = [
        max(values) - min(values) or 1.0 for values in zip(*((it.frames, it.accuracy) for it in rows), strict=True)
    ]

    def is_near(one: ThresholdRow, other: ThresholdRow) -> bool:
        steps = (abs(one.frames - other.frames), abs(one.accuracy - other.accuracy))
        return all(step < _LABEL_SHARE * size for step, size in zip(steps, ranges, strict=True))

    chosen = [rows[-1]]
    for row in rows[:-1]:
        if not any(is_near(row, it) for it in chosen):
            chosen.append(row)
    return chosen


def plot_calibration(bins: Sequence[CalibrationBin], error: float, n: int, path: Path) -> None:
    """Draw accuracy against confidence; the area of a point is its share of the answers.

    Args:
        bins: Bins of confidence.
        error: Expected calibration error.
        n: Number of answers.
        path: The PNG to write.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(5, 5), layout="constrained")
        axes = figure.add_subplot()
        axes.plot((0, 1), (0, 1), "--", color=PALE, linewidth=1.2, label="perfect calibration", zorder=0)
        sizes = [20 + 800 * it.n / n for it in bins]
        axes.scatter([it.confidence for it in bins], [it.accuracy for it in bins], s=sizes, color=ACCENT, alpha=0.8)
        for it in bins:
            axes.annotate(f"n={it.n}", (it.confidence, it.accuracy), (8, -12), textcoords="offset points", color=INK)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("confidence of the answer, mean of a bin")
        axes.set_ylabel("accuracy")
        axes.set_title(f"{n} answers, expected calibration error {error:.3f}", fontsize=10)
        axes.legend(loc="upper left")
        save(figure, path)
