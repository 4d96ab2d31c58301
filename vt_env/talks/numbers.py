"""Numbers of one talk: what is spoken and what is shown never share one, so that neither channel tells the other's."""

import numpy as np

_ALL = 1000


class TalkNumbers:
    """Draws whole numbers below 1000 for one talk.

    Of each pair 2k, 2k + 1, one may be spoken and the other one shown; the generator chooses which.

    Args:
        rng: Generator of the talk.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._is_first_spoken = rng.random(_ALL // 2) < 0.5
        self._drawn: set[int] = set()

    def spoken(self, low: int, high: int, others: int = 0) -> list[int]:
        """Draw 1 + `others` different numbers that may be spoken, the first one new if possible; bounds inclusive."""
        return self._draw([it for it in range(low, high + 1) if self._is_spoken(it)], others)

    def shown(self, low: int, high: int, others: int = 0) -> list[int]:
        """Draw 1 + `others` different numbers that may be shown, the first one new if possible; bounds inclusive."""
        return self._draw([it for it in range(low, high + 1) if not self._is_spoken(it)], others)

    def _is_spoken(self, number: int) -> bool:
        return (number % 2 == 0) == bool(self._is_first_spoken[number // 2])

    def _draw(self, candidates: list[int], others: int) -> list[int]:
        new = [it for it in candidates if it not in self._drawn] or candidates
        first = int(self._rng.choice(new))
        self._drawn.add(first)
        rest = [it for it in candidates if it != first]
        return [first, *(int(it) for it in self._rng.choice(rest, others, replace=False))]
