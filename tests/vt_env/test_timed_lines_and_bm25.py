"""Timed lines are found by time as a look at every line would find them, and texts by word as a full sort would."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vt_env.media.text.bm25 import WordIndex, words_of
from vt_env.media.text.subtitles import SubtitleTrack
from vt_env.timed_lines import TimedLines
from vt_env.types import Interval, SubtitleLine

SPANS = st.tuples(st.integers(0, 30), st.integers(1, 30)).map(lambda it: Interval(it[0], it[0] + it[1]))
TRACKS = st.lists(st.builds(SubtitleLine, SPANS, st.sampled_from("abc")), max_size=12)


@given(TRACKS, SPANS, st.lists(st.floats(0, 70), max_size=4))
def test_lines_are_found_by_time_as_a_look_at_each_would_find_them(
    lines: list[SubtitleLine], interval: Interval, times_s: list[float]
):
    in_order = sorted(lines, key=lambda line: line.interval)
    timed = TimedLines(lines)
    assert list(timed) == in_order and len(timed) == len(lines) and timed[1:] == tuple(in_order[1:])
    assert timed.within(interval) == [line for line in in_order if line.interval.overlap_s(interval) > 0]
    shown = [line for line in in_order if any(line.interval.contains(time_s) for time_s in times_s)]
    assert timed.on_screen(times_s) == shown


def plain_scores(texts: Sequence[str], query: str) -> list[float]:
    """BM25 text by text and word by word: equation 3.15 of Robertson and Zaragoza (2009), k1 = 1.2, b = 0.75."""
    said = [words_of(text) for text in texts]
    mean_length = max(1.0, sum(map(len, said)) / max(1, len(said)))
    scores: list[float] = []
    for words in said:
        score = 0.0
        for word in dict.fromkeys(words_of(query)):
            holders = sum(word in other for other in said)
            rarity = float(np.log1p((len(said) - holders + 0.5) / (holders + 0.5)))
            times = words.count(word)
            score += rarity * times * (1.2 + 1) / (times + 1.2 * (1 - 0.75 + 0.75 * len(words) / mean_length))
        scores.append(score)
    return scores


def plain_ranking(texts: Sequence[str], query: str) -> list[tuple[int, float]]:
    scores = plain_scores(texts, query)
    ranking = sorted(enumerate(scores), key=lambda it: (-it[1], it[0]))
    return [(number, score) for number, score in ranking if score > 0]


# "a" and "b" are in most texts, so frequent words and rare ones, long and short rankings and equals all occur.
SPOKEN = st.lists(st.sampled_from([*"aaaabbb", *"cdefghijklm"]), min_size=0, max_size=6).map(" ".join)


@given(st.lists(SPOKEN, max_size=60), SPOKEN)
def test_texts_are_scored_and_ranked_to_the_last_bit_as_the_formula_and_a_sort_of_all_would(
    texts: list[str], query: str
):
    index = WordIndex(texts)
    assert index.scores(query).tolist() == plain_scores(texts, query)
    assert list(index.ranked(query)) == plain_ranking(texts, query)


@given(st.lists(SPOKEN, max_size=60), SPOKEN, st.integers(0, 30))
def test_a_track_is_searched_and_summed_up_as_a_walk_down_a_sort_of_all_lines_would(
    texts: list[str], query: str, count: int
):
    track = SubtitleTrack(tuple(SubtitleLine(Interval(at, at + 1), text) for at, text in enumerate(texts)))
    ranking = plain_ranking(texts, query)
    assert track.search(query, count) == [(track.lines[number], score) for number, score in ranking[:count]]
    chosen: list[int] = []
    for number, _ in ranking:
        if not any(set(words_of(texts[number])) <= set(words_of(texts[better])) for better in chosen):
            chosen.append(number)
    if chosen and count:
        assert track.summary(query, count) == [track.lines[number] for number in sorted(chosen[:count])]
