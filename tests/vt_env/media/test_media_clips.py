"""Colour-name encoder and clip index."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.videos import Pixels, VideoSpec, write_video

from vt_env.config import MediaConfig
from vt_env.errors import DataError
from vt_env.media.cache.frame_store import FrameStore, build_store
from vt_env.media.search.clip_index import ClipIndex, build_clip_index
from vt_env.media.search.encoders import ClipEncoder, ColourNameEncoder, Vectors
from vt_env.media.search.sources import MAX_MERGED
from vt_env.types import FrameBatch, Interval, ScoredInterval

COLOURS = {
    "red": (220, 20, 30), "orange": (250, 140, 20), "yellow": (250, 230, 30), "green": (30, 160, 50),
    "cyan": (20, 220, 230), "blue": (30, 60, 220), "purple": (130, 20, 150), "pink": (250, 110, 180),
    "brown": (130, 75, 30),
}  # fmt: skip
DULL = (70, 80, 75)
ENCODER = ColourNameEncoder()


def scene(colour: tuple[int, int, int], size_px: int = 112, patch_px: int = 16) -> Pixels:
    """A small patch of one colour on a dull background."""
    picture = np.full((size_px, size_px, 3), DULL, dtype=np.uint8)
    picture[20 : 20 + patch_px, 30 : 30 + patch_px] = colour
    return picture


def batch(*pictures: Pixels) -> FrameBatch:
    return FrameBatch(np.stack(pictures), np.arange(len(pictures), dtype=np.float64))


def test_each_colour_word_matches_the_scene_of_its_colour_best() -> None:
    frames = ENCODER.encode_frames(batch(*(scene(colour) for colour in COLOURS.values())))
    assert frames.shape == (len(COLOURS), ENCODER.dim) and frames.dtype == np.float32
    for row, name in enumerate(COLOURS):
        scores = frames @ ENCODER.encode_texts([f"the {name} square"])[0]
        assert np.argmax(scores) == row and scores[row] > 0.8 and np.delete(scores, row).max() < 0.1


def test_a_small_bright_thing_outweighs_a_large_dull_background() -> None:
    muddy = np.full((112, 112, 3), (90, 70, 60), dtype=np.uint8)
    muddy[:8, :8] = COLOURS["blue"]
    assert ENCODER.encode_frames(batch(muddy))[0] @ ENCODER.encode_texts(["blue"])[0] > 0.6


def test_white_gray_and_black_count_only_when_asked_for() -> None:
    night, snow = np.zeros((56, 56, 3), dtype=np.uint8), np.full((56, 56, 3), 250, dtype=np.uint8)
    frames = ENCODER.encode_frames(batch(night, snow))
    assert (frames @ ENCODER.encode_texts(["something black"])[0]).round(2).tolist() == [1.0, 0.0]
    assert (frames @ ENCODER.encode_texts(["white snow"])[0]).round(2).tolist() == [0.0, 1.0]
    assert not (frames @ ENCODER.encode_texts(["red"])[0]).any()


def test_a_few_stray_pixels_do_not_make_a_colour() -> None:
    stray = scene(DULL)
    stray[5, 5:8] = COLOURS["red"]
    found = ENCODER.encode_frames(batch(stray, scene(COLOURS["red"]))) @ ENCODER.encode_texts(["red"])[0]
    assert found[0] < 0.2 < 0.8 < found[1]


def test_synonyms_and_spellings_name_the_same_colour() -> None:
    assert (ENCODER.encode_texts(["a Grey cat"])[0] == ENCODER.encode_texts(["gray"])[0]).all()
    assert (ENCODER.encode_texts(["TURQUOISE"])[0] == ENCODER.encode_texts(["cyan"])[0]).all()
    assert np.linalg.norm(ENCODER.encode_texts(["red and blue"])[0]) == pytest.approx(1)


def test_a_text_without_a_colour_is_a_zero_vector() -> None:
    assert not ENCODER.encode_texts(["the speaker reddens, bored"])[0].any()
    assert not ENCODER.encode_texts([""])[0].any()


@given(st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_vectors_of_any_frames_are_finite_and_not_longer_than_their_two_groups(count: int, seed: int) -> None:
    data = np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)
    vectors = ENCODER.encode_frames(FrameBatch(data, np.arange(count, dtype=np.float64)))
    assert vectors.shape == (count, 12) and np.isfinite(vectors).all()
    assert (np.linalg.norm(vectors, axis=1) <= np.sqrt(2) + 1e-6).all()


def index_of(scores: list[float], duration_s: float | None = None) -> ClipIndex:
    """An index whose clips score exactly `scores` for the query "red"."""
    vectors = np.zeros((len(scores), ENCODER.dim), dtype=np.float32)
    vectors[:, 0] = scores
    return ClipIndex(vectors, 10.0, duration_s or 10.0 * len(scores), ENCODER)


def found(index: ClipIndex, top_k: int) -> list[tuple[float, float, float]]:
    hits = index.search("red", top_k)
    return [(hit.interval.start_s, hit.interval.end_s, round(hit.score, 3)) for hit in hits]


def test_results_come_best_first_and_equals_in_time_order() -> None:
    index = index_of([0.1, 0, 0.5, 0, 0.9, 0, 0.5, 0])
    assert found(index, 8) == [(40, 50, 0.9), (20, 30, 0.5), (60, 70, 0.5), (0, 10, 0.1)]
    assert found(index, 2) == [(40, 50, 0.9), (20, 30, 0.5)]


def test_a_clip_that_touches_a_found_interval_extends_it_and_takes_no_place() -> None:
    index = index_of([0.2, 0, 0.8, 0.9, 0.7, 0, 0, 0.3])
    assert found(index, 2) == [(20, 50, 0.9), (70, 80, 0.3)]


def test_the_walk_ends_where_no_place_is_left() -> None:
    index = index_of([0.1, 0, 0, 0.9, 0.05, 0, 0.5])
    assert found(index, 1) == [(30, 40, 0.9)]


def test_a_merged_interval_spans_at_most_six_clips() -> None:
    assert found(index_of([0.5] * 8), 4) == [(0, 60, 0.5), (60, 80, 0.5)]
    assert MAX_MERGED == 6


def test_clips_that_score_nothing_are_left_out() -> None:
    assert found(index_of([0, -0.5, 0]), 4) == []
    assert index_of([0.5]).search("no colour named", 4) == []
    assert index_of([0.5]).search("red", 0) == []


def test_the_last_clip_ends_with_the_video() -> None:
    assert found(index_of([0, 0, 1], duration_s=23.5), 1) == [(20, 23.5, 1)]


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40), st.integers(0, 10))
def test_intervals_never_overlap_and_their_scores_never_rise(scores: list[float], top_k: int) -> None:
    hits: list[ScoredInterval] = index_of(scores).search("red", top_k)
    assert len(hits) <= top_k
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    spans = sorted(hit.interval for hit in hits)
    assert all(before.end_s <= after.start_s for before, after in pairwise(spans))
    if top_k and max(scores) > 0:
        assert hits[0].interval.contains(10.0 * int(np.argmax(np.float32(scores))))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FrameStore:
    """37 s at 2 frames a second: blue from 10 s to 14 s, red from 30 s to the end."""
    folder = tmp_path_factory.mktemp("colours")

    def paint(index: int, size_px: tuple[int, int]) -> Pixels:
        time_s = index / 2
        colour = COLOURS["blue"] if 10 <= time_s < 14 else COLOURS["red"] if time_s >= 30 else DULL
        return scene(colour, size_px[0])

    write_video(folder / "colours.mp4", VideoSpec(frames=74, fps=2, size_px=(112, 112), paint=paint))
    return build_store(folder / "colours.mp4", MediaConfig(), folder)


def test_a_colour_is_found_where_the_video_shows_it(store: FrameStore, tmp_path: Path) -> None:
    index = build_clip_index(store, ENCODER, tmp_path)
    assert index.vectors.shape == (4, 12)
    assert [hit.interval for hit in index.search("the blue square", 3)] == [Interval(10, 20)]
    assert [hit.interval for hit in index.search("something red", 3)] == [Interval(30, 37)]
    assert index.search("something red", 3)[0].score > index.search("the blue square", 3)[0].score > 0.2


def test_a_clip_is_the_mean_over_its_stored_frames(store: FrameStore, tmp_path: Path) -> None:
    index = build_clip_index(store, ENCODER, tmp_path)
    frames = ENCODER.encode_frames(store.frames_at([10.0 + k for k in range(10)]))
    assert index.vectors[1] == pytest.approx(frames.mean(axis=0), abs=1e-6)


def test_clips_shorter_than_the_stored_period_show_the_frame_on_screen(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", VideoSpec(frames=20))
    store = build_store(tmp_path / "v.mp4", MediaConfig(frame_rate_hz=1, clip_s=0.4), tmp_path)
    index = build_clip_index(store, ENCODER, tmp_path)
    assert len(index.vectors) == 5 and index.vectors[1] == pytest.approx(index.vectors[0])


class Counting:
    """A second encoder that counts how often it is asked."""

    dim = 2

    def __init__(self, key: str) -> None:
        self.key, self.calls = key, 0

    def encode_frames(self, frames: FrameBatch) -> Vectors:
        self.calls += 1
        return np.ones((len(frames), 2), dtype=np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return np.ones((len(texts), 2), dtype=np.float32)


def test_an_index_is_encoded_once_for_each_encoder(store: FrameStore, tmp_path: Path) -> None:
    first, again, other = Counting("one"), Counting("one"), Counting("two")
    for encoder in (first, again, other):
        checked: ClipEncoder = encoder
        build_clip_index(store, checked, tmp_path)
    assert (first.calls, again.calls, other.calls) == (4, 0, 4)


def test_a_damaged_index_is_refused_with_the_remedy(store: FrameStore, tmp_path: Path) -> None:
    build_clip_index(store, ENCODER, tmp_path)
    (path,) = (tmp_path / "clips").glob("*.f32")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"damaged .* delete the file, it is rebuilt") as caught:
        build_clip_index(store, ENCODER, tmp_path)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_a_long_video_is_ranked_as_a_sort_of_all_its_clips_would_rank_it(seed: int, top_k: int) -> None:
    scores = np.random.default_rng(seed).choice([0.0, 0.2, 0.4, 0.6], 700, p=[0.4, 0.3, 0.2, 0.1])
    scores[1::2] = 0  # No two clips touch, so that each result is one clip.
    expected = [int(clip) for clip in np.argsort(-scores, kind="stable") if scores[clip] > 0][:top_k]
    assert [round(hit.interval.start_s / 10) for hit in index_of(scores.tolist()).search("red", top_k)] == expected


def plain_search(scores: Sequence[float], top_k: int) -> list[tuple[int, int, float]]:
    """What `ClipIndex.search` documents, as a walk down a sort of all clips: first clip, end, score."""
    spans: list[tuple[int, int, float]] = []
    matching = [clip for clip, score in enumerate(scores) if score > 0]
    for clip in sorted(matching, key=lambda clip: (-scores[clip], clip)):
        for place, (start, end, best) in enumerate(spans):
            if clip in (start - 1, end) and end - start < MAX_MERGED:
                spans[place] = (min(start, clip), max(end, clip + 1), best)
                break
        else:
            if len(spans) >= top_k:
                return spans
            spans.append((clip, clip + 1, scores[clip]))
    return spans


@given(st.lists(st.sampled_from([0.0, -0.5, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=150), st.integers(-1, 8))
def test_a_search_finds_what_a_walk_down_a_sort_of_all_clips_finds(scores: list[float], top_k: int) -> None:
    hits = index_of(scores).search("red", top_k)
    assert [(hit.interval.start_s / 10, hit.interval.end_s / 10, hit.score) for hit in hits] == plain_search(
        scores, top_k
    )


def test_a_query_that_is_asked_again_is_not_encoded_again() -> None:
    class Counting(ColourNameEncoder):
        texts: list[str] = []  # noqa: RUF012

        def encode_texts(self, texts: Sequence[str]):
            self.texts.extend(texts)
            return super().encode_texts(texts)

    index = ClipIndex(index_of([0.5]).vectors, 10.0, 10.0, Counting())
    assert index.search("red", 1) == index.search("red", 1) and Counting.texts == ["red"]


def test_a_picture_that_stays_is_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "slides.mkv", VideoSpec(frame_times_s=(0.0, 3600.0, 7195.0)))
    store = build_store(tmp_path / "slides.mkv", MediaConfig(), tmp_path / "cache")
    read: list[int] = []
    frames_at = FrameStore.frames_at
    monkeypatch.setattr(
        FrameStore, "frames_at", lambda it, times_s: read.append(len(times_s)) or frames_at(it, times_s)
    )
    index = build_clip_index(store, ENCODER, tmp_path / "cache")
    assert len(read) < 8 < 700 < len(index.vectors)
