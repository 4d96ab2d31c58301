"""Scoreboard: the scores of a run under the official and the strict rule, with denominators and statuses.

An official metric name requires a complete set: with questions missing, `Overall` becomes `Overall[1497/1549]`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vt_env.benchmarks.readers.reader import Benchmark
from vt_env.benchmarks.readers.registry import BENCHMARKS
from vt_env.benchmarks.readers.rows import Annotations, Row
from vt_env.benchmarks.scoring.evidence_scores import SpanScores, span_scores
from vt_env.benchmarks.scoring.official_rules import STANDALONE, Rule, rule_of
from vt_env.benchmarks.scoring.replies import Reply, Status
from vt_env.benchmarks.scoring.verdicts import (
    STRICT,
    Aggregate,
    Metric,
    Verdict,
    by_part,
    has_gold,
    macro,
    metrics_of,
    micro,
    official_verdict,
    strict_verdict,
)
from vt_env.benchmarks.scoring.video_mme_groups import by_group_label, by_position_label, grouped, grouped_standalone
from vt_env.errors import ConfigError

MAX_PARTS = 40
"""Maximum number of values of a reported label; a label with one value per video is left out."""
NOTED_DIFFERENCE = 2.0
"""Difference of the official and the strict score, in points, from which a board says that they differ."""
_OVERALL, _OTHER = "overall", "other"

MetricKey = tuple[str, str, str]
"""Rule, label (or `_OVERALL`, `_OTHER`), and part."""


@dataclass(frozen=True, slots=True)
class RuleVerdicts:
    """Verdicts of one rule."""

    rule: str
    source: str
    """Source of the rule."""
    verdicts: Sequence[Verdict]


@dataclass(frozen=True, slots=True)
class RuleScore:
    """Scores under one rule."""

    rule: str
    source: str
    """Source of the rule."""
    name: str
    """Metric name, with the coverage if the set is incomplete."""
    value: float | None
    """Overall score in percent; `None` if no question counts."""
    ci95: tuple[float, float] | None
    """95 % interval of `value`, by cluster bootstrap over videos; `None` over a single video."""
    counted: int
    """Questions in the denominator."""
    correct: int
    guessed: int
    """Questions for which the rule drew an option."""
    status: Mapping[Status, int]
    parts: Mapping[str, Mapping[str, Metric]]
    """Metrics by label and part."""
    others: Mapping[str, Metric]
    """Further metrics of the whole set, such as `Avg Acc` in a benchmark with group scores."""


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """Scores of one run on one split of a benchmark."""

    benchmark: str
    split: str
    questions: int
    """Official number of questions; without one, the number of annotated ones."""
    replied: int
    """Questions whose reply is not an error."""
    official: RuleScore | None
    """`None` if the benchmark has no official rule for texts."""
    strict: RuleScore
    grounded: tuple[SpanScores, ...] = ()
    """Grounding scores of cited and viewed spans; empty without annotated spans, and under a view that reveals them."""
    view: str = ""
    """View of the annotations, as `Annotations.view`."""

    @property
    def complete(self) -> bool:
        """Whether every question of the split has a reply."""
        return self.replied == self.questions

    @property
    def rules(self) -> tuple[RuleScore, ...]:
        """Scores in the order of tables, the official rule first."""
        return (self.strict,) if self.official is None else (self.official, self.strict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers has to know, one line each."""
        found: list[str] = []
        if self.strict.value is not None and self.strict.ci95 is None:
            found.append("No intervals: all replies are about one video.")
        rules = [it for it in self.rules if it.value is not None]
        if len(rules) > 1 and abs((rules[0].value or 0) - (rules[1].value or 0)) > NOTED_DIFFERENCE:
            given = [f"{it.rule} gives {it.value:.1f} of {it.counted} replies" for it in rules]
            found.append(f"{', '.join(given)}: read some of the replies before you report a number.")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Convert the scoreboard to JSON values."""
        return {**asdict(self), "complete": self.complete}


def score(
    annotations: Annotations,
    replies: Mapping[str, Reply],
    split: str | None = None,
    seed: int = 0,
    rule: str | None = None,
) -> Scoreboard:
    """Score replies under the benchmark's official rule, or another one of `official_rules`, and the strict rule.

    Args:
        annotations: The benchmark, with gold answers.
        replies: Replies by task id. An unknown task id is an error, since it indicates another benchmark.
        split: The split; `None` means the only one with gold answers.
        seed: Seed of the bootstrap, and of the guesses of some official rules.
        rule: Name of a rule in place of the official one, such as `lmms_eval@mcq_extract`.

    Raises:
        ConfigError: The rule is unknown or does not score this benchmark, the split is unknown or ambiguous, or a reply
            belongs to no question of the benchmark.
    """
    chosen = _split(annotations, split)
    rows = scored_rows(annotations, chosen)
    _check_ids(annotations, replies)
    benchmark = BENCHMARKS[annotations.benchmark]
    known = benchmark.official.get(chosen)
    questions = known.questions if known else len(rows)
    pairs = [(row, replies[row.task_id]) for row in rows if row.task_id in replies]
    judged = verdicts_by_rule(benchmark, pairs, seed, rule)
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
        # Under a view that shows only the evidence, finding it is no achievement.
        grounded=()
        if annotations.view
        else span_scores(strict, _official_verdicts(benchmark, pairs, judged, seed), replies, seed),
    )


def verdicts_by_rule(
    benchmark: Benchmark, pairs: Sequence[tuple[Row, Reply]], seed: int, rule: str | None = None
) -> list[RuleVerdicts]:
    """Return the verdicts under the strict rule, followed by those under `rule`, or the official one if there is."""
    strict = [strict_verdict(row, reply) for row, reply in pairs]
    judged = [RuleVerdicts(STRICT, "vt_env.benchmarks.scoring.replies", strict)]
    chosen = _rule(benchmark, rule)
    if chosen is not None:
        official = [official_verdict(row, reply, chosen, seed) for row, reply in pairs]
        judged.append(RuleVerdicts(chosen.name, chosen.source, official))
    return judged


def _official_verdicts(
    benchmark: Benchmark, pairs: Sequence[tuple[Row, Reply]], judged: Sequence[RuleVerdicts], seed: int
) -> Sequence[Verdict]:
    """Return the verdicts of the official rule whichever rule was asked for; the strict ones if there is none."""
    known = {it.rule: it for it in judged}
    wanted = benchmark.rule or STRICT
    return (known[wanted] if wanted in known else verdicts_by_rule(benchmark, pairs, seed)[-1]).verdicts


def _rule(benchmark: Benchmark, name: str | None) -> Rule | None:
    chosen = name or benchmark.rule
    return rule_of(chosen, benchmark.name) if chosen else None


def coverage(replied: int, questions: int, rows: int) -> str:
    """Return the suffix of the metric name of an incomplete set, such as `[1497/1549]`; empty for a complete one.

    Args:
        replied: Questions whose reply is not an error.
        questions: Official number of questions.
        rows: Annotated questions.
    """
    return "" if replied == questions == rows else f"[{replied}/{questions}]"


def _split(annotations: Annotations, split: str | None) -> str:
    splits = sorted({row.split for row in annotations.rows if has_gold(row)})
    if split is None and len(splits) == 1:
        return splits[0]
    if split not in splits:
        raise ConfigError(f"split={split!r}: {annotations.benchmark} has gold answers for {splits}; give one of them")
    return split


def _check_ids(annotations: Annotations, replies: Mapping[str, Reply]) -> None:
    unknown = sorted(replies.keys() - {row.task_id for row in annotations.rows})
    if unknown:
        raise ConfigError(
            f"{len(unknown)} replies, first {unknown[0]!r}, belong to no question of {annotations.benchmark}: "
            "give the annotations that the run was played on"
        )


def headline(benchmark: Benchmark, *, standalone: bool = False) -> Aggregate:
    """Return the aggregate of a benchmark's overall score.

    Args:
        benchmark: The benchmark.
        standalone: For Video-MME-v2, reproduce its standalone script, bugs included.
    """
    if benchmark.headline == "M-Avg":
        return macro("task")
    if benchmark.name != "video_mme_v2":
        return micro
    return grouped_standalone if standalone else grouped


def _rule_scores(benchmark: Benchmark, judged: Sequence[RuleVerdicts], name: str, seed: int) -> list[RuleScore]:
    """Score the verdicts of several rules over the same bootstrap draws; `name` is the overall metric name."""
    divided = {it.rule: _divided(benchmark, it) for it in judged}
    cases: dict[MetricKey, tuple[Aggregate, Sequence[Verdict]]] = {}
    for rule, verdicts in ((it.rule, it.verdicts) for it in judged):
        whole = headline(benchmark, standalone=rule == STANDALONE)
        of_parts = whole if benchmark.name == "video_mme_v2" else micro
        cases[rule, _OVERALL, ""] = (whole, verdicts)
        if benchmark.name == "video_mme_v2":
            cases[rule, _OTHER, "Avg Acc"] = (micro, verdicts)
        for label, parts in divided[rule].items():
            cases |= {(rule, label, part): (of_parts, some) for part, some in parts.items()}
    metrics = metrics_of(cases, seed)
    return [
        RuleScore(
            rule=it.rule,
            source=it.source,
            name=name,
            value=metrics[it.rule, _OVERALL, ""].value,
            ci95=metrics[it.rule, _OVERALL, ""].ci95,
            counted=metrics[it.rule, _OVERALL, ""].n,
            correct=sum(verdict.correct and verdict.counted for verdict in it.verdicts),
            guessed=sum(verdict.guessed for verdict in it.verdicts),
            status=dict(sorted(Counter(verdict.status for verdict in it.verdicts).items())),
            parts={
                label: {part: metrics[it.rule, label, part] for part in some}
                for label, some in divided[it.rule].items()
            },
            others={other: metric for (of, kind, other), metric in metrics.items() if (of, kind) == (it.rule, _OTHER)},
        )
        for it in judged
    ]


def _divided(benchmark: Benchmark, judged: RuleVerdicts) -> dict[str, Mapping[str, list[Verdict]]]:
    labels = sorted({label for verdict in judged.verdicts for label in verdict.row.labels})
    by_group = by_position_label if judged.rule == STANDALONE else by_group_label
    by = by_group if benchmark.name == "video_mme_v2" else by_part
    divided = {label: by(judged.verdicts, label) for label in labels}
    return {label: parts for label, parts in divided.items() if len(parts) <= MAX_PARTS}


def scored_rows(annotations: Annotations, split: str) -> list[Row]:
    """Return the scored multiple-choice questions of a split, in the order of the annotations."""
    return [row for row in annotations.rows if row.split == split and has_gold(row)]
