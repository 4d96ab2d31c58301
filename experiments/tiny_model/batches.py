"""Exchange dataset and collator: token ids, labels on replies only, and pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import Qwen2_5_VLProcessor

from experiments.tiny_model.exercise import Exchange, Maker, Paintable
from experiments.tiny_model.processor import IMAGE_PX, IMAGE_TOKENS, PATCH_PX
from experiments.tiny_model.scene_pictures import random_scene
from experiments.tiny_model.skills import SKILLS
from experiments.tiny_model.stage_mixtures import GROUPS, Mixture, random_group, random_maker
from experiments.tiny_model.tokenizer import IMAGE_TOKEN
from vt_env.episode.messages import Message
from vt_env.prompts import TINY

IGNORED = -100
GRID = (1, IMAGE_PX // PATCH_PX, IMAGE_PX // PATCH_PX)
"""Patch grid of a picture: time, height, width."""


def exchange_rng(*numbers: int) -> np.random.Generator:
    """Return the random generator seeded by `numbers`."""
    return np.random.default_rng(np.random.SeedSequence(numbers))


class Exchanges(Dataset[Exchange]):
    """Dataset of generated exchanges; seed and index determine each one, so a run can resume anywhere.

    The exchanges of a batch share a group of skills and a random generator of lengths, which limits padding.
    """

    def __init__(
        self,
        seed: int,
        batches: int,
        batch_size: int,
        groups: Mixture = GROUPS,
        scenes: Any = random_scene,
        skills: Mapping[str, Maker] = SKILLS,
    ) -> None:
        self.seed = seed
        self.batches = batches
        self.batch_size = batch_size
        self.groups = groups
        self.scenes = scenes
        self.skills = skills

    def __len__(self) -> int:
        """Number of exchanges."""
        return self.batches * self.batch_size

    def __getitem__(self, number: int) -> Exchange:
        """Generate exchange `number`."""
        batch, place = divmod(number, self.batch_size)
        lengths = exchange_rng(self.seed, batch)
        group = random_group(self.groups, lengths)
        rng = exchange_rng(self.seed, batch, place + 1)
        return random_maker(group, rng, self.skills)(rng, self.scenes, lengths)


def messages(exchange: Exchange) -> list[Message]:
    """Convert an exchange to chat messages, including the last reply; pictures become placeholders, in order."""
    chat: list[Message] = [{"role": "system", "content": TINY.system_text()}] if exchange.as_question else []
    for it in exchange.rounds:
        blocks = [*({"type": "image"} for _ in it.pictures), {"type": "text", "text": it.request}]
        chat += [{"role": "user", "content": blocks}, {"role": "assistant", "content": it.reply}]
    return chat


class ExchangeCollator:
    """Collates exchanges into a padded batch with labels on replies and their end tokens."""

    def __init__(self, processor: Qwen2_5_VLProcessor) -> None:
        self.processor = processor

    def __call__(self, exchanges: Sequence[Exchange]) -> dict[str, torch.Tensor]:
        """Build right-padded `input_ids`, `attention_mask`, `labels` int64[B, T], and the image tensors."""
        encoded = [self.encode(exchange) for exchange in exchanges]
        ids = [torch.tensor(ids) for ids, _ in encoded]
        labels = [torch.tensor(labels) for _, labels in encoded]
        pad_id = self.processor.tokenizer.pad_token_id
        batch = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad_id),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
        }
        pictures = [picture for exchange in exchanges for picture in exchange.pictures]
        if pictures:
            batch["mm_token_type_ids"] = (batch["input_ids"] == self.processor.image_token_id).long()
            batch["image_grid_thw"] = torch.tensor([GRID] * len(pictures))
            batch["pixel_values"] = self.pixels(pictures)
        return batch

    def pixels(self, pictures: Sequence[Paintable]) -> torch.Tensor:
        """Render pictures to the image processor's `pixel_values`."""
        images = [picture.paint() for picture in pictures]
        return self.processor.image_processor(images=images, return_tensors="pt")["pixel_values"]

    def encode(self, exchange: Exchange) -> tuple[list[int], list[int]]:
        """Return the token ids and the labels of an exchange."""
        conversation: list[Any] = messages(exchange)
        text = self.processor.apply_chat_template(conversation, tokenize=False)
        header = "<|im_start|>assistant\n"
        before, *turns = text.replace(IMAGE_TOKEN, IMAGE_TOKEN * IMAGE_TOKENS).split(header)
        ids = self._ids(before + header)
        labels = [IGNORED] * len(ids)
        for place, turn in enumerate(turns, start=1):
            reply, end, after = turn.partition("<|im_end|>")
            written = self._ids(reply + end)
            rest = self._ids(after + header) if place < len(turns) else []
            ids += written + rest
            labels += written + [IGNORED] * len(rest)
        return ids, labels

    def _ids(self, text: str) -> list[int]:
        return self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
