"""One step of models whose weights two processes share (FSDP2), of which only the first has a picture.

`torchrun --nproc-per-node 2 tests/support/sharded_step.py FILE CHECKPOINT...` writes to `FILE`, for each checkpoint and
process, the loss before the weights were shared and the loss after.
"""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard

from experiments.train.training_run import load_model
from vt_env.integrations.trl.sharded_vision import keep_tower_in_step

SIDE_PX = 448


def main(file: Path, checkpoints: list[str]) -> None:
    """Make the steps and gather the losses."""
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    torch.set_num_threads(1)
    gathered = [None, None]
    dist.all_gather_object(gathered, [losses_of_a_step(it) for it in checkpoints])
    if dist.get_rank() == 0:
        file.write_text(json.dumps([pair for of_process in gathered for pair in of_process]))
    dist.barrier()
    # One in a few ends in "terminate called without an active exception": threads of gloo outlive the interpreter.
    os._exit(0)


def losses_of_a_step(checkpoint: str) -> list[float]:
    """Return the loss before and after the weights are shared; a step is made after that."""
    model, processor = load_model(checkpoint, freeze_vision=True)
    rows = inputs(processor, model.config.image_token_id, has_picture=dist.get_rank() == 0)
    alone = model(**rows).loss.item()
    keep_tower_in_step(model)
    for layer in (*model.model.visual.blocks, *model.model.language_model.layers):
        fully_shard(layer)
    fully_shard(model)
    loss = model(**rows).loss
    loss.backward()
    torch.optim.SGD([it for it in model.parameters() if it.requires_grad], lr=0.1).step()
    return [alone, loss.item()]


def inputs(processor, image_token_id: int, *, has_picture: bool) -> dict[str, torch.Tensor]:
    """A row of the same text, with a picture before it or without."""
    text = processor.tokenizer("what number is beside the red square", return_tensors="pt")["input_ids"]
    if not has_picture:
        return {"input_ids": text, "attention_mask": torch.ones_like(text), "labels": text}
    picture = processor.image_processor(images=[torch.zeros(3, SIDE_PX, SIDE_PX)], return_tensors="pt")
    places = int(picture["image_grid_thw"].prod()) // processor.image_processor.merge_size**2
    ids = torch.cat([torch.full((1, places), image_token_id), text], dim=1)
    labels = ids.masked_fill(ids == image_token_id, -100)
    kinds = (ids == image_token_id).long()
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels, "mm_token_type_ids": kinds}
    return {**given, **picture}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
