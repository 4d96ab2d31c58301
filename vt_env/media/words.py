"""Word search over short texts: BM25 in plain Python and numpy."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_K1, _B = 1.2, 0.75
"""The usual constants (Robertson and Zaragoza 2009, section 3.2: k1 from 1.2 to 2, b from 0.5 to 0.8)."""

_HAN_AND_KANA = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
# Chinese and Japanese are written without spaces, so there each character stands for a word.
_WORD = re.compile(rf"[{_HAN_AND_KANA}]|[^\W_{_HAN_AND_KANA}]+")


def words_of(text: str) -> list[str]:
    """Split a text of any script into words that compare equal whatever their case or encoding form."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class WordIndex:
    """BM25 over a fixed list of texts.

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), equation 3.15, with
    the inverse document frequency log(1 + (N - n + 1/2) / (n + 1/2)), which is never negative.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(words_of(text)) for text in texts]
        lengths = np.array([count.total() for count in counts], dtype=np.float64)
        self._dampers = _K1 * (1 - _B + _B * lengths / max(1.0, float(lengths.mean()) if len(counts) else 1.0))
        postings: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, count in enumerate(counts):
            for word, times in count.items():
                postings[word].append((number, times))
        self._postings = dict(postings)

    def scores(self, query: str) -> NDArray[np.float64]:
        """Score every text: float64[N], above 0 exactly where a text shares a word with the query."""
        total = np.zeros(len(self._dampers))
        for word in dict.fromkeys(words_of(query)):
            found = self._postings.get(word)
            if found is None:
                continue
            numbers, times = np.array(found).T
            rarity = np.log1p((len(total) - len(found) + 0.5) / (len(found) + 0.5))
            total[numbers] += rarity * times * (_K1 + 1) / (times + self._dampers[numbers])
        return total
