"""How a policy went about its episodes and what it spent: what an accuracy alone does not show.

Pure functions over what scored episodes contribute. Means stand with their number of episodes; those that decide
something have a cluster bootstrap interval as accuracy has. What nobody measured is absent, never 0.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from experiments.analysis.episode_facts import EpisodeFacts, Evidence
from experiments.settings.prices import Prices
from vt_env.stats import bootstrap_ci95_each, clustered_by_video, mean

TOKEN_ROLES = ("question", "results", "images", "replies", "read")
"""As in `vt_env.episode.reply_record.TokenUse`."""
HOUR_S = 3600.0
_NO_EVIDENCE = Evidence(0.0, 0.0)

Case = tuple[Sequence[EpisodeFacts], Callable[[EpisodeFacts], float]]
"""Episodes and what is averaged over them."""


@dataclass(frozen=True)
class Estimate:
    """A mean over episodes."""

    n: int
    mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class Spread:
    """A mean over episodes and how they vary."""

    n: int
    mean: float
    median: float
    p90: float


@dataclass(frozen=True)
class EvidenceRow:
    """How well spans meet the gold evidence, over episodes whose task has some."""

    iou: Estimate
    """Temporal IoU of unions of spans; 0 where there is no span."""
    recall: Estimate
    """Share of the gold seconds that are covered."""
    hit: Estimate
    """Share of episodes with any overlap."""


@dataclass(frozen=True)
class Behaviour:
    """What a policy did in its episodes."""

    invalid: Mapping[str, float]
    """Kind of failure to its share of all actions."""
    failing_episodes: float
    """Share of episodes in which an action failed."""
    forced_answer_rate: float
    """Share of episodes answered when no call was left and answering was all that remained."""
    limit_rate: float
    """Share of episodes that a limit ended without an answer."""
    unique_s: float
    """Different seconds of video viewed an episode, the frames beside the question not included."""
    coverage: float | None
    """Share of the video's length that these are."""
    viewed: EvidenceRow | None
    """Evidence met by what was viewed; `None` where no task has gold evidence."""
    cited: EvidenceRow | None
    """Evidence met by what the last message names, over all episodes with gold evidence: none cited is 0. `None` where
    no episode cites anything."""
    cited_rate: float
    """Share of episodes whose last message names a span."""
    right_if_seen: Estimate | None
    """Accuracy where the evidence was viewed at least in part."""
    right_if_unseen: Estimate | None
    """Accuracy where it was not: by luck, by subtitles' search results or by the question's wording."""


@dataclass(frozen=True)
class Captioning:
    """What had to be captioned before the first question: the cost that a table of episodes hides."""

    videos: int
    video_s: float
    """Seconds of video a video: the raw cost of asking a single question."""
    question_s: float
    """Seconds of video a question, shared by all questions asked about it here: the amortised cost."""


@dataclass(frozen=True)
class Spending:
    """What a policy spent."""

    tokens: Mapping[str, Spread]
    """Role to tokens an episode; empty where no backend has counted."""
    latency_s: Spread | None
    """Seconds that replies were waited for."""
    wall_s: Spread | None
    """Seconds an episode, waiting for others in its batch included."""
    captioning: Captioning | None
    """`None` where the policy reads no captions."""
    cost: float | None
    """Money an episode, captioning amortised over the questions asked here; `None` without prices."""
    cost_raw: float | None
    """The same with each question paying for all captions of its video."""
    currency: str
    """With the date of the prices."""
    per_right: Mapping[str, float]
    """Unit to what one right answer took: all that was spent, wrong answers included, by right answers. Empty if none
    is right."""


def behaviour_of(scored: Sequence[EpisodeFacts], seed: int) -> Behaviour:
    """Summarise what was done in scored episodes, at least one."""
    actions = max(1, sum(it.actions for it in scored))
    kinds = Counter(kind for it in scored for kind in it.errors)
    grounded = [it for it in scored if it.viewed_evidence is not None]
    known = [it for it in scored if it.duration_s]
    cases = {**_evidence_cases("viewed", grounded, _viewed), **_evidence_cases("cited", grounded, _cited)}
    cases["seen"] = ([it for it in grounded if _viewed(it).recall > 0], _right)
    cases["unseen"] = ([it for it in grounded if _viewed(it).recall == 0], _right)
    found = estimates(cases, seed)
    cites = any(it.cited_evidence for it in grounded)
    return Behaviour(
        invalid={kind: kinds[kind] / actions for kind in sorted(kinds)},
        failing_episodes=fmean(bool(it.errors) for it in scored),
        forced_answer_rate=fmean(it.forced for it in scored),
        limit_rate=fmean(it.limited for it in scored),
        unique_s=fmean(it.viewed_s for it in scored),
        coverage=fmean(min(1.0, it.viewed_s / (it.duration_s or 1.0)) for it in known) if known else None,
        viewed=_evidence_row("viewed", found) if grounded else None,
        cited=_evidence_row("cited", found) if cites else None,
        cited_rate=fmean(bool(it.cited) for it in scored),
        right_if_seen=found.get("seen"),
        right_if_unseen=found.get("unseen"),
    )


