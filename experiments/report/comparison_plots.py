"""Plots of comparisons and of accuracy against budget, as PNG files in the style of `experiments.report.plots`."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.analysis.budget_curves import Curve
from experiments.analysis.calls_accuracy import CallsPoint
from experiments.analysis.paired_comparison import Comparison
from experiments.report.plots import ACCENT, COLOURS, INK, PALE, STYLE, save
from vt_env.valid_text import printable

_MARKERS = "osD^vPX*"


def plot_discordant(found: Comparison, path: Path) -> None:
    """Draw the discordant questions of each family, and the difference in accuracy with its interval.

    Args:
        found: The comparison.
        path: The PNG to write.
    """
    groups = {"all": found.overall, **(found.families if len(found.families) > 1 else {})}
    names = list(groups)[::-1]
    with rc_context(STYLE):
        figure = Figure(figsize=(8.5, 1.5 + 0.45 * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        shares = {name: (len(it.only_a) / it.n, len(it.only_b) / it.n) for name, it in groups.items()}
        widest = max(0.01, *(share for pair in shares.values() for share in pair))
        for height, name in enumerate(names):
            it, (only_a, only_b) = groups[name], shares[name]
            left.barh(height, only_a, color=ACCENT, height=0.6)
            left.barh(height, -only_b, color=COLOURS[1], height=0.6)
            left.text(only_a + widest * 0.04, height, str(len(it.only_a)), va="center", color=INK)
            left.text(-only_b - widest * 0.04, height, str(len(it.only_b)), va="center", ha="right", color=INK)
            right.plot(it.difference.ci95, (height, height), color=INK, linewidth=2.2, solid_capstyle="butt")
            right.plot(it.difference.mean, height, "o", color=INK, markersize=6)
        left.axvline(0, color=INK, linewidth=0.8)
        left.set_xlim(-1.3 * widest, 1.3 * widest)
        left.set_xticks([])
        left.set_xlabel("share of questions; numbers are counts")
        left.spines[["bottom", "left"]].set_visible(False)
        left.tick_params(left=False)
        left.set_yticks(range(len(names)), [printable(f"{name or 'other'} (n={groups[name].n})") for name in names])
        above = len(names) - 0.35
        left.text(-0.04 * widest, above, f"only {found.b} right", ha="right", color=COLOURS[1])
        left.text(0.04 * widest, above, f"only {found.a} right", color=ACCENT)
        right.axvline(0, color=PALE, linestyle="--", linewidth=1.2, zorder=0)
        right.set_title(f"accuracy of {found.a} - {found.b}", fontsize=10)
        right.set_xlabel("95 % interval over videos")
        save(figure, path)


def plot_budget(curves: Sequence[Curve], unit: str, chance: float, path: Path) -> None:
    """Draw accuracy against budget: one line per policy with its 95 % band, and one marker per run at its mean.

    Args:
        curves: At least one curve.
        unit: Unit of the budget, the label of the axis.
        chance: Accuracy of guessing, in `[0, 1]`.
        path: The PNG to write.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(7, 4.4), layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(chance, color=PALE, linestyle="--", linewidth=1.2, label=f"chance {chance:.2f}", zorder=0)
        most = 1.05 * max(point.spent for curve in curves for point in (*curve.within, *curve.runs))
        for number, curve in enumerate(curves):
            colour, marker = COLOURS[number % len(COLOURS)], _MARKERS[number % len(_MARKERS)]
            spent = [*(point.spent for point in curve.within), most]
            shown = [*curve.within, curve.within[-1]]
            axes.fill_between(
                spent,
                [point.ci95[0] for point in shown],
                [point.ci95[1] for point in shown],
                color=colour,
                alpha=0.13,
                linewidth=0,
                step="post",
            )
            axes.step(spent, [point.accuracy for point in shown], color=colour, linewidth=1.6, where="post")
            means = [point.spent for point in curve.runs]
            axes.plot(means, [point.accuracy for point in curve.runs], color=colour, linewidth=1.2, linestyle=":")
            for point in curve.runs:
                axes.plot((point.spent, point.spent), point.ci95, color=colour, linewidth=2.0, solid_capstyle="butt")
            axes.plot(
                means,
                [point.accuracy for point in curve.runs],
                marker,
                color=colour,
                markersize=7,
                label=f"{curve.policy} (n={curve.runs[0].n})",
            )
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlim(-0.02 * most, most)
        axes.set_xlabel(f"{unit} per episode; lines: accuracy under a limit, markers: means of whole runs")
        axes.set_ylabel("accuracy, with 95 % interval over videos")
        axes.legend(loc="best", fontsize=9)
        save(figure, path)


def plot_calls(points: Sequence[CallsPoint], chance: float, path: Path) -> None:
    """Draw calls against accuracy: one marker a policy, with 95 % intervals over videos in both directions.

    Args:
        points: Policies, in the order of the legend.
        chance: Accuracy of guessing, in `[0, 1]`.
        path: The PNG to write.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(8.5, 1.6 + max(3.2, 0.24 * len(points))), layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(chance, color=PALE, linestyle="--", linewidth=1.2, label=f"chance {chance:.2f}", zorder=0)
        for number, point in enumerate(points):
            colour, marker = COLOURS[number % len(COLOURS)], _MARKERS[number // len(COLOURS) % len(_MARKERS)]
            axes.plot((point.calls, point.calls), point.ci95, color=colour, linewidth=1.6, solid_capstyle="butt")
            axes.plot(point.calls_ci95, (point.accuracy,) * 2, color=colour, linewidth=1.6, solid_capstyle="butt")
            label = printable(f"{point.policy}: {point.accuracy:.2f}, {point.calls:.1f} calls (n={point.n})")
            axes.plot(point.calls, point.accuracy, marker, color=colour, markersize=7, label=label)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlim(left=-0.2)
        axes.set_xlabel("calls an episode; bars: 95 % intervals over videos")
        axes.set_ylabel("accuracy")
        figure.legend(loc="outside right upper", fontsize=8)
        save(figure, path)
