"""The Markdown page of a report and its LaTeX rows. The single tables are in `experiments.report.tables`."""

from collections.abc import Iterator, Sequence
from statistics import mean

from experiments.analysis.load_runs import Report
from experiments.analysis.metrics import DURATIONS, PolicyRow
from experiments.report.tables import (
    attempts_table,
    behaviour_table,
    benchmark_sections,
    group_table,
    pair_table,
    policy_table,
    spending_table,
    status_table,
    training_table,
)
from vt_env.benchmarks.scoring.scoreboard import Scoreboard
from vt_env.benchmarks.scoring.scoreboard_text import latex, latex_table
from vt_env.stats import FEW_CLUSTERS

READING = f"""* accuracy: share of scored episodes answered correctly; no answer counts as wrong
* 95 %: percentile bootstrap over videos, since several questions share one; too narrow below some {FEW_CLUSTERS} videos
* calls, frames: tool calls and frames an episode, means
* failed: share of an episode's actions that failed or could not be read
* no answer: share of episodes without an answer that names an option
* p: exact McNemar test, which takes questions as independent and of several attempts which policy was right more often
* Holm: p adjusted for the number of rows
* viewed, cited: temporal IoU with the gold evidence of what was looked at and of the spans that the last message names
* right if seen, if unseen: accuracy where gold evidence was viewed in part, and where it was not
* forced: answered when no call was left; at a limit: ended by a limit without an answer
* a right answer took: everything spent, wrong answers included, by the number of right ones
* captioned: seconds of video that had to be captioned before the first question, shared by its questions or not"""


def render_report(report: Report) -> str:
    """Write the page."""
    rows, groups = report.rows, {row.policy: row.families for row in report.rows}
    lengths = {row.policy: row.durations for row in rows if row.durations}
    known = [name for _, name in DURATIONS if any(name in row for row in lengths.values())]
    guessing = f"Guessing gives {report.chance:.2f}."
    sections = [
        ["# Results", "", *policy_table(rows)],
        [guessing, "", "![accuracy](plots/accuracy.png)"] if rows else [],
        ["## How episodes ended", "", *status_table(rows)] if rows else [],
        ["## Differences", "", *pair_table(report.pairs, report.holm)] if report.pairs else [],
        ["## By kind of question", "", *group_table(groups), "", _picture("families")] if rows else [],
        ["## By length of the video", "", *group_table(lengths, known), "", _picture("durations")] if lengths else [],
        ["## What the policies did", "", *behaviour_table(rows)] if rows else [],
        ["## What it took", "", *spending_table(rows), *_currency(rows)] if rows else [],
        ["## Several attempts", "", *attempts_table(rows)] if any(row.attempts for row in rows) else [],
        ["## Benchmarks", "", *benchmark_sections(report.benchmarks)] if report.benchmarks else [],
        ["## Cost of training", "", *training_table(report.training)] if report.training else [],
        ["## GRPO", "", *_grpo(report)] if report.grpo is not None else [],
        ["## LaTeX rows", "", "```latex", render_latex(report).rstrip(), "```"] if rows else [],
        ["## How to read this", "", READING],
        ["## What was run", "", *_origin(report)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def render_latex(report: Report) -> str:
    """Write the result table as rows for a LaTeX `tabular`, benchmarks in the columns in which papers print them."""
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
        hashes = f", annotations {', '.join(sorted(run.annotation_hashes))}" if run.annotation_hashes else ""
        seed = f"seed {config.get('seed', 0)}, commit {_short(run.provenance['commit'])}"
        yield f"* `{run.path.name}`: {what}, {seed}{hashes}"
        if run.kind == "eval" and run.key.missing:
            yield f"  * its gold evidence is not known: {run.key.missing}"
    if report.not_run:
        yield f"* not run: {', '.join(report.not_run)}"


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "unknown"
