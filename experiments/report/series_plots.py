"""Files of the plots that `experiments.analysis.run_plots` computes; the viewer draws the same numbers."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.analysis.series import CALIBRATION, COST, Plot, Series
from experiments.report.plots import COLOURS, PALE, STYLE, save

_ACROSS = 4
_LABEL = 60
"""Most characters of a name in the legend; of longer ones the end is shown, which tells paths apart."""
_MARKERS = "osD^vPX*"


def plot_series(plots: Sequence[Plot], path: Path) -> None:
    """Draw plots as panels of one PNG; no file is written without a plot.

    Args:
        plots: Plots of one group.
        path: The PNG to write.
    """
    if plots:
        with rc_context(STYLE):
            save(figure_of(plots), path)


def figure_of(plots: Sequence[Plot]) -> Figure:
    """Draw at least one plot, each a panel, runs over training seeds as one line; a policy has one colour in all."""
    across = min(_ACROSS, len(plots))
    down = -(-len(plots) // across)
    policies = list(dict.fromkeys(it.policy for plot in plots for it in plot.joined))
    labels = [name if len(name) <= _LABEL else f"...{name[3 - _LABEL :]}" for name in policies]
    width = max(5.0, 3.6 * across + 1.2)
    columns = max(1, min(len(policies), int(width / (0.5 + 0.075 * max(map(len, labels))))))
    size = (width, 2.6 * down + 0.6 + 0.25 * -(-len(policies) // columns))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    marks: dict[str, Artist] = {}
    for axes, plot in zip(panels, plots, strict=False):
        for it in plot.joined:
            number = policies.index(it.policy)
            drawn = _draw(axes, it, COLOURS[number % len(COLOURS)], _MARKERS[number % len(_MARKERS)])
            marks[it.policy] = drawn
        _finish(axes, plot)
    for axes in panels[len(plots) :]:
        axes.set_visible(False)
    figure.legend([marks[it] for it in policies], labels, loc="outside lower center", ncols=columns, fontsize=9)
    return figure


def _finish(axes: Axes, plot: Plot) -> None:
    """Draw what belongs to a plot and not to a series."""
    if plot.group == CALIBRATION:
        axes.plot((0, 1), (0, 1), "--", color=PALE, linewidth=1.2, zorder=0)
        axes.set_xlim(-0.03, 1.03)
        for it in plot.joined:
            for x, y, n in zip(it.x, it.y, it.n, strict=True):
                axes.annotate(str(n), (x, y), (4, 3), textcoords="offset points", fontsize=7)
    if plot.group in (COST, CALIBRATION):
        axes.set_ylim(-0.03, 1.05)
    axes.set_title(plot.title, fontsize=10)
    axes.set_xlabel(plot.x_label, fontsize=9)
    if plot.y_label != plot.title:
        axes.set_ylabel(plot.y_label, fontsize=8)


def _draw(axes: Axes, it: Series, colour: str, marker: str) -> Artist:
    """Draw a series with its intervals; returns what the legend shows."""
    if it.form == "points":
        for x, low, high in zip(it.x, it.low, it.high, strict=True):
            axes.plot((x, x), (low, high), color=colour, linewidth=1.6, solid_capstyle="butt", label="_interval")
        return axes.plot(it.x, it.y, marker, color=colour, markersize=6, label=it.name)[0]
    step = "post" if it.form == "step" else None
    if it.low:
        axes.fill_between(it.x, it.low, it.high, color=colour, alpha=0.15, linewidth=0, step=step)
    style = "steps-post" if step else "default"
    return axes.plot(it.x, it.y, color=colour, linewidth=1.6, drawstyle=style, label=it.name)[0]
