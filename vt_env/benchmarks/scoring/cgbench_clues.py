"""CG-Bench's clue-acc and CRR: the same questions answered from the whole video and from inside their clues alone.

`CRR = min(long-acc, clue-acc) / clue-acc`, the share of what is answered from the clues that is answered from the whole
video, too. Both accuracies are over the questions that both runs have replied to, each with the denominator of its
rule: the official one (f8266087, `run/utils.py`) leaves out what it cannot read, in each run apart. Intervals draw the
same videos for both runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vt_env.benchmarks.readers.cgbench import CLUES
from vt_env.benchmarks.readers.registry import BENCHMARKS
from vt_env.benchmarks.readers.rows import Annotations
from vt_env.benchmarks.scoring.replies import Ended, Reply
from vt_env.benchmarks.scoring.scoreboard import RuleScore, Scoreboard, coverage, judge, scored_rows
from vt_env.benchmarks.scoring.temporal_iou import clue_recovery
from vt_env.benchmarks.scoring.verdicts import Number, Verdict, micro
from vt_env.errors import ConfigError
from vt_env.stats import bootstrap_ci95_of

CRR = "CRR"


def with_clues(
    board: Scoreboard,
    annotations: Annotations,
    replies: Mapping[str, Reply],
    clue_replies: Mapping[str, Reply],
    seed: int = 0,
) -> Scoreboard:
    """Add clue-acc and CRR to the scores of a run on whole videos.

    The official names stand only where both runs have a reply to every question; otherwise the number of questions
    that both have stands in them.

    Args:
        board: Scores of `replies`.
        annotations: The benchmark, as it was played on whole videos.
        replies: Task id to reply, from the whole video.
        clue_replies: Task id to reply, from the clues alone.
        seed: Seed of the guesses and of the bootstrap, as for the board.

    Raises:
        ConfigError: The benchmark has no clues, the board is of the clues itself, replies belong to no question, or no
            question has a reply in both.
    """
    benchmark = BENCHMARKS[annotations.benchmark]
    if CLUES not in benchmark.views:
        known = ", ".join(name for name, it in BENCHMARKS.items() if CLUES in it.views)
        raise ConfigError(f"{benchmark.name} has no clue condition, so no {CRR}; that is of {known}")
    if board.view:
        raise ConfigError(
            f"these replies were given from the {board.view} alone: {CRR} needs those on whole videos here"
        )
    strangers = sorted(clue_replies.keys() - {row.task_id for row in annotations.rows})
    if strangers:
        raise ConfigError(
            f"{len(strangers)} replies from clues, first {strangers[0]!r}, belong to no question of {benchmark.name}: "
            "give a run of the same benchmark"
        )
    rows = scored_rows(annotations, board.split)
    in_both = answered_in_both(replies, clue_replies)
    shared = [row for row in rows if row.task_id in in_both]
    if not shared:
        raise ConfigError(f"no question of {benchmark.name} has a reply in both runs; play both on the same questions")
    suffix = coverage(len(shared), board.questions, len(rows))
    name = f"{benchmark.views[CLUES]}{suffix}"
    whole = judge(benchmark, [(row, replies[row.task_id]) for row in shared], seed)
    clues = judge(benchmark, [(row, clue_replies[row.task_id]) for row in shared], seed)
    added = {
        one.rule: {name: numbers[0], f"{CRR}{suffix}": numbers[1]}
        for one, other in zip(whole, clues, strict=True)
        for numbers in (_numbers(one.verdicts, other.verdicts, seed),)
    }
    official = None if board.official is None else _with_others(board.official, added)
    return replace(board, official=official, strict=_with_others(board.strict, added))


def answered_in_both(replies: Mapping[str, Reply], clue_replies: Mapping[str, Reply]) -> set[str]:
    """Return the tasks that have a reply in both that is no error."""
    ones, others = (
        {task_id for task_id, reply in some.items() if reply.ended is not Ended.ERROR}
        for some in (replies, clue_replies)
    )
    return ones & others


def _with_others(score: RuleScore, added: Mapping[str, Mapping[str, Number]]) -> RuleScore:
    return replace(score, others={**score.others, **added[score.rule]})


def _numbers(whole: Sequence[Verdict], clues: Sequence[Verdict], seed: int) -> tuple[Number, Number]:
    """Return clue-acc and CRR."""
    from_whole, from_clues = micro.parts(whole), micro.parts(clues)
    n = sum(verdict.counted for verdict in clues)
    clue_accuracy = micro(clues)
    if not from_clues or clue_accuracy is None:
        return Number(0, None), Number(0, None)
    rng = np.random.default_rng(seed)
    ci95 = bootstrap_ci95_of(from_clues, lambda means_RP: means_RP[:, 0], rng)
    clue_number = Number(n, clue_accuracy, _percent(ci95))
    whole_accuracy = micro(whole)
    recovered = None if whole_accuracy is None else clue_recovery(whole_accuracy, clue_accuracy)
    if recovered is None:
        return clue_number, Number(0, None)
    ci95 = bootstrap_ci95_of([*from_whole, *from_clues], _recovery_of, np.random.default_rng(seed))
    return clue_number, Number(n, 100 * recovered, _percent(ci95))


def _recovery_of(means_RP: NDArray[np.float64]) -> NDArray[np.float64]:
    """CRR of every draw, from the accuracies on whole videos and on clues; not a number where the latter is 0."""
    whole_R, clues_R = means_RP[:, 0], means_RP[:, 1]
    nothing_R = np.full_like(whole_R, np.nan)
    return np.divide(np.minimum(whole_R, clues_R), clues_R, out=nothing_R, where=clues_R > 0)


def _percent(ci95: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if ci95 is None else (100 * ci95[0], 100 * ci95[1])
