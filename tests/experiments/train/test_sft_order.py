"""Row order of SFT: repeats by weight, batches of similar length, shuffled batches."""

from collections import Counter
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.train.sft_mixture import POOL_BATCHES, RepeatedRows, order_of_rows
from experiments.train.sft_rows import Row

pytestmark = pytest.mark.slow


class Numbered:
    """Rows whose text is their number."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Row:
        return Row(({"role": "user", "content": str(number)},))

    def lengths(self) -> list[int]:
        return list(range(self._count))


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


@given(st.lists(st.floats(0, 5), max_size=40), st.integers(0, 9))
def test_a_row_comes_as_often_as_it_is_told_or_once_more_for_a_part_of_a_time(times: list[float], seed: int):
    rows = RepeatedRows(Numbered(len(times)), times, np.random.default_rng(seed))
    counts = Counter(int(str(rows[number].messages[0]["content"])) for number in range(len(rows)))
    assert all(counts[number] in {floor(it), ceil(it)} for number, it in enumerate(times))
    assert Counter(rows.lengths()) == counts


def test_a_part_of_a_time_is_drawn_as_often_as_it_is_large():
    assert 150 < len(RepeatedRows(Numbered(1000), [0.2] * 1000, np.random.default_rng(0))) < 250
