"""Table of results over training seeds, from journals or published records of evaluations.

A task counts once per training seed. Confidence intervals resample videos, so that all seeds of a video are drawn
together: they describe new videos, not new seeds. The table therefore lists the accuracy of each seed, too.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from experiments.analysis.accuracy import PairRow, PolicyRow, clusters_of, compare, paired, summarise
from experiments.analysis.calls_accuracy import CallsPoint, calls_point
from experiments.analysis.episode_facts import EpisodeFacts
from experiments.analysis.load_runs import find_runs, load_run
from experiments.analysis.paired_comparison import Difference
from vt_env.stats import bootstrap_ci95, mean

SHARED = -1
"""Key, in place of a training seed, of a policy that is not trained."""
EVAL_FOLDER = "eval"
"""Folder of evaluations, of the whole run and of each training seed."""
_SEED_FOLDER = re.compile(r"seed-(\d+)")


@dataclass(frozen=True)
class Claim:
    """A difference that was wanted before it was measured."""

    policy: str
    rivals: tuple[str, ...]
    """Of those that were evaluated, the one with the highest accuracy is compared with."""
    gain: float
    """Least difference in accuracy, whose interval must lie above 0."""
    calls_share: float | None = None
    """Share of the rival's calls that counts as well, at an accuracy that is not lower; the gain then also needs no
    more calls than the rival's."""


@dataclass(frozen=True)
class TableInputs:
    """What a table shows besides the episodes; kept as `table_inputs.json` beside them."""

    order: tuple[str, ...] = ()
    """Folder names of policies, in the order of the table; empty for all, in alphabetical order."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Folder name to the name in the table; the folder name if absent."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Pairs to compare if both were evaluated."""
    claims: tuple[Claim, ...] = ()
    ceilings: Mapping[str, float] = field(default_factory=dict[str, float])
    """Observations, such as `8 frames spread evenly`, to the accuracy of an errorless reader."""
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    """Wall time of each step in seconds."""

    def label(self, name: str) -> str:
        """Return the name of a policy in the table."""
        return self.labels.get(name, name)


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
    calls: Difference
    """Difference in calls an episode, over the same pairs."""
    by_seed: Mapping[int, PairRow]
    """Difference by training seed."""


@dataclass(frozen=True)
class ClaimRow:
    """A claim with what was measured."""

    claim: Claim
    rival: str
    """The strongest of the rivals."""
    pair: SeedPair
    calls_share: float | None
    """Calls an episode as a share of the rival's; `None` if it makes none."""
    is_reached: bool


