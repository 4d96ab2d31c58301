"""Scores of adversarial replies by official scripts and by ours, compared figure by figure."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from support.adversarial_replies import adversarial_replies
from support.official_checkouts import Checkouts

from vt_env.benchmarks.readers.parse_fields import letter_at
from vt_env.benchmarks.readers.rows import Annotations, Row, Span
from vt_env.benchmarks.scoring.replies import Reply
from vt_env.benchmarks.scoring.scoreboard import RuleScore, Scoreboard, score

Figures = Mapping[Any, float | None]


def compare(
    checkouts: Checkouts, names: tuple[str, str, str], n: int, official: Figures, ours: Figures, digits: int = 9
) -> None:
    """Record and check figures in percent; `names` are benchmark, checkout and script."""
    missing = official.keys() - ours.keys()
    found = {key: (value, ours.get(key)) for key, value in official.items()}
    # A script prints 0 for a part in which it counts nothing; here it has no value.
    differing = {key: it for key, it in found.items() if abs((it[0] or 0) - (it[1] or 0)) > 0.5 * 10**-digits + 1e-9}
    checkouts.record(*names, f"{n:,}", f"{len(found) - len(differing)} of {len(found)}")
    assert official and not missing and not differing, (missing, differing)


def replies_to(rows: Sequence[Row], seed: int, right: float = 0.4, **given: Any) -> list[str]:
    """Write adversarial replies, of which a part names the right letter plainly."""
    random = Random(seed)
    drawn = adversarial_replies(len(rows), seed, **given)
    letters = [letter_at(row.answer_idx or 0) for row in rows]
    plain = [random.choice(("{}", "({})", "{}.", "{}) it is")).format(it) for it in letters]
    return [one if random.random() < right else other for one, other in zip(plain, drawn, strict=True)]


def board_of(
    annotations: Annotations, texts: Sequence[str], cited: Sequence[tuple[Span, ...]] = (), **given: Any
) -> Scoreboard:
    spans = cited or [()] * len(texts)
    rows = zip(annotations.rows, texts, spans, strict=True)
    return score(annotations, {row.task_id: Reply(row.task_id, text, cited=some) for row, text, some in rows}, **given)


def official_of(board: Scoreboard) -> RuleScore:
    assert board.official is not None
    return board.official


def parts_of(scored: RuleScore, label: str) -> dict[str, float | None]:
    return {part: metric.value for part, metric in scored.parts[label].items()}


def replies_of(rows: Sequence[Row], texts: Sequence[str]) -> dict[str, Reply]:
    return {row.task_id: Reply(row.task_id, text) for row, text in zip(rows, texts, strict=True)}
