"""Coverage of a benchmark by a run, and its scores where the annotations are available.

A score carries its official name only over a complete split and by the official rule; otherwise its coverage is part of
the name. Without the annotations only the coverage is known, from the journal and the authors' counts.
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
    """Coverage and scores of one run on one split."""

    policy: str
    benchmark: str
    split: str
    replied: int
    """Questions whose first attempt ended without an error."""
    questions: int | None
    """Questions of the split by the authors' count; `None` where they give none."""
    board: Scoreboard | None
    """Official and strict scores; `None` where annotations are missing or hide the answers."""
    missing: str
    """Reason for missing scores; empty with scores."""

    @property
    def complete(self) -> bool:
        """Whether every question has a reply."""
        return self.board.complete if self.board is not None else self.replied == self.questions

    @property
    def coverage(self) -> str:
        """Replies over questions, such as `1497/1549`."""
        return f"{self.replied}/{'?' if self.questions is None else self.questions}"

    def to_json(self) -> dict[str, Any]:
        """Return the row in the schema of `report.json`."""
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
    """Score a run on each split of its benchmark; yield nothing for other tasks.

    Args:
        policy: Name of the policy in tables.
        run: The run.
        seed: Seed of guesses and of the bootstrap.
        clues: Clue-only run of the same model, for clue-acc and CRR.
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
    annotations = run.gold.annotations
    if annotations is None or annotations.benchmark != benchmark:
        return None, run.gold.missing or f"the annotations of {benchmark} are not available"
    if not any(row.split == split and has_gold(row) for row in annotations.rows):
        return None, f"the answers of {benchmark}/{split} are hidden; vt-env rescore writes its submission"
    replies = replies_of(_first_attempts(run.path, annotations))
    board = score(annotations, replies, split, seed)
    given = {} if clues is None else replies_of(_first_attempts(clues.path, annotations))
    # An unfinished clue run may share no question with this one.
    return with_clues(board, annotations, replies, given, seed) if answered_in_both(replies, given) else board, ""


def _first_attempts(path: Path, annotations: Annotations) -> Iterator[Any]:
    known = {row.task_id for row in annotations.rows}
    return (it for it in stream_journal(path) if it.sample == 0 and it.task_id in known)
