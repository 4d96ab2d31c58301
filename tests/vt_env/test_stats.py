"""Intervals and tests: what their formulas promise, checked against other ways to compute the same."""

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env import stats
from vt_env.stats import (
    Cluster,
    bootstrap_ci95,
    bootstrap_ci95_of,
    bootstrap_ci95_of_parts,
    clustered,
    clustered_by_video,
    holm,
    mcnemar_p,
    mean,
    mean_of_parts,
    pass_all_k,
    pass_at_k,
)

VALUES = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 1)), min_size=1, max_size=40)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_values_changes_no_cluster(values, shuffler):
    shuffled = list(values)
    shuffler.shuffle(shuffled)
    assert clustered(shuffled) == clustered(values)


@given(st.floats(-1, 1), st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20))
def test_a_constant_has_an_interval_without_width(value, clusters):
    low, high = bootstrap_ci95(clustered((name, value) for name in clusters), rng())
    assert (low, high) == pytest.approx((value, value), abs=1e-12)


def test_blocks_of_draws_give_what_one_block_gives(monkeypatch):
    clusters = {f"v{idx}": Cluster(idx % 3, 3) for idx in range(30)}
    whole = bootstrap_ci95(clusters, rng())
    monkeypatch.setattr(stats, "_CELLS_AT_ONCE", 70)
    assert bootstrap_ci95(clusters, rng()) == pytest.approx(whole, abs=0.01)


def test_the_interval_has_the_width_of_the_clustered_standard_error():
    generator = rng()
    rates = generator.beta(2, 2, size=300)
    clusters = {f"v{idx:03d}": Cluster(float(generator.binomial(5, rate)), 5) for idx, rate in enumerate(rates)}
    totals = np.array([it.total for it in clusters.values()])
    error = np.sqrt(300 / 299 * np.sum((totals - 5 * mean(clusters)) ** 2)) / 1500
    low, high = bootstrap_ci95(clusters, rng())
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.05)


@pytest.mark.slow
def test_the_true_mean_lies_in_nineteen_of_twenty_intervals():
    generator, hits = rng(), 0
    for _ in range(200):
        drawn = generator.binomial(4, generator.beta(3, 2, size=80))
        low, high = bootstrap_ci95({f"v{idx}": Cluster(float(it), 4) for idx, it in enumerate(drawn)}, generator)
        hits += low <= 0.6 <= high
    # A binomial of 200 at .95 lies in here with probability .999; the interval is known to be a little narrow.
    assert 178 <= hits <= 199


def test_a_mean_of_parts_weighs_parts_alike_and_draws_videos_for_all_of_them():
    small, large = {"a": Cluster(0, 1)}, {"b": Cluster(3, 3)}
    assert mean_of_parts([small, large]) == 0.5
    assert bootstrap_ci95_of_parts([small], rng()) == (0.0, 0.0)
    low, high = bootstrap_ci95_of_parts([small, large], rng())
    # Two videos: a draw holds one of them twice in half of the cases, and then a single part.
    assert (low, high) == (0.0, 1.0)


@pytest.mark.parametrize(("only_a", "only_b", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 6, 0.03125), (10, 1, 24 / 2**11)])
def test_mcnemar_is_the_exact_binomial_tail(only_a, only_b, p):
    assert mcnemar_p(only_a, only_b) == pytest.approx(p)
    assert mcnemar_p(only_b, only_a) == mcnemar_p(only_a, only_b)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_sums_the_binomial(only_a, only_b):
    n = only_a + only_b
    tail = sum(comb(n, k) for k in range(min(only_a, only_b) + 1)) / 2**n
    assert mcnemar_p(only_a, only_b) == pytest.approx(min(1.0, 2 * tail))


def test_holm_steps_down_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("attempts", "correct", "k"), [(4, 1, 2), (5, 3, 2), (6, 0, 3), (6, 6, 1), (4, 4, 4)])
def test_pass_at_k_is_the_share_of_all_choices_of_k_attempts(attempts, correct, k):
    outcomes = [1] * correct + [0] * (attempts - correct)
    drawn = [
        [outcomes[idx] for idx in chosen] for chosen in product(range(attempts), repeat=k) if len(set(chosen)) == k
    ]
    assert pass_at_k(attempts, correct, k) == pytest.approx(np.mean([any(it) for it in drawn]))
    assert pass_all_k(attempts, correct, k) == pytest.approx(np.mean([all(it) for it in drawn]))


def test_pass_at_k_needs_k_attempts():
    with pytest.raises(ValueError, match="k=3 of 2 attempts"):
        pass_at_k(2, 1, 3)


@given(VALUES)
def test_a_function_of_means_has_the_interval_of_its_draws(values):
    clusters = clustered(values)
    low, high = bootstrap_ci95(clusters, rng())
    assert bootstrap_ci95_of([clusters], lambda means: means[:, 0], rng()) == pytest.approx((low, high))
    assert bootstrap_ci95_of([clusters] * 2, lambda means: means[:, 0] - means[:, 1], rng()) == (0, 0)
    assert bootstrap_ci95_of([clusters], lambda means: np.full(len(means), np.nan), rng()) is None


def test_a_single_video_is_taken_apart_by_task():
    rows = [("one", f"task-{n}", float(n < 4)) for n in range(10)]
    low, high = bootstrap_ci95(clustered_by_video(rows), np.random.default_rng(0))
    assert low < 0.4 < high
    assert set(clustered_by_video([*rows, ("other", "task-10", 1.0)])) == {"one", "other"}
