"""Costs of episodes: tokens, latency, wall time, captioning and money."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from experiments.analysis.episode_facts import EpisodeFacts
from experiments.settings.prices import Prices

TOKEN_ROLES = ("question", "results", "images", "replies", "read")
"""Fields of `vt_env.episode.reply_record.TokenUse`."""
HOUR_S = 3600.0


@dataclass(frozen=True)
class Spread:
    """Mean, median and 90th percentile over episodes."""

    n: int
    mean: float
    median: float
    p90: float


@dataclass(frozen=True)
class Captioning:
    """Seconds of video captioned before the first question; episode costs do not include them."""

    videos: int
    video_s: float
    """Mean length of a video in seconds: the cost of asking one question about it."""
    question_s: float
    """Captioned seconds per question: the cost amortised over all questions played."""


@dataclass(frozen=True)
class Costs:
    """Tokens, seconds and money of scored episodes."""

    tokens: Mapping[str, Spread]
    """Tokens per episode, by role; empty where the backend reports none."""
    latency_s: Spread | None
    """Seconds per episode that the policy waited for replies."""
    wall_s: Spread | None
    """Wall time per episode in seconds, waiting for its batch included."""
    captioning: Captioning | None
    """`None` where the policy reads no captions."""
    cost: float | None
    """Money per episode, captioning amortised over the questions played; `None` without prices."""
    cost_raw: float | None
    """Money per episode, each question charged for all captions of its video."""
    currency: str
    """Currency and date of the prices."""
    per_right: Mapping[str, float]
    """Cost per right answer, by unit: totals over all episodes divided by the number of right answers. Empty without a
    right answer."""


def costs_of(scored: Sequence[EpisodeFacts], prices: Prices | None = None) -> Costs:
    """Summarise the costs of scored episodes, at least one.

    Args:
        scored: The episodes.
        prices: Prices of tokens and captions; by default the cost that the server reported.
    """
    captioning = captioning_of(scored)
    cost, cost_raw = _money(scored, captioning, prices)
    return Costs(
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
    """Sum the lengths of the videos whose captions a policy read; `None` without such a video."""
    lengths = {it.video: it.duration_s for it in scored if it.captioned and it.duration_s}
    if not lengths:
        return None
    total_s = sum(lengths[video] for video in sorted(lengths))
    questions = sum(it.video in lengths for it in scored)
    return Captioning(len(lengths), total_s / len(lengths), total_s / questions)


def spread(values: Sequence[float | None]) -> Spread | None:
    """Summarise the known values; `None` without one."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    return Spread(len(known), fmean(known), median(known), float(np.quantile(known, 0.9)))


def tokens_of(facts: EpisodeFacts, role: str) -> int | None:
    """Return the tokens of one role; `None` where the backend reports none."""
    return None if facts.tokens is None else getattr(facts.tokens, role)


def _money(
    scored: Sequence[EpisodeFacts], captioning: Captioning | None, prices: Prices | None
) -> tuple[float | None, float | None]:
    """Return the money per episode with captions amortised, and with them charged to each question."""
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
    totals = {name: sum(known) for name, values in units.items() if (known := [it for it in values if it is not None])}
    totals |= {} if cost is None else {"cost": cost * len(scored)}
    return {name: total / right for name, total in totals.items()}
