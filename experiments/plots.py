"""Pictures of a report, as PNG files. Knows rows and series, not where they come from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.metrics import PolicyRow

_INK, _ACCENT, _PALE = "#222222", "#1f6fb4", "#b8c4ce"
_STYLE = {
    "figure.dpi": 130,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _INK,
    "legend.frameon": False,
}


def plot_accuracy(rows: Sequence[PolicyRow], chance: float, path: Path) -> None:
    """Draw each policy's accuracy with its 95 % interval, the first row on top, and the chance line.

    Args:
        rows: Scored policies; those without a scored episode are left out.
        chance: Accuracy of guessing, in `[0, 1]`.
        path: The PNG to write.
    """
    shown = [row for row in rows if row.accuracy is not None and row.ci95 is not None][::-1]
    with rc_context(_STYLE):
        figure = Figure(figsize=(7, 1.2 + 0.42 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(chance, color=_PALE, linestyle="--", linewidth=1.2, label=f"chance {chance:.2f}", zorder=0)
        for height, row in enumerate(shown):
            axes.plot(row.ci95, (height, height), color=_ACCENT, linewidth=2.5, solid_capstyle="butt")
            axes.plot(row.accuracy, height, "o", color=_ACCENT, markersize=7)
            axes.text(1.03, height, f"{row.accuracy:.2f}   n={row.n}", va="center", color=_INK)
        axes.set_yticks(range(len(shown)), [row.policy for row in shown])
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel("accuracy, with 95 % interval over videos")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
        _save(figure, path)


def plot_reward(reward: Sequence[float], terms: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw the mean reward of every GRPO step, a moving mean over five steps, and each reward term.

    Args:
        reward: Mean reward of each step.
        terms: Term name to its mean at each step; a term that equals the reward is not drawn twice.
        path: The PNG to write.
    """
    steps = range(1, len(reward) + 1)
    with rc_context(_STYLE):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(steps, reward, color=_PALE, linewidth=1.2, label="reward")
        axes.plot(steps, moving_mean(reward, 5), color=_ACCENT, linewidth=2.2, label="reward, mean of 5 steps")
        others = [(name, values) for name, values in terms.items() if list(values) != list(reward)]
        for (name, values), style in zip(others, _line_styles(len(others)), strict=True):
            axes.plot(range(1, len(values) + 1), moving_mean(values, 5), color=_INK, linestyle=style, label=name)
        axes.set_xlabel("GRPO step")
        axes.set_ylabel("mean over the rollouts of a step")
        axes.set_xlim(1, max(2, len(reward)))
        axes.legend(loc="best")
        _save(figure, path)


def moving_mean(values: Sequence[float], width: int) -> list[float]:
    """Average each value with up to `width - 1` values before it."""
    windows = (values[max(0, end - width) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]


def _line_styles(count: int) -> list[str]:
    styles = ("--", ":", "-.")
    return [styles[number % len(styles)] for number in range(count)]


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part.png")
    figure.savefig(draft)
    draft.replace(path)
