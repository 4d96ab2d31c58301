"""Timed lines are found by time as a look at every line would find them, and texts by word as a full sort would."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vt_env.media.words import WordIndex
from vt_env.timed_lines import TimedLines
from vt_env.types import Interval, SubtitleLine

SPANS = st.tuples(st.integers(0, 30), st.integers(1, 30)).map(lambda it: Interval(it[0], it[0] + it[1]))
TRACKS = st.lists(st.builds(SubtitleLine, SPANS, st.sampled_from("abc")), max_size=12)
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=5).map(" ".join)


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


@given(st.lists(WORDS, max_size=40), WORDS)
def test_texts_are_ranked_as_a_sort_of_all_would_rank_them(texts: list[str], query: str):
    index = WordIndex(texts)
    scores = index.scores(query)
    expected = [int(number) for number in np.argsort(-scores, kind="stable") if scores[number] > 0]
    assert [number for number, _ in index.ranked(query)] == expected
    assert all(score == scores[number] for number, score in index.ranked(query))
