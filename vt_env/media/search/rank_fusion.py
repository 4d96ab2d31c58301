"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): combines rankings whose scores cannot be compared.

A document scores the sum of 1 / (60 + rank) over the rankings that contain it; 60 is the constant of the paper.
"""

import numpy as np
from numpy.typing import NDArray

RANK_SHIFT = 60
"""Constant k of the paper."""

Scores = NDArray[np.float32] | NDArray[np.float64]


def ranks(scores: Scores) -> NDArray[np.int64]:
    """Return int64[N], competition ranks from 1: one more than the number of better scores, so that ties share one."""
    return 1 + np.searchsorted(np.sort(-scores), -scores, side="left").astype(np.int64)


def reciprocal_ranks(scores: Scores) -> NDArray[np.float64]:
    """Return float64[N], 1 / (60 + rank) of each score."""
    return 1 / (RANK_SHIFT + ranks(scores).astype(np.float64))
