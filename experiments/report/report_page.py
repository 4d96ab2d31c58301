"""Markdown page and LaTeX rows of a report. The tables are in `experiments.report.tables`."""

from collections.abc import Iterator, Sequence
from statistics import mean

from experiments.analysis.accuracy import DURATIONS, PolicyRow
from experiments.analysis.build_report import Report
from experiments.analysis.series import GROUPS
from experiments.report.tables import (
    attempts_table,
    benchmark_sections,
    cost_table,
    evaluation_table,
    group_table,
    pair_table,
    policy_table,
    status_table,
    tag_table,
    tool_use_table,
    training_table,
)
from experiments.settings.controls import named_as_control
from vt_env.benchmarks.scoring.scoreboard import Scoreboard
from vt_env.benchmarks.scoring.scoreboard_text import latex, latex_table
from vt_env.stats import FEW_CLUSTERS

READING = f"""* accuracy: share of scored episodes answered correctly; a missing answer is wrong
* 95 %: percentile bootstrap over videos, since questions share videos; too narrow below about {FEW_CLUSTERS} videos
* calls, frames: mean tool calls and frames per episode
* failed: share of an episode's actions that failed or were malformed
* no answer: share of episodes without an answer that names an option
* control: a run whose frames or rewards were shuffled, as its name says; it is no result
* p: exact McNemar test; assumes independent questions, and counts a task once, for the policy with more right attempts
* Holm: p adjusted for the number of rows
* viewed, cited: temporal IoU of the viewed spans, and of the spans cited in the last message, with the gold evidence
* right if seen, if unseen: accuracy where part of the gold evidence was viewed, and where none was
* forced: answered after the call budget ran out; at a limit: truncated by a limit without an answer
* per right answer: total over all episodes, wrong ones included, divided by the number of right answers
* captioned: seconds of video captioned before the first question, per question (shared by all) and per video"""


def render_report(report: Report) -> str:
    """Return the report as one Markdown page."""
    rows, groups = report.rows, {row.policy: row.families for row in report.rows}
    lengths = {row.policy: row.durations for row in rows if row.durations}
    known = [name for _, name in DURATIONS if any(name in row for row in lengths.values())]
    guessing = f"Chance: {report.chance:.2f}."
    sections = [
        ["# Results", "", *policy_table(rows)],
        [guessing, "", "![accuracy](plots/accuracy.png)"] if rows else [],
        ["## Status of episodes", "", *status_table(rows)] if rows else [],
        ["## Paired differences", "", *pair_table(report.pairs, report.holm)] if report.pairs else [],
        ["## By question family", "", *group_table(groups), "", _picture("families")] if rows else [],
        ["## By video length", "", *group_table(lengths, known), "", _picture("durations")] if lengths else [],
        ["## Calls against accuracy", "", _picture("calls")] if report.calls else [],
        ["## Tool use", "", *tool_use_table(rows)] if rows else [],
        ["## Tags", "", *tag_table(report.tags)] if report.tags else [],
        ["## Costs", "", *cost_table(rows), *_currency(rows)] if rows else [],
        ["## Several attempts", "", *attempts_table(rows)] if any(row.attempts for row in rows) else [],
        ["## Benchmarks", "", *benchmark_sections(report.benchmarks)] if report.benchmarks else [],
        ["## Training costs", "", *training_table(report.training)] if report.training else [],
        ["## GRPO", "", *_grpo(report)] if report.grpo is not None else [],
        ["## Curves", "", *_curves(report)] if report.plots else [],
        ["## LaTeX rows", "", "```latex", render_latex(report).rstrip(), "```"] if rows else [],
        ["## Definitions", "", READING],
        ["## Provenance", "", *_origin(report)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def render_latex(report: Report) -> str:
    """Return the result table as rows of a LaTeX `tabular`; benchmarks use the columns of their papers."""
    lines = ["% policy & accuracy & 95 % low & high & n & videos & calls & frames \\\\"]
    for row in report.rows:
        if row.accuracy is not None and row.ci95 is not None:
            shares = [f"{100 * value:.1f}" for value in (row.accuracy, *row.ci95)]
            cells = [latex(row.policy), *shares, row.n, row.videos, f"{row.calls:.1f}", f"{row.frames:.1f}"]
            lines.append(f"{' & '.join(map(str, cells))} \\\\")
    boards = [(row.policy, row.board) for row in report.benchmarks if row.board is not None]
    kinds: dict[tuple[str, str, str], list[tuple[str, Scoreboard]]] = {}
    for policy, board in boards:
        kinds.setdefault((board.benchmark, board.split, board.view), []).append((policy, board))
    tables = [latex_table(some) for some in kinds.values()]
    return "\n\n".join(["\n".join(lines), *tables]).rstrip("\n") + "\n"


def _picture(name: str) -> str:
    return f"![{name}](plots/{name}.png)"


def _currency(rows: Sequence[PolicyRow]) -> Iterator[str]:
    named = sorted({row.spending.currency for row in rows if row.spending and row.spending.cost is not None})
    if named:
        yield ""
        yield f"Money in {'; '.join(named)}."


def _grpo(report: Report) -> Iterator[str]:
    log = report.grpo
    if log is None or not log.reward:
        yield "No step has finished."
        return
    first, last = log.reward[:5], log.reward[-5:]
    rewards = f"of the first {len(first)} {mean(first):.2f}, of the last {mean(last):.2f}"
    yield f"* {len(log.reward)} steps; mean reward {rewards}"
    differences = f"{log.logp_difference_max:.1e} in a step's mean, {log.logp_difference_token_max:.1e} of one token"
    yield f"* largest log-probability difference between sampler and trainer: {differences}"
    shares = ", ".join(f"{phase} {mean(values):.1f}" for phase, values in log.seconds.items() if values)
    yield f"* seconds per step: {shares}"
    yield ""
    yield "![reward](plots/reward.png)"
    if log.evaluations:
        yield ""
        yield "Evaluations during training, sampled as in training:"
        yield ""
        yield from evaluation_table(log.evaluations)


def _curves(report: Report) -> Iterator[str]:
    yield "Runs that differ in their training seed alone are one line: the mean, with Student's 95 % interval."
    yield "Bands and bars of accuracy: 95 % interval over videos."
    yield "The numbers are in [series.json](plots/series.json); `vt-env view` draws the same ones."
    for group in GROUPS:
        if any(plot.group == group and plot.is_main for plot in report.plots):
            yield ""
            yield _picture(group)


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
        played = f"{config['agent']} on {config['tasks']}/{config['split']}" if run.kind == "eval" else run.kind
        what = named_as_control(played, run.controls)
        hashes = f", annotations {', '.join(sorted(run.annotation_hashes))}" if run.annotation_hashes else ""
        seed = f"seed {config.get('seed', 0)}, commit {_short(run.provenance['commit'])}"
        yield f"* `{run.path.name}`: {what}, {seed}{hashes}"
        if run.kind == "eval" and run.gold.missing:
            yield f"  * gold evidence not available: {run.gold.missing}"
    if report.not_run:
        yield f"* not run: {', '.join(report.not_run)}"


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "unknown"
