"""Tables of a report, as lines of Markdown; each number stands beside its sample size."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.analysis.accuracy import FamilyRow, PairRow, PolicyRow
from experiments.analysis.benchmark_coverage import BenchmarkRow
from experiments.analysis.costs import Spread
from experiments.analysis.tool_use import Estimate, OverlapRow
from experiments.train.training_cost import TrainingCost
from vt_env.benchmarks.scoring.scoreboard_text import markdown
from vt_env.markdown import markdown_table

Groups = Mapping[str, FamilyRow]


def policy_table(rows: Sequence[PolicyRow]) -> Iterator[str]:
    """Yield the result table, one row per policy."""
    if not rows:
        yield "No policy was evaluated."
        return
    heads = ("policy", "accuracy", "95 %", "n", "videos", "calls", "frames", "failed", "no answer", "unscored")
    yield from markdown_table(heads, map(_policy_cells, rows))


def _policy_cells(row: PolicyRow) -> list[object]:
    unscored = sum(row.status.get(status, 0) for status in ("error", "unscored"))
    cells = [row.policy, share(row.accuracy), interval(row.ci95), row.n, row.videos, f"{row.calls:.1f}"]
    return [*cells, f"{row.frames:.1f}", share(row.invalid_rate), share(row.no_answer_rate), unscored]


def status_table(rows: Sequence[PolicyRow]) -> Iterator[str]:
    """Yield the number of episodes by policy and status."""
    names = sorted({name for row in rows for name in row.status}, key=lambda name: (name != "ok", name))
    yield from markdown_table(
        ["policy", *names], ([row.policy, *(row.status.get(name, 0) for name in names)] for row in rows)
    )


def pair_table(pairs: Sequence[PairRow], adjusted: Sequence[float]) -> Iterator[str]:
    """Yield the paired differences.

    Args:
        pairs: The pairs of policies.
        adjusted: Holm-adjusted p value of each pair.
    """
    rows: list[list[object]] = []
    for pair, p_holm in zip(pairs, adjusted, strict=True):
        cells = [pair.a, pair.b, f"{pair.difference:+.2f}", interval(pair.ci95), p_value(pair.p_mcnemar)]
        rows.append([*cells, p_value(p_holm), pair.n])
    yield from markdown_table(("a", "b", "accuracy of a - b", "95 %", "p", "p (Holm)", "n"), rows)


def tag_table(tags: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Yield the number of episodes by policy and tag, the most frequent tag first."""
    total = Counter[str]()
    for counts in tags.values():
        total.update(counts)
    names = [name for name, _ in sorted(total.items(), key=lambda it: (-it[1], it[0]))]
    yield from markdown_table(
        ["policy", *names], ([policy, *(counts.get(name, 0) for name in names)] for policy, counts in tags.items())
    )


def group_table(groups: Mapping[str, Groups], order: Sequence[str] | None = None) -> Iterator[str]:
    """Yield one row per policy and one column per question family or video length.

    Args:
        groups: Groups by policy.
        order: Names of the groups; alphabetical by default.
    """
    names = order or sorted({name for row in groups.values() for name in row})
    rows = ([policy, *(_group(row.get(name)) for name in names)] for policy, row in groups.items())
    yield from markdown_table(["policy", *(name or "other" for name in names)], rows)


def tool_use_table(rows: Sequence[PolicyRow]) -> Iterator[str]:
    """Yield tool use and overlap with the gold evidence, one row per policy."""
    heads = ["policy", "seconds viewed", "of the video", "viewed IoU", "viewed recall", "cited IoU", "cited"]
    heads += ["right if seen", "right if unseen", "forced", "at a limit", "failing"]
    found: list[list[object]] = []
    for row in rows:
        it = row.behaviour
        if it is None:
            continue
        cells = [row.policy, f"{it.unique_s:.0f}", share(it.coverage), _evidence(it.viewed), _recall(it.viewed)]
        cells += [_evidence(it.cited), share(it.cited_rate), _estimate(it.right_if_seen), _estimate(it.right_if_unseen)]
        found.append([*cells, share(it.forced_answer_rate), share(it.limit_rate), share(it.failing_episodes)])
    yield from markdown_table(heads, found)


