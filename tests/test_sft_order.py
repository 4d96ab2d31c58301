"""The order of SFT's rows: each once, like lengths together, batches shuffled."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from experiments.sft_mixture import POOL_BATCHES, order_of_rows


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=300), st.integers(1, 16), st.integers(0, 9))
def test_every_row_comes_once(lengths: list[int], batch_size: int, seed: int):
    order = order_of_rows(lengths, batch_size, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(lengths)))


def test_batches_hold_like_lengths_and_come_in_no_order():
    lengths = np.random.default_rng(0).integers(1, 1000, 16 * POOL_BATCHES).tolist()
    order = order_of_rows(lengths, 16, np.random.default_rng(1))
    batches = np.array(lengths)[order].reshape(-1, 16)
    assert np.ptp(batches, axis=1).mean() < 50
    neighbours = np.corrcoef(batches.mean(axis=1)[:-1], batches.mean(axis=1)[1:])[0, 1]
    assert abs(neighbours) < 0.4
