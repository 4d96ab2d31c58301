"""CG-Bench's clue-acc and CRR, from a run on whole videos and a run on clue intervals alone.

`CRR = min(long-acc, clue-acc) / clue-acc`, the fraction of the clue accuracy that is recovered on whole videos. Both
accuracies cover the questions with a reply in both runs, each with the denominator of its rule: the official one
(f8266087, `run/utils.py`) leaves out unparsed replies, separately in each run. The bootstrap draws the same videos for
both runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vt_env.benchmarks.readers.cgbench import CLUES
from vt_env.benchmarks.readers.registry import BENCHMARKS
from vt_env.benchmarks.readers.rows import Annotations
from vt_env.benchmarks.scoring.replies import Ended, Reply
from vt_env.benchmarks.scoring.scoreboard import RuleScore, Scoreboard, coverage, scored_rows, verdicts_by_rule
from vt_env.benchmarks.scoring.temporal_iou import clue_recovery
from vt_env.benchmarks.scoring.verdicts import Metric, Verdict, micro, percent_interval
from vt_env.errors import ConfigError
from vt_env.stats import Clusters, bootstrap_ci95_of

CRR = "CRR"


def with_clues(
    board: Scoreboard,
    annotations: Annotations,
    replies: Mapping[str, Reply],
    clue_replies: Mapping[str, Reply],
    seed: int = 0,
) -> Scoreboard:
    """Add clue-acc and CRR to the scores of a run on whole videos.

    The official names require a reply to every question in both runs; otherwise they include the coverage.

    Args:
        board: Scores of `replies`.
        annotations: Annotations of the whole-video run.
        replies: Replies of the whole-video run, by task id.
        clue_replies: Replies of the clue-only run, by task id.
        seed: Seed of guesses and bootstrap, equal to the one of `board`.

    Raises:
        ConfigError: The benchmark has no clues, `board` is of a clue-only run, a reply belongs to no question, or no
            question has a reply in both runs.
    """
    benchmark = BENCHMARKS[annotations.benchmark]
    if CLUES not in benchmark.views:
        known = ", ".join(name for name, it in BENCHMARKS.items() if CLUES in it.views)
        raise ConfigError(f"{benchmark.name} has no clue condition, so no {CRR}; {known} have one")
    if board.view:
        raise ConfigError(f"the first run shows the {board.view} alone; {CRR} needs a run on whole videos there")
    unknown = sorted(clue_replies.keys() - {row.task_id for row in annotations.rows})
    if unknown:
        raise ConfigError(
            f"{len(unknown)} replies from clues, first {unknown[0]!r}, belong to no question of {benchmark.name}: "
            "give a run of the same benchmark"
        )
    rows = scored_rows(annotations, board.split)
    in_both = answered_in_both(replies, clue_replies)
    shared = [row for row in rows if row.task_id in in_both]
    if not shared:
        raise ConfigError(f"no question of {benchmark.name} has a reply in both runs; play both on the same questions")
    suffix = coverage(len(shared), board.questions, len(rows))
    name = f"{benchmark.views[CLUES]}{suffix}"
    rule = None if board.official is None else board.official.rule
    whole = verdicts_by_rule(benchmark, [(row, replies[row.task_id]) for row in shared], seed, rule)
    clues = verdicts_by_rule(benchmark, [(row, clue_replies[row.task_id]) for row in shared], seed, rule)
    added = {
        one.rule: {name: metrics[0], f"{CRR}{suffix}": metrics[1]}
        for one, other in zip(whole, clues, strict=True)
        for metrics in (_clue_metrics(one.verdicts, other.verdicts, seed),)
    }
    official = None if board.official is None else _with_others(board.official, added)
    return replace(board, official=official, strict=_with_others(board.strict, added))


def answered_in_both(replies: Mapping[str, Reply], clue_replies: Mapping[str, Reply]) -> set[str]:
    """Return the ids of tasks whose replies in both runs are not errors."""
    ones, others = (
        {task_id for task_id, reply in some.items() if reply.ended is not Ended.ERROR}
        for some in (replies, clue_replies)
    )
    return ones & others


def _with_others(score: RuleScore, added: Mapping[str, Mapping[str, Metric]]) -> RuleScore:
    return replace(score, others={**score.others, **added[score.rule]})


def _clue_metrics(whole: Sequence[Verdict], clues: Sequence[Verdict], seed: int) -> tuple[Metric, Metric]:
    """Return clue-acc and CRR."""
    from_whole, from_clues = micro.parts(whole), micro.parts(clues)
    n = sum(verdict.counted for verdict in clues)
    clue_accuracy = micro(clues)
    if not from_clues or clue_accuracy is None:
        return Metric(0, None), Metric(0, None)
    rng = np.random.default_rng(seed)
    ci95 = bootstrap_ci95_of(from_clues, lambda means_RP: means_RP[:, 0], rng)
    clue_metric = Metric(n, clue_accuracy, _percent(from_clues, ci95))
    whole_accuracy = micro(whole)
    recovered = None if whole_accuracy is None else clue_recovery(whole_accuracy, clue_accuracy)
    if recovered is None:
        return clue_metric, Metric(0, None)
    columns = [*from_whole, *from_clues]
    ci95 = bootstrap_ci95_of(columns, _recovery_of, np.random.default_rng(seed))
    return clue_metric, Metric(n, 100 * recovered, _percent(columns, ci95))


def _recovery_of(means_RP: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64[R], the CRR of each bootstrap draw from float64[R, 2] accuracies; NaN if clue-acc is 0."""
    whole_R, clues_R = means_RP[:, 0], means_RP[:, 1]
    nothing_R = np.full_like(whole_R, np.nan)
    return np.divide(np.minimum(whole_R, clues_R), clues_R, out=nothing_R, where=clues_R > 0)


def _percent(columns: Sequence[Clusters], ci95: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if ci95 is None else percent_interval(columns, ci95)
