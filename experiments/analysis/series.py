"""Numbers of plots: series with intervals. The viewer and the files of a report draw the same ones."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

TRAINING, COST, CALIBRATION = "training", "cost", "calibration"
GROUPS = (COST, CALIBRATION, TRAINING)
"""Groups of plots, in order; each is one file."""


@dataclass(frozen=True)
class Series:
    """Points of one line or set of marks."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    """Lower ends of the 95 % intervals; empty without intervals."""
    high: Sequence[float]
    n: Sequence[int]
    """Number of runs or episodes that each point averages; empty where it is a single logged value."""
    runs: Sequence[str]
    """Names of the runs that the points come from."""
    form: str = "line"
    """`"line"`, `"step"` (a value holds until the next) or `"points"`."""
    policy: str = ""
    """Policy or run that the series is about; series of one share a colour and an entry of the legend."""
    part_of: str = ""
    """Name of the series that averages this one with other training seeds; empty for most."""


@dataclass(frozen=True)
class Plot:
    """Series over one pair of axes."""

    title: str
    group: str
    """One of `GROUPS`."""
    x_label: str
    y_label: str
    series: Sequence[Series]
    is_main: bool = True
    """Whether it is shown without being asked for."""

    @property
    def joined(self) -> list[Series]:
        """Series where runs over training seeds are one."""
        return [it for it in self.series if not it.part_of]


_PATTERNS = (r"^reward", r"^rollouts\.", r"terms\.", r"accuracy", r"loss$", r"entropy|kl$", r"logp", r"seconds\.")
_MAIN = tuple(map(re.compile, _PATTERNS))
"""Logged values that most readers look for, in the order in which they are shown."""


def rank_of_metric(name: str) -> int:
    """Return the place of a logged value among those that most readers look for; their number for all others."""
    return next((place for place, pattern in enumerate(_MAIN) if pattern.search(name)), len(_MAIN))


def is_main_metric(name: str) -> bool:
    """Return whether a logged value is among those that most readers look for."""
    return rank_of_metric(name) < len(_MAIN)
