"""Plots of a report, as PNG files, from rows and series alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.analysis.accuracy import FamilyRow, PolicyRow
from vt_env.jsonl import replace_file
from vt_env.valid_text import printable

INK, ACCENT, PALE = "#222222", "#1f6fb4", "#b8c4ce"
COLOURS = ("#1f6fb4", "#d1661f", "#3a8f4d", "#8a5bb5", "#a8323e", "#6b6b6b", "#c2a000", "#2aa5a5")
"""Colours of series, distinguishable with most colour vision deficiencies; markers distinguish them for everybody."""
_PANELS_PER_ROW = 4
STYLE: dict[Any, Any] = {
    "figure.dpi": 130,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "legend.frameon": False,
    # Names of data sets may hold dollar signs; they are texts, no formulas.
    "text.parse_math": False,
}


def plot_accuracy(rows: Sequence[PolicyRow], chance: float, path: Path) -> None:
    """Draw the accuracy of each policy with its 95 % interval, first row on top, and the chance line.

    Args:
        rows: Policies; rows without a scored episode are skipped.
        chance: Accuracy of guessing, in `[0, 1]`.
        path: The PNG to write.
    """
    shown = [
        (row, row.accuracy, row.ci95) for row in reversed(rows) if row.accuracy is not None and row.ci95 is not None
    ]
    with rc_context(STYLE):
        figure = Figure(figsize=(7, 1.2 + 0.42 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(chance, color=PALE, linestyle="--", linewidth=1.2, label=f"chance {chance:.2f}", zorder=0)
        for height, (row, accuracy, ci95) in enumerate(shown):
            axes.plot(ci95, (height, height), color=ACCENT, linewidth=2.5, solid_capstyle="butt")
            axes.plot(accuracy, height, "o", color=ACCENT, markersize=7)
            axes.text(1.03, height, f"{accuracy:.2f}   n={row.n}", va="center", color=INK)
        axes.set_yticks(range(len(shown)), [row.policy for row, *_ in shown])
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel("accuracy, with 95 % interval over videos")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
        save(figure, path)


def plot_groups(
    groups: Mapping[str, Mapping[str, FamilyRow]], chance: float, path: Path, order: Sequence[str] | None = None
) -> None:
    """Draw one panel per question family or video length, with the accuracy and 95 % interval of every policy.

    No file is written without a scored episode.

    Args:
        groups: Groups by policy; the first policy is on top.
        chance: Accuracy of guessing, in `[0, 1]`.
        path: The PNG to write.
        order: Names of the groups in order; alphabetical by default.
    """
    there = {name for row in groups.values() for name in row}
    names = [name for name in order or sorted(there) if name in there]
    if not names:
        return
    policies = list(groups)[::-1]
    across = min(_PANELS_PER_ROW, len(names))
    down = -(-len(names) // across)
    with rc_context(STYLE):
        size = (1.6 + 2.3 * across, (0.9 + 0.3 * len(policies)) * down + 0.4)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, name in zip(panels, names, strict=False):
            axes.axvline(chance, color=PALE, linestyle="--", linewidth=1.2, zorder=0)
            for height, policy in enumerate(policies):
                row = groups[policy].get(name)
                if row is not None:
                    axes.plot(row.ci95, (height, height), color=ACCENT, linewidth=2.2, solid_capstyle="butt")
                    axes.plot(row.accuracy, height, "o", color=ACCENT, markersize=5.5)
            sizes = sorted({groups[policy][name].n for policy in policies if name in groups[policy]})
            between = " to ".join(map(str, dict.fromkeys((sizes[0], sizes[-1]))))
            axes.set_title(printable(f"{name or 'other'}  (n={between})"), fontsize=10)
            axes.set_yticks(range(len(policies)), policies)
            axes.set_xlim(-0.03, 1.03)
            axes.set_xticks((0, 0.5, 1))
            axes.set_ylim(-0.6, len(policies) - 0.4)
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        figure.supxlabel(f"accuracy, with 95 % interval over videos; dashed: chance {chance:.2f}", fontsize=10)
        save(figure, path)


def plot_reward(reward: Sequence[float], terms: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw the mean reward of each GRPO step, its moving mean over five steps, and each reward term.

    Args:
        reward: Mean reward of each step.
        terms: Mean of each reward term at each step; a term equal to the reward is not drawn.
        path: The PNG to write.
    """
    steps = range(1, len(reward) + 1)
    with rc_context(STYLE):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(steps, reward, color=PALE, linewidth=1.2, label="reward")
        axes.plot(steps, moving_mean(reward, 5), color=ACCENT, linewidth=2.2, label="reward, mean of 5 steps")
        others = [(name, values) for name, values in terms.items() if list(values) != list(reward)]
        for (name, values), style in zip(others, _line_styles(len(others)), strict=True):
            axes.plot(range(1, len(values) + 1), moving_mean(values, 5), color=INK, linestyle=style, label=name)
        axes.set_xlabel("GRPO step")
        axes.set_ylabel("mean over the rollouts of a step")
        axes.set_xlim(1, max(2, len(reward)))
        axes.legend(loc="best")
        save(figure, path)


def moving_mean(values: Sequence[float], width: int) -> list[float]:
    """Return the trailing moving mean over up to `width` values."""
    windows = (values[max(0, end - width) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]


def _line_styles(count: int) -> list[str]:
    styles = ("--", ":", "-.")
    return [styles[number % len(styles)] for number in range(count)]


def save(figure: Figure, path: Path) -> None:
    """Write a figure atomically."""
    with replace_file(path) as part:
        figure.savefig(part, format=path.suffix.removeprefix("."))
