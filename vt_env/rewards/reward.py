"""Reward of a finished episode: a gated, weighted sum of named terms.

| term | value | kind |
|---|---|---|
| accuracy | 1 if the answer is the right option, else 0 | |
| format | 1 if all actions are in our form, none failed and the answer was read as an option, else 0 | bonus |
| evidence | temporal IoU of what was viewed with where the answer is, 0 to 1 | bonus |
| evidence_f1 | the same as an F1 | bonus |
| spatial_evidence | IoU of what was looked at closely with the gold boxes, 0 to 1 | bonus |
| cost | minus the share of calls used, -1 to 0 | penalty |
| frame_cost | minus the share of frames used, -1 to 0 | penalty |
| redundancy | minus the share of calls that showed again what had been seen, -1 to 0 | penalty |
| no_option | -1 if no answer was read as an option, else 0 | deduction |

Formulas and sources are in `vt_env.rewards.terms`. With weights w, the reward is

    w_accuracy accuracy + accuracy sum(w_t t, bonuses and penalties t) + sum(w_d d, deductions d)
    + sum(w_o o, custom terms o)

so bonuses and penalties are paid only where the answer is right. That is what makes them useless to farm: without
custom terms, a wrong answer earns exactly 0, a missing one 0 or minus the weight of `no_option`, and a right one at
least 0, since weights may not be negative and penalties may not outweigh accuracy. `no_option` cannot be farmed either:
naming any option earns it back. A policy that is right on a share p of the tasks
earns between p (w_accuracy - P) and p (w_accuracy + B), P and B the sums of the weights of penalties and bonuses: one
that plays for the terms gains only while its p is more than (w_accuracy - P) / (w_accuracy + B) of an honest policy's.
It also means that giving up is never better than going on. The price is that nothing is learned from wrong answers
about form, but for `no_option`; supervised training comes first for that.

The presets `default` and `paper` pay accuracy only: outcome reward alone is the default until another weight is
measured to be better, and the paper trains without reinforcement learning. `shaped` pays all kinds a little. All terms
are always reported, unweighted and for wrong answers too. All but accuracy are extensions.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vt_env.config import RewardConfig
from vt_env.errors import ConfigError, suggest
from vt_env.rewards.terms import BONUSES, DEDUCTIONS, PENALTIES, FinishedEpisode, RewardTerm, accuracy

__all__ = [
    "REWARDS",
    "TERMS",
    "FinishedEpisode",
    "RewardResult",
    "RewardTerm",
    "default_rewards",
    "paper_rewards",
    "pay",
    "resolve_rewards",
    "score",
    "shaped_rewards",
]


@dataclass(frozen=True, slots=True)
class RewardResult:
    """Total reward and its terms."""

    total: float
    terms: dict[str, float]
    """Value of each term before weighting."""


TERMS: Mapping[str, RewardTerm] = {"accuracy": accuracy, **BONUSES, **PENALTIES, **DEDUCTIONS}


def default_rewards() -> RewardConfig:
    """Outcome only: accuracy is paid, the other terms are reported."""
    return RewardConfig({"accuracy": 1.0})


def paper_rewards() -> RewardConfig:
    """Accuracy, the measure that the paper reports."""
    return RewardConfig({"accuracy": 1.0})


def shaped_rewards() -> RewardConfig:
    """Accuracy first, then looking at the right place with little effort; an extension.

    A right answer earns 0.8 to 1.3, a wrong one 0. The weights are a choice, not a measured optimum.
    """
    bonuses = {"format": 0.1, "evidence": 0.1, "spatial_evidence": 0.1}
    return RewardConfig({"accuracy": 1.0, **bonuses, "cost": 0.1, "frame_cost": 0.05, "redundancy": 0.05})


REWARDS: Mapping[str, Callable[[], RewardConfig]] = {
    "default": default_rewards,
    "paper": paper_rewards,
    "shaped": shaped_rewards,
}


def resolve_rewards(rewards: str | RewardConfig) -> RewardConfig:
    """Turn a preset name into its config; a config is checked and returned as it is.

    Args:
        rewards: A name of `REWARDS`, also with other weights (`"default,no_option=0.2"`), or a config.

    Raises:
        ConfigError: There is no preset or no term of that name, a custom term takes a built-in name, or a weight
            makes a term worth farming.
    """
    if isinstance(rewards, str):
        name, *changes = rewards.split(",")
        if name not in REWARDS:
            raise ConfigError(
                f"rewards={rewards!r}: allowed are {sorted(REWARDS)}, also with other weights "
                f"(default,no_option=0.2), or a RewardConfig{suggest(name, REWARDS)}"
            )
        own = dict(REWARDS[name]().weights)
        rewards = RewardConfig({**own, **dict(_weight(rewards, change) for change in changes)})
    terms = _terms(rewards)
    for name in rewards.weights:
        if name not in terms:
            raise ConfigError(f"rewards.weights: no term {name!r}; allowed are {sorted(terms)}{suggest(name, terms)}")
    _check_weights(rewards.weights)
    return rewards


def score(finished: FinishedEpisode, config: RewardConfig) -> RewardResult:
    """Compute every term and the weighted total.

    Raises:
        ConfigError: A custom term is not a finite number.
    """
    terms = {name: float(term(finished)) for name, term in _terms(config).items()}
    for name, value in terms.items():
        if not math.isfinite(value):
            raise ConfigError(f"reward term {name!r} returned {value}: need a finite number")
    return RewardResult(pay(terms, config.weights), terms)


def pay(terms: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Compute the reward from the values of the terms, by the formula at the top of this module."""
    return sum(
        weight * terms[name] * (terms["accuracy"] if name in BONUSES or name in PENALTIES else 1.0)
        for name, weight in weights.items()
    )


def _weight(rewards: str, change: str) -> tuple[str, float]:
    name, _, value = change.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise ConfigError(f"rewards={rewards!r}: {name} is {value!r}; need a number, such as {name}=0.2") from None


def _terms(config: RewardConfig) -> Mapping[str, RewardTerm]:
    taken = sorted(set(TERMS) & set(config.terms))
    if taken:
        raise ConfigError(f"rewards.terms: {taken} are built in; rename yours")
    return {**TERMS, **config.terms}


def _check_weights(weights: Mapping[str, float]) -> None:
    for name, weight in weights.items():
        if not math.isfinite(weight) or (weight < 0 and name in TERMS):
            raise ConfigError(f"rewards.weights[{name!r}]={weight}: need a finite number, for built-in terms 0 or more")
    penalties = sum(weight for name, weight in weights.items() if name in PENALTIES)
    # A sum of decimal fractions may miss their total by a little.
    if penalties > weights.get("accuracy", 0.0) + 1e-9:
        raise ConfigError(
            f"rewards.weights: penalties add up to {penalties}, accuracy is {weights.get('accuracy', 0.0)}; need no "
            "more than accuracy, or a right answer could earn less than a wrong one"
        )
