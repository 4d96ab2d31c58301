"""Runs of one policy over training seeds: the same configuration but for the seed."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_FREE = ("seed", "out")
"""Fields that may differ."""


def seed_groups(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Group runs that differ in the training seed alone.

    Text may hold the seed as a number where the other run has its own, as in `seed-0/sft/model` and `seed-1/sft/model`.
    A run of a seed that its group already has stands alone, since it is no independent one.

    Args:
        configs: `config.json` by run name.

    Returns:
        Name of the group to the names of its runs; a group of one has its run's name.
    """
    groups: list[list[str]] = []
    for name, config in configs.items():
        seed = config.get("seed")
        fits = (
            group
            for group in groups
            if isinstance(seed, int)
            and _is_same(configs[group[0]], config)
            and seed not in [configs[it]["seed"] for it in group]
        )
        group = next(fits, None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return {_name(group, configs): group for group in groups}


def _is_same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    seeds = a.get("seed"), b.get("seed")
    if not all(isinstance(seed, int) for seed in seeds):
        return False
    one, other = ({name: value for name, value in it.items() if name not in _FREE} for it in (a, b))
    return _equal(one, other, seeds)


def _equal(a: Any, b: Any, seeds: tuple[Any, Any]) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return a == b or _without_seed(a, seeds[0]) == _without_seed(b, seeds[1])
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[name], b[name], seeds) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_equal(one, other, seeds) for one, other in zip(a, b, strict=True))
    return a == b


def _without_seed(text: str, seed: int) -> str:
    return re.sub(rf"(?<!\d){seed}(?!\d)", "*", text)


def _name(group: Sequence[str], configs: Mapping[str, Mapping[str, Any]]) -> str:
    if len(group) == 1:
        return group[0]
    patterns = {_without_seed(name, configs[name]["seed"]) for name in group}
    shown = patterns.pop() if len(patterns) == 1 else group[0]
    return f"{shown} ({len(group)} seeds)"
