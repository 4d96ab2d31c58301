"""The official number and the strict one side by side, with what each leaves out.

An official name stands only over a complete set: with questions missing, `Overall` becomes `Overall[1497/1549]`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vt_env.benchmarks.readers.reader import Benchmark
from vt_env.benchmarks.readers.registry import BENCHMARKS
from vt_env.benchmarks.readers.rows import Annotations, Row
from vt_env.benchmarks.scoring.evidence_scores import Grounded, grounded_scores
from vt_env.benchmarks.scoring.official_rules import RULES
from vt_env.benchmarks.scoring.replies import Reply, Status
from vt_env.benchmarks.scoring.verdicts import (
    STRICT,
    Aggregate,
    Number,
    Verdict,
    by_part,
    has_gold,
    macro,
    micro,
    numbers_of,
    official_verdict,
    strict_verdict,
)
from vt_env.benchmarks.scoring.video_mme_groups import by_group_label, grouped, grouped_standalone
from vt_env.errors import ConfigError

MAX_PARTS = 40
"""Divisions with more parts, such as one part a video, are left out of reports."""
_OVERALL, _OTHER = "overall", "other"

Case = tuple[str, str, str]
"""Rule, division or one of the two above, and part."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one rule says about replies."""

    rule: str
    source: str
    """Where the rule comes from."""
    verdicts: Sequence[Verdict]


@dataclass(frozen=True, slots=True)
class RuleScore:
    """What one rule makes of the replies."""

    rule: str
    source: str
    """Where the rule comes from."""
    name: str
    """Name of the number; it says how much is missing unless the set is complete."""
    value: float | None
    """Percent; `None` where nothing counts."""
    ci95: tuple[float, float] | None
    """Cluster bootstrap of the whole number over videos."""
    counted: int
    """Questions in the denominator."""
    correct: int
    guessed: int
    """Questions for which the rule drew an option."""
    status: Mapping[Status, int]
    parts: Mapping[str, Mapping[str, Number]]
    """Division to part to its number."""
    others: Mapping[str, Number]
    """Numbers that stand beside the overall one and are no part of it, such as `Avg Acc` beside a score of groups."""


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """The scores of one run on one split of a benchmark."""

    benchmark: str
    split: str
    questions: int
    """Official number of questions, or those of the annotations where there is none."""
    replied: int
    """Questions with a reply that is no error."""
    official: RuleScore | None
    """`None` where the benchmark has no rule for texts."""
    strict: RuleScore
    grounded: tuple[Grounded, ...] = ()
    """How well what was cited and viewed meets annotated spans; empty where there are none, or where they were given
    away."""
    view: str = ""
    """As `Annotations.view`."""

    @property
    def complete(self) -> bool:
        """Whether every question of the split has a reply."""
        return self.replied == self.questions

    @property
    def shown(self) -> tuple[RuleScore, ...]:
        """The rules in the order of tables, the official one first."""
        return (self.strict,) if self.official is None else (self.official, self.strict)

    def to_json(self) -> dict[str, Any]:
        """Write everything as JSON."""
        return {**asdict(self), "complete": self.complete}


def score(
    annotations: Annotations, replies: Mapping[str, Reply], split: str | None = None, seed: int = 0
) -> Scoreboard:
    """Score replies under the benchmark's official rule and the strict one.

    Args:
        annotations: The benchmark, with its answer key.
        replies: Task id to reply. Those of other tasks are an error, since they mean another benchmark.
        split: Which split; `None` takes the only one that has gold.
        seed: Seed of the guesses that some official rules make, and of the bootstrap.

    Raises:
        ConfigError: There is no such split, or replies belong to no question of it.
    """
    chosen = _split(annotations, split)
    rows = scored_rows(annotations, chosen)
    _check_ids(annotations, replies)
    benchmark = BENCHMARKS[annotations.benchmark]
    known = benchmark.official.get(chosen)
    questions = known.questions if known else len(rows)
    pairs = [(row, replies[row.task_id]) for row in rows if row.task_id in replies]
    judged = judge(benchmark, pairs, seed)
    strict = judged[0].verdicts
    replied = sum(verdict.status is not Status.ERROR for verdict in strict)
    suffix = coverage(replied, questions, len(rows))
    scores = _rule_scores(
        benchmark, judged, f"{benchmark.views.get(annotations.view, benchmark.headline)}{suffix}", seed
    )
    return Scoreboard(
        benchmark=annotations.benchmark,
        split=chosen,
        questions=questions,
        replied=replied,
        official=scores[1] if len(scores) > 1 else None,
        strict=scores[0],
        view=annotations.view,
        # Where the spans were handed over, finding them says nothing.
        grounded=()
        if annotations.view
        else grounded_scores(
            strict,
            {row.task_id: reply.viewed for row, reply in pairs},
            {row.task_id: reply.cited for row, reply in pairs},
            seed,
        ),
    )


