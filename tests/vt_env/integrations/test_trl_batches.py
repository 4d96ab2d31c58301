"""Rollouts without advantage are left out of an update, with their pixels, and so is padding; nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.integrations.trl.length_batches import by_length, score_by_length, select_rows, shorten
from vt_env.integrations.trl.zero_advantage import drop_zero_advantage, rows_to_keep, share_of_silent_groups

pytestmark = pytest.mark.slow


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


def rollouts(lengths, masked=()):
    """A batch of rollouts after prompts of two tokens; every one of three or more shows an image last."""
    torch = pytest.importorskip("torch")
    width = max(lengths)
    ids = torch.zeros(len(lengths), width, dtype=torch.long)
    prompts = torch.zeros(len(lengths), 4, dtype=torch.long)
    kinds = torch.zeros(len(lengths), 4 + width, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.arange(1, length + 1) + 10 * row
        prompts[row, 2:] = 7
        kinds[row, 4 + length - 1] = length > 2
    mask = (ids != 0).long()
    mask[list(masked)] = 0
    pictures = [int(length > 2) for length in lengths]
    return {
        "prompt_ids": prompts,
        "prompt_mask": (prompts != 0).long(),
        "completion_ids": ids,
        "completion_mask": mask,
        "old_per_token_logps": -ids.float(),
        "importance_sampling_ratio": torch.ones(len(lengths), 1),
        "mm_token_type_ids": kinds,
        "advantages": torch.arange(len(lengths)).float(),
        "num_items_in_batch": torch.tensor(9),
        "num_images": pictures,
        "image_grid_thw": torch.ones(sum(pictures), 3, dtype=torch.long),
        "pixel_values": torch.tensor([[float(row)] for row, shown in enumerate(pictures) if shown]),
    }


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 3))
def test_passes_hold_rollouts_of_like_length_and_nothing_but_padding_is_cut(lengths: list[int], passes: int):
    pytest.importorskip("trl")
    lengths = lengths * passes
    size = len(lengths) // passes
    parts = [select_rows(rollouts(lengths), range(at, at + size)) for at in range(0, len(lengths), size)]
    made = by_length(parts)
    longest = [max(sorted(lengths)[at : at + size]) for at in range(0, len(lengths), size)]
    assert [it["completion_ids"].size(1) for it in made] == longest
    rows = {}
    for part in made:
        pixels = iter(part["pixel_values"].flatten().tolist())
        for row in range(size):
            whose, ids = int(part["advantages"][row]), part["completion_ids"][row]
            rows[whose] = ids[ids > 0].tolist()
            assert part["old_per_token_logps"][row].tolist() == (-ids.float()).tolist()
            assert part["prompt_ids"][row].tolist() == [7, 7]
            shown = [int(whose)] if part["num_images"][row] else []
            assert [next(pixels) for _ in shown] == shown
            kinds = part["mm_token_type_ids"][row]
            assert kinds.size(0) == part["prompt_ids"].size(1) + ids.size(0) and int(kinds.sum()) == len(shown)
    assert rows == {row: [10 * row + at for at in range(1, length + 1)] for row, length in enumerate(lengths)}


def advantages_of(values):
    """A batch of rollouts with two tokens, one of them the model's."""
    torch = pytest.importorskip("torch")
    return {
        "completion_ids": torch.ones(len(values), 2, dtype=torch.long),
        "completion_mask": torch.ones(len(values), 2, dtype=torch.long),
        "tool_mask": torch.tensor([[1, 0]] * len(values)),
        "advantages": torch.tensor(values),
        "num_items_in_batch": torch.tensor(len(values)),
    }


@pytest.mark.parametrize(
    ("advantages", "own_tokens"), [([1.0, -1.0, 0.0, 0.0], [1, 1]), ([1.0, 0.0, -1.0, 0.5], [1, 0, 1, 1])]
)
def test_what_stays_to_fill_a_pass_is_no_part_of_the_loss(advantages, own_tokens):
    pytest.importorskip("trl")
    batch = drop_zero_advantage(advantages_of(advantages), 2, lambda values: values)
    assert batch["tool_mask"].sum(1).tolist() == own_tokens and batch["num_items_in_batch"] == sum(own_tokens)
    assert batch["completion_mask"].all(), "the model still attends to all of it"


def test_of_rollouts_without_any_advantage_nothing_is_learned():
    pytest.importorskip("trl")
    batch = drop_zero_advantage(advantages_of([0.0] * 4), 2, lambda values: values)
    assert len(batch["advantages"]) == 2 and not batch["tool_mask"].any()


def test_groups_are_silent_where_no_rollout_has_an_advantage():
    torch = pytest.importorskip("torch")
    assert share_of_silent_groups(torch.tensor([0.0, 0.0, 0.3, -0.3, 0.0, 0.0, 0.1, 0.0]), 2) == 0.5


def test_a_masked_rollout_keeps_the_places_of_its_images():
    pytest.importorskip("trl")
    (part,) = by_length([rollouts([2, 5], masked=[1])])
    assert part["completion_ids"].size(1) == 5 and int(part["mm_token_type_ids"].sum()) == 1
    (part,) = by_length([rollouts([2], masked=[0])])
    assert part["completion_ids"].size(1) == 1


@pytest.mark.parametrize(("regroup", "order"), [(True, [1, 3, 0, 2]), (False, [0, 1, 2, 3])])
def test_rollouts_stay_in_their_pass_where_they_are_not_regrouped(regroup, order):
    pytest.importorskip("trl")
    batch = rollouts([4, 1, 5, 2])
    made = shorten([select_rows(batch, at) for at in ([0, 1], [2, 3])], regroup=regroup)
    assert [int(row) for part in made for row in part["advantages"]] == order
    assert [part["completion_ids"].size(1) for part in made] == ([2, 5] if regroup else [4, 5])


@given(st.lists(st.integers(1, 6), min_size=1, max_size=7), st.integers(1, 3))
def test_samples_are_scored_in_passes_of_like_length_each_with_its_pixels(lengths: list[int], size: int):
    torch = pytest.importorskip("torch")
    pytest.importorskip("trl")
    batch, widths = rollouts(lengths), []

    def score(ids, mask, width, num_images=None, pixel_values=None, image_grid_thw=None, **_):
        widths.append(width)
        assert (mask[:, -width:] == (ids[:, -width:] != 0)).all() and len(ids) <= size
        shown = iter(pixel_values.flatten().tolist())
        marks = torch.tensor([next(shown) if images else 0.0 for images in num_images])
        assert len(image_grid_thw) == sum(num_images) and next(shown, None) is None
        return -(ids[:, -width:] + 100 * marks[:, None]) * mask[:, -width:], None, None

    names = ("mm_token_type_ids", "num_images", "image_grid_thw", "pixel_values")
    ids, mask = (torch.cat([batch[f"prompt_{it}"], batch[f"completion_{it}"]], dim=1) for it in ("ids", "mask"))
    inputs = {"num_tiles": None, **{name: batch[name] for name in names}}
    scores = score_by_length(score, ids, mask, max(lengths), size, inputs)
    rows = torch.tensor([float(row) if length > 2 else 0.0 for row, length in enumerate(lengths)])
    wanted = -(batch["completion_ids"] + 100 * rows[:, None]) * batch["completion_mask"]
    assert scores.tolist() == wanted.tolist()
    assert widths == [max(sorted(lengths)[at : at + size]) for at in range(0, len(lengths), size)]
