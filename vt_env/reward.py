"""From a finished episode to named reward terms, and from terms to the reward: their weighted sum.

| term | value |
|---|---|
| accuracy | 1 if the answer is the right option, else 0 |
| format | 1 if no action failed or was malformed and the answer was read as an option, else 0 |
| evidence | overlap of what was viewed with where the answer is, 0 to 1 |
| cost | minus the share of calls spent, -1 to 0 |

Both presets pay accuracy only: outcome reward alone is the default until another weight is measured to be better, and
the paper trains without reinforcement learning. All terms are always reported. `format`, `evidence` and `cost` are
extensions.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vt_env.config import BudgetConfig, RewardConfig
from vt_env.errors import ConfigError, suggest
from vt_env.gold import Gold
from vt_env.scoring import AnswerStatus, ReadAnswer
from vt_env.types import Interval, Item, Remaining, StopReason, Turn


@dataclass(frozen=True, slots=True)
class FinishedEpisode:
    """What reward terms may read."""

    item: Item
    gold: Gold
    budget: BudgetConfig
    turns: tuple[Turn, ...]
    """All actions, the last one included."""
    answer: ReadAnswer
    """Unparsed where no answer was given."""
    stop: StopReason
    remaining: Remaining


RewardTerm = Callable[[FinishedEpisode], float]


@dataclass(frozen=True, slots=True)
class RewardResult:
    """The reward and what it is made of."""

    total: float
    terms: dict[str, float]
    """Value of each term before weighting."""


def accuracy(finished: FinishedEpisode) -> float:
    """Return 1 for the right option, else 0; unread and missing answers are wrong."""
    return float(finished.answer.option_idx == finished.gold.answer_idx)


def well_formed(finished: FinishedEpisode) -> float:
    """Return 1 if every action succeeded and the answer was read as an option, else 0."""
    failed = any(turn.error is not None for turn in finished.turns)
    return float(not failed and finished.answer.status is AnswerStatus.MATCHED)


def evidence(finished: FinishedEpisode) -> float:
    """Return the temporal intersection over union of what was viewed and the gold evidence.

    |V and E| / |V or E|, in seconds, where V is the union of the intervals that zooms and subtitle tools showed and E
    the union of the evidence; 0 if the task has none. Viewing the whole video therefore earns little.
    """
    viewed = _union(interval for turn in finished.turns for interval in turn.viewed)
    gold = _union(finished.gold.evidence)
    shared_s = sum(one.overlap_s(other) for one in viewed for other in gold)
    either_s = sum(interval.duration_s for interval in (*viewed, *gold)) - shared_s
    return shared_s / either_s if gold else 0.0


def cost(finished: FinishedEpisode) -> float:
    """Return minus the share of calls spent, -1 to 0."""
    return finished.remaining.calls / finished.budget.max_calls - 1.0


TERMS: Mapping[str, RewardTerm] = {"accuracy": accuracy, "format": well_formed, "evidence": evidence, "cost": cost}


def default_rewards() -> RewardConfig:
    """Outcome only: accuracy is paid, the other terms are reported."""
    return RewardConfig({"accuracy": 1.0})


def paper_rewards() -> RewardConfig:
    """Accuracy, the measure that the paper reports."""
    return RewardConfig({"accuracy": 1.0})


REWARDS: Mapping[str, Callable[[], RewardConfig]] = {"default": default_rewards, "paper": paper_rewards}


def resolve_rewards(rewards: str | RewardConfig) -> RewardConfig:
    """Turn a preset name into its config; a config is checked and returned as it is.

    Raises:
        ConfigError: There is no preset or no term of that name, or a term of your own takes a built-in name.
    """
    if isinstance(rewards, str):
        if rewards not in REWARDS:
            raise ConfigError(f"rewards={rewards!r}: allowed are {sorted(REWARDS)} or a RewardConfig")
        return REWARDS[rewards]()
    terms = _terms(rewards)
    for name in rewards.weights:
        if name not in terms:
            raise ConfigError(f"rewards.weights: no term {name!r}; allowed are {sorted(terms)}{suggest(name, terms)}")
    return rewards


def score(finished: FinishedEpisode, config: RewardConfig) -> RewardResult:
    """Compute every term and their weighted sum.

    Raises:
        ConfigError: A term of the caller's own is not a finite number.
    """
    terms = {name: float(term(finished)) for name, term in _terms(config).items()}
    for name, value in terms.items():
        if not math.isfinite(value):
            raise ConfigError(f"reward term {name!r} returned {value}: need a finite number")
    return RewardResult(sum(weight * terms[name] for name, weight in config.weights.items()), terms)


def _terms(config: RewardConfig) -> Mapping[str, RewardTerm]:
    taken = sorted(set(TERMS) & set(config.terms))
    if taken:
        raise ConfigError(f"rewards.terms: {taken} are built in; rename yours")
    return {**TERMS, **config.terms}


def _union(intervals: Iterable[Interval]) -> Sequence[Interval]:
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start_s <= merged[-1].end_s:
            merged[-1] = Interval(merged[-1].start_s, max(merged[-1].end_s, interval.end_s))
        else:
            merged.append(interval)
    return merged