def spending_of(scored: Sequence[EpisodeFacts], prices: Prices | None = None) -> Spending:
    """Summarise what scored episodes, at least one, have spent.

    Args:
        scored: The episodes.
        prices: What tokens cost, where no server has told it.
    """
    captioning = captioning_of(scored)
    cost, cost_raw = _costs(scored, captioning, prices)
    return Spending(
        tokens={role: row for role in TOKEN_ROLES if (row := spread([tokens_of(it, role) for it in scored]))},
        latency_s=spread([it.latency_s for it in scored]),
        wall_s=spread([it.wall_s for it in scored]),
        captioning=captioning,
        cost=cost,
        cost_raw=cost_raw,
        currency="USD, as the server reports" if prices is None else f"{prices.currency}, {prices.date}",
        per_right=_per_right(scored, cost),
    )


def captioning_of(scored: Sequence[EpisodeFacts]) -> Captioning | None:
    """Sum up the length of the videos whose captions a policy read."""
    lengths = {it.video: it.duration_s for it in scored if it.captioned and it.duration_s}
    if not lengths:
        return None
    total_s = sum(lengths[video] for video in sorted(lengths))
    questions = sum(it.video in lengths for it in scored)
    return Captioning(len(lengths), total_s / len(lengths), total_s / questions)


def estimates(cases: Mapping[str, Case], seed: int) -> dict[str, Estimate]:
    """Average several values with their intervals, all over the same draws of videos.

    Args:
        cases: Name to the episodes and the value; names without an episode are left out.
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


def spread(values: Sequence[float | None]) -> Spread | None:
    """Describe values; those that nobody measured are left out, `None` if there is no other."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    return Spread(len(known), fmean(known), median(known), float(np.quantile(known, 0.9)))


def tokens_of(facts: EpisodeFacts, role: str) -> int | None:
    """Tokens of one role, `None` where the backend does not tell."""
    return None if facts.tokens is None else getattr(facts.tokens, role)


def _evidence_cases(
    name: str, grounded: Sequence[EpisodeFacts], of: Callable[[EpisodeFacts], Evidence]
) -> dict[str, Case]:
    return {
        f"{name} iou": (grounded, lambda it: of(it).iou),
        f"{name} recall": (grounded, lambda it: of(it).recall),
        f"{name} hit": (grounded, lambda it: of(it).recall > 0),
    }


def _evidence_row(name: str, found: Mapping[str, Estimate]) -> EvidenceRow:
    return EvidenceRow(found[f"{name} iou"], found[f"{name} recall"], found[f"{name} hit"])


def _viewed(facts: EpisodeFacts) -> Evidence:
    return facts.viewed_evidence or _NO_EVIDENCE


def _cited(facts: EpisodeFacts) -> Evidence:
    return facts.cited_evidence or _NO_EVIDENCE


def _right(facts: EpisodeFacts) -> float:
    return float(facts.is_right)


def _costs(
    scored: Sequence[EpisodeFacts], captioning: Captioning | None, prices: Prices | None
) -> tuple[float | None, float | None]:
    """Money an episode: captions amortised, and raw."""
    if prices is None:
        recorded = fmean(it.cost_usd for it in scored)
        return (recorded, None if captioning else recorded) if recorded else (None, None)
    counted = [it.tokens for it in scored if it.tokens is not None]
    if len(counted) < len(scored) and not captioning:
        return None, None
    per_read, per_written = prices.per_million_read / 1e6, prices.per_million_written / 1e6
    tokens = sum(it.read * per_read + it.replies * per_written for it in counted) / len(scored)
    per_s = prices.per_captioned_hour / HOUR_S
    amortised, raw = (captioning.question_s, captioning.video_s) if captioning else (0.0, 0.0)
    return tokens + amortised * per_s, tokens + raw * per_s


def _per_right(scored: Sequence[EpisodeFacts], cost: float | None) -> dict[str, float]:
    right = sum(it.is_right for it in scored)
    if not right:
        return {}
    units: dict[str, Sequence[float | None]] = {
        "calls": [it.calls for it in scored],
        "frames": [it.frames for it in scored],
        "tokens_read": [tokens_of(it, "read") for it in scored],
        "tokens_written": [tokens_of(it, "replies") for it in scored],
        "latency_s": [it.latency_s for it in scored],
    }
    spent = {name: sum(known) for name, values in units.items() if (known := [it for it in values if it is not None])}
    spent |= {} if cost is None else {"cost": cost * len(scored)}
    return {name: total / right for name, total in spent.items()}
