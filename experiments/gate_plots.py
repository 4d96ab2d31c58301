"""Pictures of the confidence gate: accuracy against cost over thresholds, and calibration."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.plots import ACCENT, INK, PALE, STYLE, save

if TYPE_CHECKING:
    from experiments.sweep import Bin, TauRow


def plot_sweep(rows: "Sequence[TauRow]", path: Path) -> None:
    """Draw accuracy with its 95 % interval against frames an episode, one point a threshold.

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
        named: set[tuple[float, float]] = set()
        for row in rows:
            # Thresholds between which no confidence lies fall on one point.
            if (row.frames, row.accuracy) not in named:
                label = "never direct" if row.tau > 1 else f"tau = {row.tau:g}"
                axes.annotate(label, (row.frames, row.accuracy), (4, 6), textcoords="offset points", color=INK)
            named.add((row.frames, row.accuracy))
        axes.set_xlabel("frames an episode")
        axes.set_ylabel("accuracy, with 95 % interval over videos")
        save(figure, path)


def plot_calibration(bins: "Sequence[Bin]", error: float, n: int, path: Path) -> None:
    """Draw accuracy against confidence; the area of a point is its share of the answers.

    Args:
        bins: Answers of like confidence.
        error: Expected calibration error.
        n: Number of answers.
        path: The PNG to write.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(5, 5), layout="constrained")
        axes = figure.add_subplot()
        axes.plot((0, 1), (0, 1), "--", color=PALE, linewidth=1.2, label="as sure as right", zorder=0)
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
