"""Tool use of a policy: failed actions, seconds viewed and overlap with the gold evidence.

Pure functions over scored episodes. Every mean stands with its number of episodes, most with a cluster bootstrap
interval. Missing measurements are absent, never 0. Tokens, time and money are in `experiments.analysis.costs`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from experiments.analysis.episode_facts import EpisodeFacts, SpanOverlap
from vt_env.stats import bootstrap_ci95_each, clustered_by_video, mean

_NO_OVERLAP = SpanOverlap(0.0, 0.0)

Case = tuple[Sequence[EpisodeFacts], Callable[[EpisodeFacts], float]]
"""Episodes and the value to average over them."""


@dataclass(frozen=True)
class Estimate:
    """Mean over episodes with its 95 % cluster bootstrap interval."""

    n: int
    mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class OverlapRow:
    """Overlap of spans with the gold evidence, over episodes of tasks that have gold evidence."""

    iou: Estimate
    """Temporal IoU of the unions of spans; 0 without a span."""
    recall: Estimate
    """Covered share of the gold seconds."""
    hit: Estimate
    """Share of episodes with any overlap."""


@dataclass(frozen=True)
class ToolUse:
    """Actions, views and citations of a policy, averaged over its scored episodes."""

    invalid: Mapping[str, float]
    """Share of all actions, by kind of failure."""
    failing_episodes: float
    """Share of episodes with a failed action."""
    forced_answer_rate: float
    """Share of episodes answered after the call budget ran out."""
    limit_rate: float
    """Share of episodes that a limit truncated before an answer."""
    unique_s: float
    """Distinct seconds of video viewed per episode, without the frames of the question."""
    coverage: float | None
    """`unique_s` as a share of the video's length."""
    viewed: OverlapRow | None
    """Overlap of viewed spans with the gold evidence; `None` where no task has any."""
    cited: OverlapRow | None
    """Overlap of cited spans with the gold evidence; an episode that cites none counts as 0. `None` where no episode
    cites any."""
    cited_rate: float
    """Share of episodes whose last message cites a span."""
    right_if_seen: Estimate | None
    """Accuracy over episodes that viewed part of the evidence."""
    right_if_unseen: Estimate | None
    """Accuracy over episodes that viewed none of it: guesses, subtitle search results or wording of the question."""


def tool_use_of(scored: Sequence[EpisodeFacts], seed: int) -> ToolUse:
    """Summarise the tool use of scored episodes, at least one."""
    actions = max(1, sum(it.actions for it in scored))
    kinds = Counter(kind for it in scored for kind in it.errors)
    grounded = [it for it in scored if it.viewed_overlap is not None]
    known = [it for it in scored if it.duration_s]
    cases = {**_overlap_cases("viewed", grounded, _viewed), **_overlap_cases("cited", grounded, _cited)}
    cases["seen"] = ([it for it in grounded if _viewed(it).recall > 0], _right)
    cases["unseen"] = ([it for it in grounded if _viewed(it).recall == 0], _right)
    found = estimates(cases, seed)
    cites = any(it.cited_overlap for it in grounded)
    return ToolUse(
        invalid={kind: kinds[kind] / actions for kind in sorted(kinds)},
        failing_episodes=fmean(bool(it.errors) for it in scored),
        forced_answer_rate=fmean(it.forced for it in scored),
        limit_rate=fmean(it.limited for it in scored),
        unique_s=fmean(it.viewed_s for it in scored),
        coverage=fmean(min(1.0, it.viewed_s / (it.duration_s or 1.0)) for it in known) if known else None,
        viewed=_overlap_row("viewed", found) if grounded else None,
        cited=_overlap_row("cited", found) if cites else None,
        cited_rate=fmean(bool(it.cited) for it in scored),
        right_if_seen=found.get("seen"),
        right_if_unseen=found.get("unseen"),
    )


def estimates(cases: Mapping[str, Case], seed: int) -> dict[str, Estimate]:
    """Average several values, with intervals from shared bootstrap draws of videos.

    Args:
        cases: Name to episodes and value; cases without an episode are skipped.
        seed: Seed of the bootstrap.
    """
    columns = {
        name: clustered_by_video((it.video, it.task_id, float(value(it))) for it in facts)
        for name, (facts, value) in cases.items()
        if facts
    }
    found = (
        bootstrap_ci95_each([[column] for column in columns.values()], np.random.default_rng(seed)) if columns else []
    )
    return {
        name: Estimate(len(cases[name][0]), mean(column), interval)
        for (name, column), interval in zip(columns.items(), found, strict=True)
    }


def _overlap_cases(
    name: str, grounded: Sequence[EpisodeFacts], of: Callable[[EpisodeFacts], SpanOverlap]
) -> dict[str, Case]:
    return {
        f"{name} iou": (grounded, lambda it: of(it).iou),
        f"{name} recall": (grounded, lambda it: of(it).recall),
        f"{name} hit": (grounded, lambda it: of(it).recall > 0),
    }


def _overlap_row(name: str, found: Mapping[str, Estimate]) -> OverlapRow:
    return OverlapRow(found[f"{name} iou"], found[f"{name} recall"], found[f"{name} hit"])


def _viewed(facts: EpisodeFacts) -> SpanOverlap:
    return facts.viewed_overlap or _NO_OVERLAP


def _cited(facts: EpisodeFacts) -> SpanOverlap:
    return facts.cited_overlap or _NO_OVERLAP


def _right(facts: EpisodeFacts) -> float:
    return float(facts.is_right)
