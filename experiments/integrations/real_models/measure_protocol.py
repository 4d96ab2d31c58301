"""Measure the protocol in runs of the talks: `python -m experiments.integrations.real_models.measure_protocol RUN...`.

| column | share |
|---|---|
| replies read | replies with a call or an answer that was read, of all replies |
| calls failed | calls that were read and failed (arguments, times, budget), of all calls read |
| looked | episodes with at least one call that succeeded |
| looked, answered | episodes that looked and end with an answer that names an option |
| placeholder | episodes that end with an answer that names no option |
| no answer | episodes that end without an answer |
| right | right answers, of all episodes |
| evidence | episodes in which all or part of the gold evidence was viewed |
| right given evidence | right answers, of these |

Below stand the paired differences from the first run, over the same tasks. Intervals are 95 % cluster bootstraps over
videos (`vt_env.stats`). These are facts about prompt and format. Right answers of a model this small say little about
anything else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from experiments.report.tables import interval
from experiments.runs.read_run import JOURNAL
from vt_env.actions.read_answer import read_answer
from vt_env.episode.trajectory import Trajectory, read_trajectories
from vt_env.errors import ConfigError
from vt_env.markdown import markdown_table
from vt_env.stats import bootstrap_ci95, clustered_by_video, mean
from vt_env.talks.tasks import talk_tasks
from vt_env.types import Interval


@dataclass(frozen=True)
class MeasureRun:
    """Print one line a run, over the tasks that all of them have played."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories of `vt-env eval --tasks talks`; the others are compared with the first."""


@dataclass(frozen=True)
class Protocol:
    """What one episode holds."""

    task_id: str
    video: str
    replies: int
    read: int
    """Replies with a call or an answer that was read."""
    calls: int
    """Calls that were read."""
    failed: int
    looked: bool
    names_option: bool
    """Whether the answer names an option."""
    is_answered: bool
    is_right: bool
    saw_evidence: bool
    tokens_written: int


Measure = tuple[Callable[[Protocol], float], Callable[[Protocol], float]]
"""What is counted in an episode, and of how many."""


def _one(episode: Protocol) -> float:
    return 1.0


def _of_episodes(count: Callable[[Protocol], bool]) -> Measure:
    return count, _one


MEASURES: Mapping[str, Measure] = {
    "replies read": (lambda it: it.read, lambda it: it.replies),
    "calls failed": (lambda it: it.failed, lambda it: it.calls),
    "looked": _of_episodes(lambda it: it.looked),
    "looked, answered": _of_episodes(lambda it: it.looked and it.names_option),
    "placeholder": _of_episodes(lambda it: it.is_answered and not it.names_option),
    "no answer": _of_episodes(lambda it: not it.is_answered),
    "right": _of_episodes(lambda it: it.is_right),
    "evidence": _of_episodes(lambda it: it.saw_evidence),
    "right given evidence": (lambda it: it.is_right and it.saw_evidence, lambda it: it.saw_evidence),
}
"""Columns of the table, as ratios of two sums."""
DIFFERENCES = ("looked", "looked, answered", "placeholder", "right", "evidence")
"""Columns of which paired differences are printed: shares of episodes."""
_PLAIN = ("calls failed", "placeholder", "no answer")
"""Columns without an interval."""


def main(run: MeasureRun) -> None:
    """Print both tables in Markdown.

    Raises:
        ConfigError: A run directory holds no episode, or no task was played by all.
    """
    evidence = {task.item.task_id: task.gold.evidence for task in talk_tasks("test") if task.gold}
    played = {it.name: [measure(one, evidence) for one in _scored(it)] for it in run.runs}
    common = set[str].intersection(*({it.task_id for it in episodes} for episodes in played.values()))
    if not common:
        raise ConfigError(f"{', '.join(map(str, run.runs))}: no task was played by all of them")
    kept = {name: [it for it in episodes if it.task_id in common] for name, episodes in played.items()}
    rows = [share_row(name, episodes) for name, episodes in kept.items()]
    print("\n".join(markdown_table(("wording", "n", "calls", "tokens written", *MEASURES), rows)))
    (first, before), *others = kept.items()
    if others:
        rows = [difference_row(name, episodes, before) for name, episodes in others]
        print("\n".join(["", *markdown_table((f"minus {first}", "n", *DIFFERENCES), rows)]))


def measure(episode: Trajectory, evidence: Mapping[str, Sequence[Interval]]) -> Protocol:
    """Count what an episode holds.

    Args:
        episode: The episode.
        evidence: Gold evidence intervals by task.
    """
    replies = episode.by_reply
    calls = [turn for turn in episode.turns if turn.call is not None]
    answer = episode.answer
    spans = evidence.get(episode.task_id, ())
    return Protocol(
        task_id=episode.task_id,
        video=episode.video_handle,
        replies=len(replies),
        read=sum(all(turn.error != "malformed" for turn in reply) for reply in replies),
        calls=len(calls),
        failed=sum(turn.error is not None for turn in calls),
        looked=any(turn.error is None for turn in calls),
        names_option=answer is not None and read_answer(answer, episode.options).option_idx is not None,
        is_answered=answer is not None,
        is_right=bool(episode.correct),
        saw_evidence=any(it.overlap_s(part) > 0 for turn in episode.turns for it in turn.viewed for part in spans),
        tokens_written=sum(it.completion_tokens or 0 for it in episode.replies),
    )


def share_row(name: str, episodes: Sequence[Protocol]) -> list[str]:
    """Return the cells of a run: means, then shares with their intervals."""
    count = len(episodes)
    means = [sum(it.calls for it in episodes) / count, sum(it.tokens_written for it in episodes) / count]
    return [name, str(count), f"{means[0]:.1f}", f"{means[1]:.0f}", *(_share(episodes, it) for it in MEASURES)]


def difference_row(name: str, episodes: Sequence[Protocol], before: Sequence[Protocol]) -> list[str]:
    """Return the cells of a run against another one on the same tasks: mean differences with their intervals."""
    others = {it.task_id: it for it in before}
    pairs = [(it, others[it.task_id]) for it in episodes]
    return [name, str(len(pairs)), *(_difference(pairs, MEASURES[it][0]) for it in DIFFERENCES)]


def _share(episodes: Sequence[Protocol], name: str) -> str:
    part, whole = MEASURES[name]
    # One row for each unit of the whole, of which the first ones count, so that an episode weighs what it holds.
    rows = [(it.video, it.task_id, float(number < part(it))) for it in episodes for number in range(int(whole(it)))]
    if not rows:
        return "-"
    shown = f"{mean(clustered_by_video(rows)):.2f}" if name in _PLAIN else _estimate(rows, "{:.2f}")
    return shown if whole is _one else f"{shown} of {len(rows)}"


def _difference(pairs: Sequence[tuple[Protocol, Protocol]], count: Callable[[Protocol], float]) -> str:
    return _estimate([(one.video, one.task_id, float(count(one) - count(other))) for one, other in pairs], "{:+.2f}")


def _estimate(rows: Sequence[tuple[str, str, float]], form: str) -> str:
    clusters = clustered_by_video(rows)
    return f"{form.format(mean(clusters))} ({interval(bootstrap_ci95(clusters, np.random.default_rng(0)))})"


def _scored(path: Path) -> list[Trajectory]:
    if not (path / JOURNAL).is_file():
        raise ConfigError(f"{path}: no episode in it yet; give run directories of vt-env eval --tasks talks")
    return [it for it in read_trajectories(path / JOURNAL, skip_torn=True) if it.invalid is None]


if __name__ == "__main__":
    main(tyro.cli(MeasureRun))
