"""Rollouts without advantage are left out of an update, with their pixels, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.doors.trl_batches import rows_to_keep, select_rows


@given(st.lists(st.booleans(), min_size=1, max_size=24), st.integers(1, 6))
def test_all_that_teaches_is_kept_and_the_rest_divides_into_the_passes(teaching: list[bool], passes: int):
    teaching = teaching * passes
    kept = rows_to_keep(teaching, passes)
    assert {row for row, teaches in enumerate(teaching) if teaches} <= set(kept)
    assert len(kept) % passes == 0 and kept == sorted(set(kept)) and kept[-1] < len(teaching)
    assert len(kept) < sum(teaching) + passes or len(kept) == passes


def test_pixels_go_with_their_rows():
    torch = pytest.importorskip("torch")
    pytest.importorskip("trl")
    grids = torch.tensor([[1, 2, 2], [1, 2, 4], [1, 4, 4]])
    batch = {
        "completion_ids": torch.arange(8).reshape(4, 2),
        "advantages": torch.tensor([1.0, 0.0, -1.0, 0.0]),
        "num_items_in_batch": torch.tensor(7),
        "num_images": [1, 0, 2, 0],
        "image_grid_thw": grids,
        "pixel_values": torch.arange(28)[:, None],
    }
    taken = select_rows(batch, [2, 3])
    assert taken["completion_ids"].tolist() == [[4, 5], [6, 7]] and taken["num_images"] == [2, 0]
    assert taken["image_grid_thw"].tolist() == grids[1:].tolist()
    assert taken["pixel_values"].flatten().tolist() == list(range(4, 28))
    assert taken["num_items_in_batch"] == 7
    assert select_rows(batch, range(4))["pixel_values"].equal(batch["pixel_values"])
