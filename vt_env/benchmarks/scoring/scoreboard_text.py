"""Scoreboard rendering as plain text, Markdown and LaTeX rows; every score is printed with its n."""

from collections.abc import Iterator, Sequence

from vt_env.benchmarks.readers.reader import Column
from vt_env.benchmarks.readers.registry import BENCHMARKS
from vt_env.benchmarks.scoring.scoreboard import RuleScore, Scoreboard
from vt_env.benchmarks.scoring.verdicts import STRICT, Metric
from vt_env.markdown import markdown_table


def plain(board: Scoreboard) -> str:
    """Format a scoreboard as a plain-text table."""
    return "\n".join(_plain_lines(board))


def markdown(board: Scoreboard) -> str:
    """Format a scoreboard as a Markdown section."""
    return "\n".join(_markdown_lines(board))


def latex_table(boards: Sequence[tuple[str, Scoreboard]]) -> str:
    """Format rows of a LaTeX `tabular`, in the columns that papers report.

    The heading of an incomplete set includes the coverage.

    Args:
        boards: Name and scores of each policy, all of one benchmark and split.
    """
    first = boards[0][1]
    benchmark = BENCHMARKS[first.benchmark]
    columns = (Column(benchmark.views[first.view]),) if first.view else benchmark.columns
    lines = [f"% {_title(first)} {first.split}; percent; 95 % intervals, over videos, are of the overall score"]
    for policy, board in boards:
        headings = [_heading(column.heading, column.label, board) for column in columns]
        lines.append(f"% policy & rule & {' & '.join(map(latex, headings))} \\\\")
        for rule in board.rules:
            metrics = [_column(board, rule, column.label, column.part) for column in columns]
            cells = [
                latex(policy),
                latex(rule.rule),
                *(f"{it.value:.1f}" if it.value is not None else "--" for it in metrics),
            ]
            lines.append(f"{' & '.join(cells)} \\\\ % 95 %: {interval_text(rule.ci95)}, n={rule.counted}")
    return "\n".join(lines) + "\n"


def latex(text: str) -> str:
    """Escape a text for LaTeX."""
    text = text.replace("\\", "/")
    for mark in "&%$#_{}":
        text = text.replace(mark, f"\\{mark}")
    return text


def _heading(heading: str, label: str, board: Scoreboard) -> str:
    if label != "*":
        return heading if label or board.complete else board.strict.name
    return _other_name(heading, board.strict)


def _column(board: Scoreboard, rule: RuleScore, label: str, part: str) -> Metric:
    missing = Metric(0, None)
    if not label:
        return Metric(rule.counted, rule.value, rule.ci95)
    if label != "*":
        return rule.parts.get(label, {}).get(part, missing)
    cited = [it.numbers[part] for it in board.grounded if it.prediction == "cited" and part in it.numbers]
    # The benchmark's own span scores take the letters of the official rule, so they stand in its row.
    is_official = rule.rule == (BENCHMARKS[board.benchmark].rule or STRICT)
    return rule.others.get(_other_name(part, rule), cited[-1 if is_official else 0] if cited else missing)


def _other_name(part: str, rule: RuleScore) -> str:
    """Return the name of a metric in `rule.others`, with the coverage if the set is incomplete."""
    return next((name for name in rule.others if name.startswith(f"{part}[")), part)


def _plain_lines(board: Scoreboard) -> Iterator[str]:
    yield f"{_title(board)} {board.split}: {board.replied} of {board.questions} questions have a reply"
    yield f"  {'rule':<26} {'number':<32} {'value':>6} {'95 %':>14} {'of':>6} {'guessed':>7}  status"
    for one in board.rules:
        counts = ", ".join(f"{status} {count}" for status, count in one.status.items())
        value, interval = percent(one.value), interval_text(one.ci95)
        yield f"  {one.rule:<26} {one.name:<32} {value:>6} {interval:>14} {one.counted:>6} {one.guessed:>7}  {counts}"
        for name, number in one.others.items():
            value, interval = percent(number.value), interval_text(number.ci95)
            yield f"  {'':<26} {name:<32} {value:>6} {interval:>14} {number.n:>6}"
    for grounded in board.grounded:
        n = next(iter(grounded.numbers.values())).n
        numbers = ", ".join(
            f"{name} {percent(number.value)}{f' (n={number.n})' if number.n != n else ''}"
            for name, number in grounded.numbers.items()
        )
        yield f"  {grounded.rule:<26} {grounded.prediction} spans, {grounded.given} given, n={n}: {numbers}"
    yield from (f"  {note}" for note in board.notes)
    for label in board.strict.parts:
        yield f"  {label}"
        for name, part in board.strict.parts[label].items():
            official = board.official.parts[label].get(name) if board.official else None
            beside = f" {percent(official.value):>6} (n={official.n})" if official else ""
            yield f"    {name or '-':<30}{beside}  strict {percent(part.value)} (n={part.n})"


def _markdown_lines(board: Scoreboard) -> Iterator[str]:
    yield f"### {_title(board)}, {board.split}"
    yield ""
    yield f"{board.replied} of {board.questions} questions have a reply."
    yield ""
    yield from markdown_table(("rule", "number", "percent", "95 %", "n", "guessed", "status"), _rule_rows(board))
    for note in board.notes:
        yield ""
        yield note
    for label, parts in board.strict.parts.items():
        yield ""
        rows: list[list[object]] = []
        for name, part in parts.items():
            values = [
                percent(one.parts[label][name].value) if name in one.parts.get(label, {}) else "-"
                for one in board.rules
            ]
            rows.append([name or "-", *values, part.n])
        yield from markdown_table([label, *(one.rule for one in board.rules), "n"], rows)


def _rule_rows(board: Scoreboard) -> Iterator[Sequence[object]]:
    for one in board.rules:
        counts = ", ".join(f"{status} {count}" for status, count in one.status.items())
        cells = [one.rule, one.name, percent(one.value), interval_text(one.ci95), one.counted, one.guessed, counts]
        yield cells
        for name, number in one.others.items():
            yield [one.rule, name, percent(number.value), interval_text(number.ci95), number.n, "", ""]
    for grounded in board.grounded:
        for name, number in grounded.numbers.items():
            cells = [grounded.rule, f"{name}, {grounded.prediction}", percent(number.value)]
            yield [*cells, interval_text(number.ci95), number.n, "", f"{grounded.given} with spans"]


def _title(board: Scoreboard) -> str:
    return f"{board.benchmark}/{board.view}" if board.view else board.benchmark


def percent(value: float | None) -> str:
    """Format a percentage with one decimal; `-` for `None`."""
    return "-" if value is None else f"{value:.1f}"


def interval_text(interval: tuple[float, float] | None) -> str:
    """Format an interval of percentages; `-` for `None`."""
    return "-" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}"
