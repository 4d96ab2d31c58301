"""BM25 word search over short texts, in Python and numpy."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vt_env.valid_text import normalised

_K1, _B = 1.2, 0.75
"""The usual constants (Robertson and Zaragoza 2009, section 3.2: k1 from 1.2 to 2, b from 0.5 to 0.8)."""

_FREQUENT = 8
"""Words in at least one of this many texts store a dense row of gains: adding a row is faster than scattering."""
_FEW = 16
"""Number of best texts found one by one before the rest is sorted, since sorting thousands costs more."""

_FUNCTION_WORDS = (
    "a about an and are as at be by can did do does for from had has have he her his how i in is it its of on or she "
    "that the their there they this to was were what when where which who whom whose why will with you"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""English words that say nothing about where an answer is; a question in another language keeps all of its words."""

_HAN_AND_KANA = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
# Chinese and Japanese have no spaces between words, so each character counts as a word.
_WORD = re.compile(rf"[{_HAN_AND_KANA}]|[^\W_{_HAN_AND_KANA}]+")


def words_of(text: str) -> list[str]:
    """Split a text of any script into words, normalised by NFKC and case folding."""
    return _WORD.findall(normalised(text, "NFKC").casefold())


class WordIndex:
    """BM25 over a fixed list of texts.

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), equation 3.15, with
    the inverse document frequency log(1 + (N - n + 1/2) / (n + 1/2)), which is never negative.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(words_of(text)) for text in texts]
        lengths = np.array([count.total() for count in counts], dtype=np.float64)
        dampers = _K1 * (1 - _B + _B * lengths / max(1.0, float(lengths.mean()) if len(counts) else 1.0))
        postings: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, count in enumerate(counts):
            for word, times in count.items():
                postings[word].append((number, times))
        self._count = len(counts)
        self._rare: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        self._frequent: dict[str, NDArray[np.float64]] = {}
        for word, found in postings.items():
            numbers, gains = self._posting(found, dampers)
            if len(found) * _FREQUENT < self._count:
                self._rare[word] = numbers, gains
            else:
                row = self._frequent[word] = np.zeros(self._count)
                row[numbers] = gains

    def _posting(
        self, found: list[tuple[int, int]], dampers: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the text numbers int64[M] that contain a word, and its gain in the score of each, float64[M]."""
        numbers, times = np.array(found, dtype=np.int64).T
        rarity = np.log1p((self._count - len(found) + 0.5) / (len(found) + 0.5))
        return numbers, rarity * times * (_K1 + 1) / (times + dampers[numbers])

    def scores(self, query: str) -> NDArray[np.float64]:
        """Score every text: float64[N], positive exactly for texts that share a word with the query."""
        total = np.zeros(self._count)
        for word in dict.fromkeys(words_of(query)):
            if word in self._frequent:
                total += self._frequent[word]
            elif word in self._rare:
                np.add.at(total, *self._rare[word])
        return total

    def ranked(self, query: str) -> Iterator[tuple[int, float]]:
        """Yield the numbers and scores of texts that share a word with the query, best first; ties in text order."""
        left = self.scores(query)
        for _ in range(min(_FEW, self._count)):
            # `argmax` returns the first of ties, as a stable sort does.
            best = int(left.argmax())
            score = float(left[best])
            if score <= 0:
                return
            yield best, score
            left[best] = 0
        rest = np.flatnonzero(left)
        yield from ((int(number), float(left[number])) for number in rest[np.argsort(-left[rest], kind="stable")])