@dataclass(frozen=True)
class SeedTable:
    """Results of all finished evaluations."""

    inputs: TableInputs
    rows: Sequence[SeedRow]
    pairs: Sequence[SeedPair]
    claims: Sequence[ClaimRow]
    calls: Sequence[CallsPoint]
    """Calls and accuracy of every policy."""
    chance: float
    """Expected accuracy of guessing on the tasks played."""

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as plain JSON values."""
        return asdict(self)


Evaluations = Mapping[str, Mapping[int, list[EpisodeFacts]]]
"""Folder name of a policy to training seed to episodes, whose `sample` is the training seed."""


def evaluation_folders(folder: Path) -> dict[int, Path]:
    """Find the folders of evaluations of a run: training seed, or `SHARED`, to folder.

    Args:
        folder: A run directory of `vt-env reproduce`, the same published, or any folder of evaluations.
    """
    seeds = {int(match[1]): it for it in folder.glob("seed-*") if (match := _SEED_FOLDER.fullmatch(it.name))}
    found = {seed: it / EVAL_FOLDER for seed, it in sorted(seeds.items())}
    is_alone = not found and not (folder / EVAL_FOLDER).is_dir()
    return {SHARED: folder if is_alone else folder / EVAL_FOLDER, **found}


def read_evaluations(folders: Mapping[int, Path]) -> Evaluations:
    """Read evaluations; the folder of a run is named after its policy.

    Args:
        folders: Training seed, or `SHARED` for policies that are not trained, to the folder of evaluations.
    """
    found: defaultdict[str, dict[int, list[EpisodeFacts]]] = defaultdict(dict)
    for seed, folder in folders.items():
        for path in find_runs(folder) if folder.is_dir() else ():
            run = load_run(path)
            facts = [replace(it, sample=max(seed, 0)) for it in run.facts] if run.kind == "eval" else []
            if facts:
                found[path.name][seed] = facts
    return found


def make_table(evaluations: Evaluations, inputs: TableInputs) -> SeedTable:
    """Summarise the evaluations of the policies in the order of the inputs; others are left out."""
    order = [name for name in inputs.order or sorted(evaluations) if name in evaluations]
    found = {name: evaluations[name] for name in order}
    facts = {name: _all(by_seed) for name, by_seed in found.items()}
    pairs = [_pair(found, names, inputs) for names in inputs.pairs if all(name in found for name in names)]
    options = [it.options for some in facts.values() for it in some]
    points = [calls_point(inputs.label(name), some) for name, some in facts.items()]
    return SeedTable(
        inputs,
        [_row(inputs.label(name), by_seed) for name, by_seed in found.items()],
        [pair for pair in pairs if pair is not None],
        [row for claim in inputs.claims if (row := _claim(found, claim, inputs)) is not None],
        [point for point in points if point is not None],
        fmean(1 / count for count in options) if options else 0.0,
    )


def _row(label: str, by_seed: Mapping[int, Sequence[EpisodeFacts]]) -> SeedRow:
    return SeedRow(
        # Training seeds are different policies, not attempts of one policy, so pass@k has no meaning.
        replace(summarise(label, _all(by_seed)), attempts=()),
        {seed: summarise(label, facts).accuracy for seed, facts in by_seed.items()},
    )


def _pair(evaluations: Evaluations, names: tuple[str, str], inputs: TableInputs) -> SeedPair | None:
    first, second = (evaluations[name] for name in names)
    labels = inputs.label(names[0]), inputs.label(names[1])
    overall = compare(_all(first), _all(second), labels)
    if overall is None:
        return None
    by_seed = {seed: compare(first[seed], second[seed], labels) for seed in sorted(first.keys() & second.keys())}
    calls = _calls_difference(_all(first), _all(second))
    return SeedPair(overall, calls, {seed: row for seed, row in by_seed.items() if row is not None})


def _calls_difference(a: Sequence[EpisodeFacts], b: Sequence[EpisodeFacts], seed: int = 0) -> Difference:
    pairs = paired(a, b)
    found = {id(one): float(one.calls - other.calls) for one, other in pairs}
    clusters = clusters_of([one for one, _ in pairs], lambda it: found[id(it)])
    return Difference(len(pairs), mean(clusters), bootstrap_ci95(clusters, np.random.default_rng(seed)))


def _claim(evaluations: Evaluations, claim: Claim, inputs: TableInputs) -> ClaimRow | None:
    rivals = [name for name in claim.rivals if name in evaluations]
    if claim.policy not in evaluations or not rivals:
        return None
    rival = max(rivals, key=lambda name: summarise(name, _all(evaluations[name])).accuracy or 0.0)
    pair = _pair(evaluations, (claim.policy, rival), inputs)
    if pair is None:
        return None
    own, other = (fmean(it.calls for it in _all(evaluations[name])) for name in (claim.policy, rival))
    share = own / other if other else None
    return ClaimRow(claim, inputs.label(rival), pair, share, is_reached(claim, pair, share))


def is_reached(claim: Claim, pair: SeedPair, calls_share: float | None) -> bool:
    """Tell whether what was measured is what was wanted.

    Args:
        claim: The claim.
        pair: Difference to the rival.
        calls_share: Calls as a share of the rival's.
    """
    overall = pair.overall
    is_better = overall.difference >= claim.gain and overall.ci95[0] > 0
    if claim.calls_share is None or calls_share is None:
        return is_better
    is_cheaper = calls_share <= claim.calls_share and pair.calls.ci95[1] < 0
    return (is_better and calls_share <= 1) or (is_cheaper and overall.difference >= 0)


def _all(by_seed: Mapping[int, Sequence[EpisodeFacts]]) -> list[EpisodeFacts]:
    return [it for facts in by_seed.values() for it in facts]
