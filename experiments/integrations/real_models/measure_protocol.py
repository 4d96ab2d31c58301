"""Measure the protocol in runs of the talks: `python -m experiments.integrations.real_models.measure_protocol RUN...`.

| column | share |
|---|---|
| calls read | replies with a call or an answer that was read, of all replies |
| failed | calls that were read and failed (arguments, times, budget), of all calls read |
| looked | episodes with at least one call that succeeded |
| placeholder | episodes that end with an answer that names no option |
| no answer | episodes that end without an answer |
| right | right answers, of all episodes |
| evidence | episodes in which all or part of the gold evidence was viewed |
| right given evidence | right answers, of these |

These are facts about prompt and format. Right answers of a model this small say little about anything else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.runs.read_run import JOURNAL
from vt_env.actions.read_answer import read_answer
from vt_env.episode.trajectory import Trajectory, read_trajectories
from vt_env.errors import ConfigError
from vt_env.markdown import markdown_table
from vt_env.talks.tasks import talk_tasks
from vt_env.types import Interval

COLUMNS = (
    "wording", "n", "calls read", "failed", "looked", "calls", "placeholder", "no answer", "right", "evidence",
    "right given evidence",
)  # fmt: skip


@dataclass(frozen=True)
class MeasureRun:
    """Print one line a run, over the tasks that all of them have played."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run directories of `vt-env eval --tasks talks`."""


@dataclass(frozen=True)
class Protocol:
    """Counts of one run."""

    episodes: int = 0
    replies: int = 0
    read: int = 0
    """Replies with a call or an answer that was read."""
    calls: int = 0
    """Calls that were read."""
    failed: int = 0
    looked: int = 0
    placeholders: int = 0
    unanswered: int = 0
    right: int = 0
    saw_evidence: int = 0
    right_with_evidence: int = 0

    def row(self, name: str) -> list[str]:
        """Return the cells of the table."""
        return [
            name,
            str(self.episodes),
            _share(self.read, self.replies),
            _share(self.failed, self.calls),
            _share(self.looked, self.episodes),
            f"{self.calls / max(1, self.episodes):.1f}",
            _share(self.placeholders, self.episodes),
            _share(self.unanswered, self.episodes),
            _share(self.right, self.episodes),
            _share(self.saw_evidence, self.episodes),
            f"{_share(self.right_with_evidence, self.saw_evidence)} (n = {self.saw_evidence})",
        ]


def main(run: MeasureRun) -> None:
    """Print the table in Markdown.

    Raises:
        ConfigError: A run directory holds no episode.
    """
    played = [_scored(path) for path in run.runs]
    common = set.intersection(*({it.task_id for it in episodes} for episodes in played))
    rows = [
        measure([it for it in episodes if it.task_id in common]).row(path.name)
        for path, episodes in zip(run.runs, played, strict=True)
    ]
    print("\n".join(markdown_table(COLUMNS, rows)))


def measure(episodes: Sequence[Trajectory]) -> Protocol:
    """Count what the episodes of one run hold."""
    spans = {task.item.task_id: task.gold.evidence for task in talk_tasks("test") if task.gold}
    replies = [reply for episode in episodes for reply in episode.by_reply]
    calls = [turn for episode in episodes for turn in episode.turns if turn.call is not None]
    saw = [it for it in episodes if _saw(it, spans.get(it.task_id, ()))]
    return Protocol(
        episodes=len(episodes),
        replies=len(replies),
        read=sum(all(turn.error != "malformed" for turn in reply) for reply in replies),
        calls=len(calls),
        failed=sum(turn.error is not None for turn in calls),
        looked=sum(any(it.call is not None and it.error is None for it in one.turns) for one in episodes),
        placeholders=sum(_is_placeholder(it) for it in episodes),
        unanswered=sum(it.answer is None for it in episodes),
        right=sum(bool(it.correct) for it in episodes),
        saw_evidence=len(saw),
        right_with_evidence=sum(bool(it.correct) for it in saw),
    )


def _scored(path: Path) -> list[Trajectory]:
    if not (path / JOURNAL).is_file():
        raise ConfigError(f"{path}: no episode in it yet; give run directories of vt-env eval --tasks talks")
    return [it for it in read_trajectories(path / JOURNAL, skip_torn=True) if it.invalid is None]


def _is_placeholder(episode: Trajectory) -> bool:
    return episode.answer is not None and read_answer(episode.answer, episode.options).option_idx is None


def _saw(episode: Trajectory, evidence: Sequence[Interval]) -> bool:
    return any(span.overlap_s(part) > 0 for turn in episode.turns for span in turn.viewed for part in evidence)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "-"


if __name__ == "__main__":
    main(tyro.cli(MeasureRun))