def cost_table(rows: Sequence[PolicyRow]) -> Iterator[str]:
    """Yield costs per episode and per right answer; a dash marks a missing measurement."""
    heads = ["policy", "tokens read", "written", "of images", "latency s, p50 / p90", "money"]
    heads += ["money, captions unshared", "captioned s per question", "captioned s per video"]
    heads += [f"{name} per right answer" for name in ("calls", "frames", "tokens read", "money")]
    found: list[list[object]] = []
    for row in rows:
        it = row.spending
        if it is None:
            continue
        captioning = it.captioning
        cells = [row.policy, *(_mean(it.tokens.get(role)) for role in ("read", "replies", "images"))]
        cells += ["-" if it.latency_s is None else f"{it.latency_s.median:.2f} / {it.latency_s.p90:.2f}"]
        cells += [_money(it.cost), _money(it.cost_raw)]
        cells += ["-", "-"] if captioning is None else [f"{captioning.question_s:.0f}", f"{captioning.video_s:.0f}"]
        per = it.per_right
        cells += [_amount(per.get("calls")), _amount(per.get("frames")), _amount(per.get("tokens_read"))]
        found.append([*cells, _money(per.get("cost"))])
    yield from markdown_table(heads, found)


def training_table(costs: Mapping[str, TrainingCost]) -> Iterator[str]:
    """Yield the cost of each training run."""
    rows = (
        [name, cost.rollouts, cost.sampled_tokens, cost.trained_tokens, f"{cost.wall_s:.0f}"]
        for name, cost in costs.items()
    )
    yield from markdown_table(("run", "rollouts", "sampled tokens", "trained tokens", "seconds"), rows)


def evaluation_table(evaluations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the evaluations of a training run; `KL` is the divergence from its first model."""
    names = ("step", "rollouts", "accuracy", "calls", "frames", "no_answer", "entropy", "kl")
    rows = ([_rounded(it.get(name)) for name in names] for it in evaluations)
    heads = ("step", "rollouts", "accuracy", "calls", "frames", "no answer", "entropy", "KL")
    yield from markdown_table(heads, rows)


def _rounded(value: float | None) -> object:
    if value is None:
        return "-"
    return value if isinstance(value, int) else f"{value:.3g}"


def attempts_table(rows: Sequence[PolicyRow]) -> Iterator[str]:
    """Yield pass@k and pass^k of policies with several attempts per task."""
    found: list[list[object]] = []
    for row in rows:
        for it in row.attempts:
            cells = [row.policy, it.k, it.n, share(it.any_right), interval(it.any_ci95), share(it.chance)]
            found.append([*cells, share(it.all_right), interval(it.all_ci95)])
    heads = ("policy", "k", "tasks", "pass@k", "95 %", "chance", "pass^k", "95 %")
    yield from markdown_table(heads, found)


def benchmark_sections(rows: Sequence[BenchmarkRow]) -> Iterator[str]:
    """Yield coverage, then the official and strict scores where the annotations are available."""
    played = ([it.policy, it.benchmark, it.split, it.coverage, "yes" if it.complete else "no"] for it in rows)
    yield from markdown_table(("policy", "benchmark", "split", "played", "complete"), played)
    for row in rows:
        yield ""
        if row.board is None:
            yield f"{row.policy} on {row.benchmark}: no official number, since {row.missing}."
        else:
            yield f"**{row.policy}**"
            yield ""
            yield markdown(row.board)


def share(value: float | None) -> str:
    """Format a share."""
    return "-" if value is None else f"{value:.2f}"


def interval(bounds: tuple[float, float] | None) -> str:
    """Format an interval of shares."""
    return "-" if bounds is None else f"{bounds[0]:.2f} to {bounds[1]:.2f}"


def p_value(value: float) -> str:
    """Format a p value."""
    return f"{value:.2g}" if value >= 0.001 else "< 0.001"


def _group(row: FamilyRow | None) -> str:
    return "-" if row is None else f"{row.accuracy:.2f} ({interval(row.ci95)}, n={row.n})"


def _estimate(it: Estimate | None) -> str:
    return "-" if it is None else f"{it.mean:.2f} (n={it.n})"


def _evidence(row: OverlapRow | None) -> str:
    return "-" if row is None else f"{row.iou.mean:.2f} ({interval(row.iou.ci95)})"


def _recall(row: OverlapRow | None) -> str:
    return "-" if row is None else f"{row.recall.mean:.2f}"


def _mean(it: Spread | None) -> str:
    return "-" if it is None else f"{it.mean:.0f}"


def _amount(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _money(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
