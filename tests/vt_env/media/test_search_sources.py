"""Sources of clip retrieval: fusion by rank, what found a hit, and lines as a source."""

import os
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vt_env.media.search.clip_index import ClipIndex
from vt_env.media.search.encoders import ColourNameEncoder
from vt_env.media.search.line_source import LineSource
from vt_env.media.search.many_videos import build_collection, search_videos
from vt_env.media.search.rank_fusion import RANK_SHIFT, ranks, reciprocal_ranks
from vt_env.media.search.sources import ClipSearch, ClipSource, merge_clips
from vt_env.prompts import clip_lines, read_lines
from vt_env.prompts.lines import full_line
from vt_env.types import Interval, ScoredInterval, SubtitleLine

SCORES = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0]), min_size=20, max_size=20)


@dataclass(frozen=True)
class Fixed:
    """A source that scores clips alike for every query."""

    name: str
    values: list[float] = field(default_factory=list[float])

    def scores(self, query: str) -> NDArray[np.float64]:
        return np.array(self.values)


def search(*sources: ClipSource, clips: int = 20) -> ClipSearch:
    return ClipSearch(sources, 10.0, 10.0 * clips)


def at(*best: int, clips: int = 20) -> list[float]:
    """Scores that rank these clips, best first, and no other."""
    return [float(clips - best.index(clip)) if clip in best else 0.0 for clip in range(clips)]


@given(SCORES, st.integers(0, 8))
def test_one_source_alone_ranks_by_its_own_scores(values: list[float], top_k: int) -> None:
    hits = search(Fixed("pictures", values)).search("x", top_k)
    assert [(it.interval, it.score) for it in hits] == [
        (it.interval, it.score) for it in merge_clips(np.array(values), top_k, 10.0, 200.0)
    ]
    assert {it.sources for it in hits} <= {("pictures",)}


def test_without_a_source_nothing_is_found() -> None:
    assert search().search("x", 4) == [] and search().names == ()


def test_ranks_are_fused_as_in_the_paper() -> None:
    assert ranks(np.array([3.0, 5.0, 3.0, 1.0])).tolist() == [2, 1, 2, 4]
    assert reciprocal_ranks(np.array([2.0, 1.0])).tolist() == [1 / (RANK_SHIFT + 1), 1 / (RANK_SHIFT + 2)]
    hits = search(Fixed("pictures", at(3, 7)), Fixed("captions", at(7, 12))).search("x", 4)
    best = 1 / (RANK_SHIFT + 1)
    second = 1 / (RANK_SHIFT + 2)
    assert [(it.interval.start_s, it.score) for it in hits] == [
        (70, pytest.approx((best + second) / (2 * best))),
        (30, pytest.approx(0.5)),
        (120, pytest.approx(second / (2 * best))),
    ]


def test_a_hit_names_what_found_it() -> None:
    found = search(Fixed("pictures", at(3, 7)), Fixed("captions", at(7, 12)), Fixed("screen text", [0.0] * 20))
    assert [it.sources for it in found.search("x", 4)] == [("pictures", "captions"), ("pictures",), ("captions",)]


def test_a_source_that_scores_every_clip_is_named_only_for_what_it_ranks_high() -> None:
    # Clips far apart, so that none are merged; captions match one that pictures rank near the end.
    pictures = [1.0 - clip / 100 if clip % 2 == 0 else 0.0 for clip in range(20)]
    hits = search(Fixed("pictures", pictures), Fixed("captions", at(16))).search("x", 3)
    assert (hits[0].interval.start_s, hits[0].sources) == (160, ("captions",))


def test_a_hit_that_no_source_would_return_alone_names_those_that_rank_it_highest() -> None:
    one, other = at(0, 4, 8, clips=20), at(12, 16, 8, clips=20)
    hits = search(Fixed("pictures", one), Fixed("captions", other)).search("x", 1)
    assert [(it.interval.start_s, it.sources) for it in hits] == [(80, ("pictures", "captions"))]


@given(SCORES, SCORES, st.integers(1, 5))
def test_fused_scores_lie_in_0_to_1_and_what_neither_matches_is_not_found(
    one: list[float], other: list[float], top_k: int
) -> None:
    hits = search(Fixed("pictures", one), Fixed("captions", other)).search("x", top_k)
    assert all(0 < it.score <= 1 and it.sources for it in hits)
    matching = {clip for clip in range(20) if max(one[clip], other[clip]) > 0}
    covered = {clip for it in hits for clip in range(20) if it.interval.contains(10.0 * clip)}
    assert covered <= matching and (bool(hits) == bool(matching))