def judge(benchmark: Benchmark, pairs: Sequence[tuple[Row, Reply]], seed: int) -> list[Judged]:
    """Judge replies under the strict rule and, where the benchmark has one, its official rule."""
    strict = [strict_verdict(row, reply) for row, reply in pairs]
    judged = [Judged(STRICT, "vt_env.benchmarks.scoring.replies", strict)]
    if benchmark.rule:
        rule = RULES[benchmark.rule]
        official = [official_verdict(row, reply, rule, seed) for row, reply in pairs]
        judged.append(Judged(rule.name, rule.source, official))
    return judged


def coverage(replied: int, questions: int, rows: int) -> str:
    """Return what stands behind an official name unless the set is complete, such as `[1497/1549]`.

    Args:
        replied: Questions with a reply that is no error.
        questions: Official number of questions.
        rows: Questions that the annotations have.
    """
    return "" if replied == questions == rows else f"[{replied}/{questions}]"


def _split(annotations: Annotations, split: str | None) -> str:
    splits = sorted({row.split for row in annotations.rows if has_gold(row)})
    if split is None and len(splits) == 1:
        return splits[0]
    if split not in splits:
        raise ConfigError(f"split={split!r}: {annotations.benchmark} has gold for {splits}")
    return split


def _check_ids(annotations: Annotations, replies: Mapping[str, Reply]) -> None:
    strangers = sorted(replies.keys() - {row.task_id for row in annotations.rows})
    if strangers:
        raise ConfigError(
            f"{len(strangers)} replies, first {strangers[0]!r}, belong to no question of {annotations.benchmark}: "
            "give the annotations that the run was played on"
        )


def headline(benchmark: Benchmark, *, standalone: bool = False) -> Aggregate:
    """Return how a benchmark's overall number is made of verdicts.

    Args:
        benchmark: Which.
        standalone: For Video-MME-v2, as its own script does it, bugs included.
    """
    if benchmark.headline == "M-Avg":
        return macro("task")
    if benchmark.name != "video_mme_v2":
        return micro
    return grouped_standalone if standalone else grouped


def _rule_scores(benchmark: Benchmark, judged: Sequence[Judged], name: str, seed: int) -> list[RuleScore]:
    """Score the verdicts of several rules over the same draws; `name` is that of the overall number."""
    divided = {it.rule: _divided(benchmark, it.verdicts) for it in judged}
    of_parts = grouped if benchmark.name == "video_mme_v2" else micro
    cases: dict[Case, tuple[Aggregate, Sequence[Verdict]]] = {}
    for rule, verdicts in ((it.rule, it.verdicts) for it in judged):
        cases[rule, _OVERALL, ""] = (headline(benchmark, standalone=rule != STRICT), verdicts)
        if benchmark.name == "video_mme_v2":
            cases[rule, _OTHER, "Avg Acc"] = (micro, verdicts)
        for label, parts in divided[rule].items():
            cases |= {(rule, label, part): (of_parts, some) for part, some in parts.items()}
    numbers = numbers_of(cases, seed)
    return [
        RuleScore(
            rule=it.rule,
            source=it.source,
            name=name,
            value=numbers[it.rule, _OVERALL, ""].value,
            ci95=numbers[it.rule, _OVERALL, ""].ci95,
            counted=numbers[it.rule, _OVERALL, ""].n,
            correct=sum(verdict.correct and verdict.counted for verdict in it.verdicts),
            guessed=sum(verdict.guessed for verdict in it.verdicts),
            status=dict(sorted(Counter(verdict.status for verdict in it.verdicts).items())),
            parts={
                label: {part: numbers[it.rule, label, part] for part in some}
                for label, some in divided[it.rule].items()
            },
            others={other: number for (of, kind, other), number in numbers.items() if (of, kind) == (it.rule, _OTHER)},
        )
        for it in judged
    ]


def _divided(benchmark: Benchmark, verdicts: Sequence[Verdict]) -> dict[str, Mapping[str, list[Verdict]]]:
    labels = sorted({label for verdict in verdicts for label in verdict.row.labels})
    by = by_group_label if benchmark.name == "video_mme_v2" else by_part
    divided = {label: by(verdicts, label) for label in labels}
    return {label: parts for label, parts in divided.items() if len(parts) <= MAX_PARTS}


def scored_rows(annotations: Annotations, split: str) -> list[Row]:
    """Return the choices of a split that are scored, in the order of the annotations."""
    return [row for row in annotations.rows if row.split == split and has_gold(row)]
