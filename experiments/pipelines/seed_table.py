"""Table of results over training seeds, from the journals of evaluations.

A task counts once per training seed. Confidence intervals resample videos, so that all seeds of a video are drawn
together: they describe new videos, not new seeds. The table therefore lists the accuracy of each seed, too.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from experiments.analysis.accuracy import PairRow, PolicyRow, compare, summarise
from experiments.analysis.budget_curves import Curve, curves_of
from experiments.analysis.episode_facts import EpisodeFacts
from experiments.analysis.load_runs import find_runs, load_run
from experiments.report.tables import interval, share
from experiments.runs.run_dir import as_json
from vt_env.markdown import markdown_table

SHARED = -1
"""Key, in place of a training seed, of a policy that is not trained."""
PAIRS = (
    ("sft+grpo", "sft"),
    ("sft+grpo", "sft-best"),
    ("sft+grpo", "sft+rft"),
    ("sft+rft", "sft"),
    ("sft+grpo", "uniform"),
    ("sft+grpo", "caption-only"),
    ("sft", "uniform"),
    ("sft+grpo sampled", "sft sampled"),
    ("sft+grpo shaped", "sft+grpo"),
)
"""Pairs to compare if both were evaluated: mostly a policy and the one that its training started from."""

CALLING = ("scripted", "sft", "sft-best", "sft+rft", "sft+grpo")
"""Policies whose accuracy is plotted against calls."""


@dataclass(frozen=True)
class SeedRow:
    """Results of a policy over all training seeds."""

    row: PolicyRow
    """Summary over all seeds."""
    by_seed: Mapping[int, float | None]
    """Accuracy by training seed, or under `SHARED` for a policy that is not trained."""


@dataclass(frozen=True)
class SeedPair:
    """Paired difference of two policies."""

    overall: PairRow
    """Difference over all seeds, paired by task and seed."""
    by_seed: Mapping[int, PairRow]
    """Difference by training seed."""


@dataclass(frozen=True)
class SeedTable:
    """Results of all finished evaluations."""

    rows: Sequence[SeedRow]
    pairs: Sequence[SeedPair]
    ceilings: Mapping[str, float]
    """Observations, such as `8 frames spread evenly`, to the accuracy of an errorless reader."""
    seconds: Mapping[str, float]
    """Wall time of each step in seconds."""
    calls: Sequence[Curve]
    """Accuracy against calls, for the policies of `CALLING`."""

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as plain JSON values."""
        return {
            "rows": [asdict(it) for it in self.rows],
            "pairs": [asdict(it) for it in self.pairs],
            "ceilings": dict(self.ceilings),
            "seconds": dict(self.seconds),
            "calls": [as_json(it) for it in self.calls],
        }


Evaluations = Mapping[str, Mapping[int, list[EpisodeFacts]]]
"""Policy to training seed to episodes, whose `sample` is the training seed."""


def read_evaluations(folders: Mapping[int, Path]) -> Evaluations:
    """Read the journals of evaluations; the folder of a run is named after its policy.

    Args:
        folders: Training seed, or `SHARED` for policies that are not trained, to the folder of evaluations.
    """
    found: defaultdict[str, dict[int, list[EpisodeFacts]]] = defaultdict(dict)
    for seed, folder in folders.items():
        for path in find_runs(folder) if folder.is_dir() else ():
            facts = [replace(it, sample=max(seed, 0)) for it in load_run(path).facts]
            if facts:
                found[path.name.replace("-sampled", " sampled").replace("-shaped", " shaped")][seed] = facts
    return found


def make_table(
    evaluations: Evaluations, order: Sequence[str], ceilings: Mapping[str, float], seconds: Mapping[str, float]
) -> SeedTable:
    """Summarise the evaluations of the policies in `order`; others are left out.

    Args:
        evaluations: Episodes by policy and training seed.
        order: Policies in the order of the table.
        ceilings: See `SeedTable.ceilings`.
        seconds: See `SeedTable.seconds`.
    """
    rows = [_row(name, evaluations[name]) for name in order if name in evaluations]
    pairs = [_pair(evaluations, names) for names in PAIRS if all(name in evaluations for name in names)]
    calling = {name: {name: _all(evaluations[name])} for name in CALLING if name in evaluations}
    calls = curves_of(calling, "calls")
    return SeedTable(rows, [pair for pair in pairs if pair is not None], ceilings, seconds, calls)


def _row(name: str, by_seed: Mapping[int, Sequence[EpisodeFacts]]) -> SeedRow:
    every = [it for facts in by_seed.values() for it in facts]
    return SeedRow(
        # Training seeds are different policies, not attempts of one policy, so pass@k has no meaning.
        replace(summarise(name, every), attempts=()),
        {seed: summarise(name, facts).accuracy for seed, facts in by_seed.items()},
    )


def _pair(evaluations: Evaluations, names: tuple[str, str]) -> SeedPair | None:
    first, second = (evaluations[name] for name in names)
    overall = compare(_all(first), _all(second), names)
    if overall is None:
        return None
    by_seed = {seed: compare(first[seed], second[seed], names) for seed in sorted(first.keys() & second.keys())}
    return SeedPair(overall, {seed: row for seed, row in by_seed.items() if row is not None})


def _all(by_seed: Mapping[int, Sequence[EpisodeFacts]]) -> list[EpisodeFacts]:
    return [it for facts in by_seed.values() for it in facts]


def render_table(table: SeedTable) -> str:
    """Return the table as Markdown."""
    return "\n".join([*_policies(table), "", *_differences(table), "", *_groups(table), ""])


def _policies(table: SeedTable) -> Iterator[str]:
    rows: list[list[object]] = []
    for it in table.rows:
        row = it.row
        seeds = "-" if SHARED in it.by_seed else ", ".join(share(value) for value in it.by_seed.values())
        means = (f"{row.calls:.1f}", f"{row.frames:.1f}", share(row.invalid_rate), share(row.no_answer_rate))
        rows.append([row.policy, share(row.accuracy), interval(row.ci95), seeds, row.n, row.videos, *means])
    heads = ("policy", "accuracy", "95 %", "by training seed", "n", "videos", "calls", "frames", "failed", "no answer")
    yield from markdown_table(heads, rows)
    for name, accuracy in table.ceilings.items():
        yield f"\nAn errorless reader of {name} would reach {accuracy:.2f}."


def _differences(table: SeedTable) -> Iterator[str]:
    rows: list[list[object]] = []
    for it in table.pairs:
        seeds = "; ".join(f"{row.difference:+.2f} ({_signed(row.ci95)})" for row in it.by_seed.values()) or "-"
        row = it.overall
        rows.append([f"{row.a} - {row.b}", f"{row.difference:+.3f}", _signed(row.ci95), seeds])
    yield from markdown_table(("paired difference", "mean", "95 %", "by training seed"), rows)


def _groups(table: SeedTable) -> Iterator[str]:
    for title, groups in (("family", "families"), ("video", "durations")):
        names = list(dict.fromkeys(name for it in table.rows for name in getattr(it.row, groups)))
        rows: list[list[object]] = []
        for it in table.rows:
            cells = [getattr(it.row, groups).get(name) for name in names]
            rows.append([it.row.policy, *("-" if cell is None else share(cell.accuracy) for cell in cells)])
        yield from markdown_table([f"policy by {title}", *names], rows)
        yield ""


def _signed(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:+.2f} to {bounds[1]:+.2f}"
