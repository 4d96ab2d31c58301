"""The report for people: one Markdown page. Every number stands with its n, interval, seeds and machine."""

from collections.abc import Iterator, Sequence
from statistics import mean

from experiments.metrics import FamilyRow, PairRow, PolicyRow
from experiments.results import Report

READING = """* accuracy: share of scored episodes answered correctly; no answer counts as wrong
* 95 %: percentile bootstrap over videos, since several questions share one; too narrow below some twenty videos
* calls, frames: tool calls and frames an episode, means
* failed: share of an episode's actions that failed or could not be read
* no answer: share of episodes without an answer that names an option
* p: exact McNemar test, which takes questions as independent"""


def render_report(report: Report) -> str:
    """Write the page."""
    guessing = f"Guessing gives {report.chance:.2f}."
    sections = [
        ["# Results", "", *policy_table(report.rows)],
        [guessing, "", "![accuracy](plots/accuracy.png)"] if report.rows else [],
        ["## Differences", "", *_pair_table(report.pairs)] if report.pairs else [],
        ["## By kind of question", "", *_family_table(report.rows)] if report.rows else [],
        ["## GRPO", "", *_grpo(report)] if report.grpo is not None else [],
        ["## How to read this", "", READING],
        ["## What was run", "", *_origin(report)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def policy_table(rows: Sequence[PolicyRow]) -> Iterator[str]:
    """Write the lines of the result table."""
    if not rows:
        yield "No policy was evaluated."
        return
    yield "| policy | accuracy | 95 % | n | videos | calls | frames | failed | no answer | unscored |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        unscored = sum(count for status, count in row.status.items() if status != "ok")
        cells = [row.policy, _share(row.accuracy), _interval(row.ci95), row.n, row.videos, f"{row.calls:.1f}"]
        cells += [f"{row.frames:.1f}", _share(row.invalid_rate), _share(row.no_answer_rate), unscored]
        yield _line(cells)


def _pair_table(pairs: Sequence[PairRow]) -> Iterator[str]:
    yield "| a | b | accuracy of a - b | 95 % | p | n |"
    yield "|---|---|---|---|---|---|"
    for pair in pairs:
        yield _line([pair.a, pair.b, f"{pair.difference:+.2f}", _interval(pair.ci95), _p(pair.p_mcnemar), pair.n])


def _family_table(rows: Sequence[PolicyRow]) -> Iterator[str]:
    families = sorted({name for row in rows for name in row.families})
    yield _line(["policy", *(name or "other" for name in families)])
    yield "|" + "---|" * (len(families) + 1)
    for row in rows:
        yield _line([row.policy, *(_family(row.families.get(name)) for name in families)])


def _grpo(report: Report) -> Iterator[str]:
    log = report.grpo
    if log is None or not log.reward:
        yield "No step was finished."
        return
    first, last = log.reward[:5], log.reward[-5:]
    rewards = f"of the first {len(first)} {mean(first):.2f}, of the last {mean(last):.2f}"
    yield f"* {len(log.reward)} steps; mean reward {rewards}"
    differences = f"{log.logp_difference_max:.1e} in a step's mean, {log.logp_difference_token_max:.1e} of one token"
    yield f"* largest log-probability difference between sampler and trainer: {differences}"
    shares = ", ".join(f"{phase} {mean(values):.1f}" for phase, values in log.seconds.items() if values)
    yield f"* seconds a step: {shares}"
    yield ""
    yield "![reward](plots/reward.png)"


def _origin(report: Report) -> Iterator[str]:
    origin = report.runs[0].provenance
    changed = " with uncommitted changes" if origin["uncommitted_changes"] else ""
    gpu = origin["machine"]["gpu"] or "no GPU"
    yield f"* commit: {origin['commit'] or 'not a git checkout'}{changed}"
    yield f"* machine: {origin['machine']['cpu']} CPU cores, {gpu}"
    yield f"* versions: {', '.join(f'{name} {version}' for name, version in origin['versions'].items())}"
    yield f"* seconds: {', '.join(f'{kind} {seconds:.0f}' for kind, seconds in report.wall_s.items())}"
    for run in report.runs:
        config = run.config
        what = f"{config['agent']} on {config['tasks']}/{config['split']}" if run.kind == "eval" else run.kind
        yield f"* `{run.path.name}`: {what}, seed {config.get('seed', 0)}, commit {_short(run.provenance['commit'])}"
    if report.not_run:
        yield f"* not run: {', '.join(report.not_run)}"


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _family(row: FamilyRow | None) -> str:
    return "-" if row is None else f"{row.accuracy:.2f} (n={row.n})"


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 0.001 else "< 0.001"


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "unknown"
