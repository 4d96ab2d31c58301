"""The official number and the strict one side by side, with what each leaves out.

An official name stands only over a complete set: with questions missing, `Overall` becomes `Overall[1497/1549]`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vt_env.benchmarks.formats import Benchmark
from vt_env.benchmarks.groups import grouped, grouped_standalone
from vt_env.benchmarks.registry import BENCHMARKS
from vt_env.benchmarks.replies import Reply, Status
from vt_env.benchmarks.rows import Annotations, Row
from vt_env.benchmarks.rules import RULES
from vt_env.benchmarks.verdicts import (
    STRICT,
    Aggregate,
    Verdict,
    by_part,
    has_gold,
    macro,
    micro,
    official_verdict,
    strict_verdict,
)
from vt_env.errors import ConfigError

MAX_PARTS = 40
"""Divisions with more parts, such as one part a video, are left out of reports."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a division."""

    n: int
    """Questions that count in it."""
    value: float | None
    """Percent; `None` where nothing counts."""


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
    counted: int
    """Questions in the denominator."""
    correct: int
    guessed: int
    """Questions for which the rule drew an option."""
    status: Mapping[Status, int]
    parts: Mapping[str, Mapping[str, Part]]
    """Division to part to its number."""


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

    @property
    def complete(self) -> bool:
        """Whether every question of the split has a reply."""
        return self.replied == self.questions

    def text(self) -> str:
        """Write the table for people."""
        return "\n".join(_lines(self))


def score(
    annotations: Annotations, replies: Mapping[str, Reply], split: str | None = None, seed: int = 0
) -> Scoreboard:
    """Score replies under the benchmark's official rule and the strict one.

    Args:
        annotations: The benchmark, with its answer key.
        replies: Task id to reply. Those of other tasks are an error, since they mean another benchmark.
        split: Which split; `None` takes the only one that has gold.
        seed: Seed of the guesses that some official rules make.

    Raises:
        ConfigError: There is no such split, or replies belong to no question of it.
    """
    chosen = _split(annotations, split)
    rows = [row for row in annotations.rows if row.split == chosen and has_gold(row)]
    _check_ids(annotations, replies)
    benchmark = BENCHMARKS[annotations.benchmark]
    known = benchmark.official.get(chosen)
    questions = known.questions if known else len(rows)
    pairs = [(row, replies[row.task_id]) for row in rows if row.task_id in replies]
    strict = [strict_verdict(row, reply) for row, reply in pairs]
    replied = sum(verdict.status is not Status.ERROR for verdict in strict)
    suffix = "" if replied == questions == len(rows) else f"[{replied}/{questions}]"
    rule = RULES[benchmark.rule] if benchmark.rule else None
    official = [official_verdict(row, reply, rule, seed) for row, reply in pairs] if rule else []
    return Scoreboard(
        benchmark=annotations.benchmark,
        split=chosen,
        questions=questions,
        replied=replied,
        official=_rule_score(rule.name, rule.source, benchmark, official, suffix, _official_headline(benchmark))
        if rule
        else None,
        strict=_rule_score(STRICT, "vt_env.benchmarks.replies", benchmark, strict, suffix, _headline(benchmark)),
    )


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


def _headline(benchmark: Benchmark) -> Aggregate:
    if benchmark.headline == "M-Avg":
        return macro("task")
    return grouped if benchmark.name == "video_mme_v2" else micro


def _official_headline(benchmark: Benchmark) -> Aggregate:
    return grouped_standalone if benchmark.name == "video_mme_v2" else _headline(benchmark)


def _rule_score(
    rule: str, source: str, benchmark: Benchmark, verdicts: Sequence[Verdict], suffix: str, headline: Aggregate
) -> RuleScore:
    return RuleScore(
        rule=rule,
        source=source,
        name=f"{benchmark.headline}{suffix}",
        value=headline(verdicts),
        counted=sum(verdict.counted for verdict in verdicts),
        correct=sum(verdict.correct and verdict.counted for verdict in verdicts),
        guessed=sum(verdict.guessed for verdict in verdicts),
        status=dict(sorted(Counter(verdict.status for verdict in verdicts).items())),
        parts=_parts(verdicts),
    )


def _parts(verdicts: Sequence[Verdict]) -> dict[str, dict[str, Part]]:
    labels = sorted({label for verdict in verdicts for label in verdict.row.labels})
    divided = {label: by_part(verdicts, label) for label in labels}
    return {
        label: {name: Part(sum(it.counted for it in part), micro(part)) for name, part in parts.items()}
        for label, parts in divided.items()
        if len(parts) <= MAX_PARTS
    }


def _lines(board: Scoreboard) -> Iterator[str]:
    shown = [board.official, board.strict] if board.official else [board.strict]
    yield f"{board.benchmark} {board.split}: {board.replied} of {board.questions} questions have a reply"
    yield f"  {'rule':<26} {'number':<32} {'value':>6} {'of':>6} {'guessed':>7}  status"
    for one in shown:
        counts = ", ".join(f"{status} {count}" for status, count in one.status.items())
        value = _percent(one.value)
        yield f"  {one.rule:<26} {one.name:<32} {value:>6} {one.counted:>6} {one.guessed:>7}  {counts}"
    for label in board.strict.parts:
        yield f"  {label}"
        for name, part in board.strict.parts[label].items():
            official = board.official.parts[label].get(name) if board.official else None
            beside = f" {_percent(official.value):>6} (n={official.n})" if official else ""
            yield f"    {name or '-':<30}{beside}  strict {_percent(part.value)} (n={part.n})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def scored_rows(annotations: Annotations, split: str) -> list[Row]:
    """Return the choices of a split that are scored, in the order of the annotations."""
    return [row for row in annotations.rows if row.split == split and has_gold(row)]
