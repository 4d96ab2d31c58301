"""How much of a benchmark a run has played, and its scores where the annotations are at hand.

A number takes its official name only over a complete set and by the official rule; otherwise its coverage stands in the
name. Without the annotations only the coverage is known, from the ids in the journal and the authors' counts.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.analysis.episode_facts import EpisodeFacts, stream_journal
from experiments.analysis.finished_run import FinishedRun
from vt_env.benchmarks.readers.registry import BENCHMARKS
from vt_env.benchmarks.readers.rows import Annotations
from vt_env.benchmarks.scoring.cgbench_clues import answered_in_both, with_clues
from vt_env.benchmarks.scoring.replies import Status, replies_of
from vt_env.benchmarks.scoring.scoreboard import Scoreboard, score
from vt_env.benchmarks.scoring.verdicts import has_gold


@dataclass(frozen=True)
class BenchmarkRow:
    """One run on one split of a benchmark."""

    policy: str
    benchmark: str
    split: str
    replied: int
    """Questions with a reply that is no error, in the first attempt."""
    questions: int | None
    """By the authors' count; `None` where there is none."""
    board: Scoreboard | None
    """Official and strict scores; `None` where the annotations are not at hand or hide the answers."""
    missing: str
    """Why there are no scores."""

    @property
    def complete(self) -> bool:
        """Whether every question has a reply."""
        return self.board.complete if self.board is not None else self.replied == self.questions

    @property
    def coverage(self) -> str:
        """`1497/1549`."""
        return f"{self.replied}/{'?' if self.questions is None else self.questions}"

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON."""
        return {
            "policy": self.policy,
            "benchmark": self.benchmark,
            "split": self.split,
            "replied": self.replied,
            "questions": self.questions,
            "complete": self.complete,
            "missing": self.missing,
            "scores": None if self.board is None else self.board.to_json(),
        }


def benchmark_rows(
    policy: str, run: FinishedRun, seed: int = 0, clues: FinishedRun | None = None
) -> Iterator[BenchmarkRow]:
    """Score a run on each split of the benchmark it was played on; nothing where it was played on none.

    Args:
        policy: Its name in tables.
        run: The run.
        seed: Seed of guesses and of the bootstrap.
        clues: The run from the clues alone that belongs to it, for clue-acc and CRR.
    """
    splits: defaultdict[tuple[str, str], list[EpisodeFacts]] = defaultdict(list)
    for it in run.facts:
        benchmark = it.task_id.partition("/")[0]
        if benchmark in BENCHMARKS and it.sample == 0:
            splits[benchmark, it.split].append(it)
    for (benchmark, split), facts in sorted(splits.items()):
        known = BENCHMARKS[benchmark].official.get(split)
        board, missing = _board(run, benchmark, split, seed, clues)
        replied = sum(it.status != Status.ERROR for it in facts)
        yield BenchmarkRow(policy, benchmark, split, replied, known.questions if known else None, board, missing)


def _board(
    run: FinishedRun, benchmark: str, split: str, seed: int, clues: FinishedRun | None
) -> tuple[Scoreboard | None, str]:
    annotations = run.key.annotations
    if annotations is None or annotations.benchmark != benchmark:
        return None, run.key.missing or f"the annotations of {benchmark} are not at hand"
    if not any(row.split == split and has_gold(row) for row in annotations.rows):
        return None, f"the answers of {benchmark}/{split} are hidden; vt-env rescore writes its submission"
    replies = replies_of(_first_attempts(run.path, annotations))
    board = score(annotations, replies, split, seed)
    given = {} if clues is None else replies_of(_first_attempts(clues.path, annotations))
    # A clue run that has only just begun may share no question with this one yet.
    return with_clues(board, annotations, replies, given, seed) if answered_in_both(replies, given) else board, ""


def _first_attempts(path: Path, annotations: Annotations) -> Iterator[Any]:
    known = {row.task_id for row in annotations.rows}
    return (it for it in stream_journal(path) if it.sample == 0 and it.task_id in known)
