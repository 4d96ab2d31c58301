"""Batches that are joined are those of one longer generation: padded as TRL pads, with the pictures of each row."""

import pytest

pytest.importorskip("trl", reason="needs the train extra")

import torch

from vt_env.integrations.trl.join_batches import join_batches, join_metrics
from vt_env.integrations.trl.length_batches import select_rows

PAD = 9


def batch(prompt: int, completion: int, *, pictures: tuple[int, ...] = (), value: float = 1.0):
    rows = len(pictures) or 2
    made = {
        "prompt_ids": torch.full((rows, prompt), 5),
        "prompt_mask": torch.ones(rows, prompt, dtype=torch.long),
        "completion_ids": torch.full((rows, completion), 6),
        "completion_mask": torch.ones(rows, completion, dtype=torch.long),
        "tool_mask": torch.zeros(rows, completion, dtype=torch.long),
        "old_per_token_logps": torch.full((rows, completion), -value),
        "importance_sampling_ratio": torch.full((rows, completion), 2.0),
        "advantages": torch.full((rows,), value),
        "num_items_in_batch": torch.tensor(4),
    }
    if not any(pictures):
        return made
    return {
        **made,
        "mm_token_type_ids": torch.ones(rows, prompt + completion, dtype=torch.long),
        "num_images": list(pictures),
        "image_grid_thw": torch.ones(sum(pictures), 3, dtype=torch.long),
        "pixel_values": torch.full((sum(pictures), 2), value),
    }


def test_rows_are_padded_on_the_sides_on_which_trl_pads():
    joined = join_batches([batch(2, 3), batch(4, 1, value=2.0)], PAD)
    assert joined["prompt_ids"].tolist() == [[PAD, PAD, 5, 5]] * 2 + [[5] * 4] * 2
    assert joined["prompt_mask"].tolist() == [[0, 0, 1, 1]] * 2 + [[1] * 4] * 2
    assert joined["completion_ids"].tolist() == [[6] * 3] * 2 + [[6, PAD, PAD]] * 2
    assert joined["completion_mask"][3].tolist() == [1, 0, 0] and joined["tool_mask"][3].tolist() == [0, 1, 1]
    assert joined["old_per_token_logps"][3].tolist() == [-2, 0, 0]
    assert joined["importance_sampling_ratio"][3].tolist() == [2, 1, 1]
    assert joined["advantages"].tolist() == [1, 1, 2, 2]


def test_pictures_stay_with_their_rows_where_one_batch_has_none():
    joined = join_batches([batch(2, 3), batch(2, 2, pictures=(1, 0, 2), value=7.0)], PAD)
    assert joined["num_images"] == [0, 0, 1, 0, 2] and joined["pixel_values"].shape == (3, 2)
    assert joined["mm_token_type_ids"].tolist() == [[0] * 5] * 2 + [[1, 1, 1, 1, 0]] * 3
    assert select_rows(joined, [4])["pixel_values"].shape == (2, 2)
    assert "pixel_values" not in join_batches([batch(2, 3), batch(2, 3)], PAD)


def test_a_ratio_of_a_whole_rollout_keeps_its_column():
    parts = [{**batch(2, width), "importance_sampling_ratio": torch.ones(2, 1)} for width in (3, 4)]
    assert join_batches(parts, PAD)["importance_sampling_ratio"].shape == (4, 1)


def test_means_of_batches_are_weighted_by_their_rollouts():
    nan = float("nan")
    first = {"reward": [0.0], "completions/max_length": [9.0], "completions/min_length": [4.0], "num_tokens": [10.0]}
    second = {"reward": [1.0], "completions/max_length": [3.0], "completions/min_length": [1.0], "num_tokens": [15.0]}
    joined = join_metrics([(6, {**first, "none": [nan]}), (2, {**second, "families/x": [0.5]})])
    assert joined["reward"] == 0.25 and joined["families/x"] == 0.5 and joined["num_tokens"] == 15
    assert joined["completions/max_length"] == 9 and joined["completions/min_length"] == 1
    assert joined["none"] != joined["none"]