def lines(*texts: tuple[float, float, str]) -> list[SubtitleLine]:
    return [SubtitleLine(Interval(start_s, end_s), text) for start_s, end_s, text in texts]


def test_a_clip_scores_as_the_best_line_that_overlaps_it() -> None:
    said = lines((0, 10, "profit fell"), (12, 31, "profit rose rose"), (34, 35, "nothing"), (39.9, 60, "costs"))
    source = LineSource("captions", said, 10.0, 45.0)
    scores = source.scores("the profit rose")
    assert scores.shape == (5,) and scores[1] == scores[2] == scores[3] > scores[0] > scores[4] == 0
    assert [clip for clip, score in enumerate(source.scores("costs")) if score > 0] == [3, 4]
    assert not source.scores("unheard of").any() and not LineSource("captions", [], 10.0, 45.0).scores("x").any()


def test_lines_name_their_sources_only_where_there_are_several_and_are_read_back() -> None:
    hits = [ScoredInterval(Interval(10, 20), 0.987, ("pictures", "screen text")), ScoredInterval(Interval(40, 50), 0.5)]
    plain, named = clip_lines(hits), clip_lines(hits, named=True)
    assert [full_line(it) for it in plain] == ["#1 00:10-00:20 0.99", "#2 00:40-00:50 0.50"]
    assert [full_line(it) for it in named] == ["#1 00:10-00:20 0.99 (pictures, screen text)", "#2 00:40-00:50 0.50"]
    assert read_lines("\n".join(map(full_line, named))) == named
    assert read_lines("#1 00:10-00:20 0.99 (of a line with")[0].score is None


def test_several_videos_are_searched_by_all_of_their_sources_together() -> None:
    both = search(Fixed("captions", at(3, clips=5)), clips=5)
    other = ClipSearch((Fixed("captions", at(0, 2, clips=3)), Fixed("screen text", at(2, clips=3))), 10.0, 25.0)
    found = search_videos([both, search(clips=4), other], None, "x", 3)
    assert [(it.video, it.interval.start_s, it.sources) for it in found] == [
        (2, 20, ("captions", "screen text")),
        (0, 30, ("captions",)),
        (2, 0, ("captions",)),
    ]
    assert found[0].interval.end_s == 25 and found[0].score <= 1
    alone = search_videos([both], None, "x", 3)
    assert [(it.interval.start_s, it.score) for it in alone] == [(30, 5.0)]
    assert search_videos([search(clips=4)], None, "x", 3) == []


def test_pictures_of_several_videos_are_fused_with_their_other_sources() -> None:
    encoder = ColourNameEncoder()
    vectors = np.zeros((3, encoder.dim), dtype=np.float32)
    vectors[:, 0] = [0.2, 0, 0.9]
    index = ClipIndex(vectors, 10.0, 30.0, encoder)
    searches = [
        search(Fixed("captions", at(1, clips=3)), clips=3),
        search(index, Fixed("captions", at(2, clips=3)), clips=3),
    ]
    found = search_videos(searches, build_collection([index]), "red", 2)
    assert [(it.video, it.interval.start_s, it.sources) for it in found] == [
        (1, 20, ("pictures", "captions")),
        (0, 10, ("captions",)),
    ]


FORKED = """
import os, sys, time
import numpy as np
import faiss
from vt_env.media.search import many_videos

faiss.omp_set_num_threads(2)
vectors = np.random.default_rng(0).standard_normal((10_000, 64)).astype(np.float32)
index = faiss.IndexFlatIP(64)
index.add(vectors)
index.search(vectors[:64], 5)
child = os.fork()
if not child:
    index.search(vectors[:64], 5)
    os._exit(0)
for _ in range(200):
    if os.waitpid(child, os.WNOHANG)[0]:
        sys.exit(0)
    time.sleep(0.1)
os.kill(child, 9)
sys.exit("the search hangs in a forked process")
"""


def test_a_forked_process_searches_ten_thousand_clips():
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", FORKED], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
