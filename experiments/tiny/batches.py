"""From exchanges to tensors: messages, token ids, labels on the reply alone, and pixels."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from transformers import Qwen2_5_VLProcessor

from experiments.tiny.processor import IMAGE_PX
from experiments.tiny.skills import TEXTS, Exchange, random_exchange, random_group
from vt_env.prompts import system_text
from vt_env.world.render import render_scene
from vt_env.world.script import Scene

NATIVE_PX = 224
IGNORED = -100


def exchange_rng(*numbers: int) -> np.random.Generator:
    """The generator that these numbers alone determine."""
    return np.random.default_rng(np.random.SeedSequence(numbers))


class Exchanges(Dataset[Exchange]):
    """Exchanges numbered from 0; number and seed decide everything, so a run can resume anywhere.

    All exchanges of a batch come from one group of skills of like length, in the first `text_batches` from that without
    pictures.
    """

    def __init__(self, seed: int, batches: int, batch_size: int, text_batches: int = 0) -> None:
        self.seed = seed
        self.text_batches = text_batches
        self.batches = batches
        self.batch_size = batch_size

    def __len__(self) -> int:
        """Number of exchanges."""
        return self.batches * self.batch_size

    def __getitem__(self, number: int) -> Exchange:
        """Make exchange `number`."""
        batch, place = divmod(number, self.batch_size)
        group = TEXTS if batch < self.text_batches else random_group(exchange_rng(self.seed, batch))
        return random_exchange(group, exchange_rng(self.seed, batch, place + 1))


def messages(exchange: Exchange) -> list[dict[str, object]]:
    """The exchange as a conversation without its reply; images are placeholders, in the order of `scenes`."""
    blocks = [{"type": "image"} for _ in exchange.scenes] + [{"type": "text", "text": exchange.request}]
    system = [{"role": "system", "content": system_text()}] if exchange.as_question else []
    return [*system, {"role": "user", "content": blocks}]


def scene_image(scene: Scene, blur_seed: int | None = None) -> Image.Image:
    """The scene as it comes out of a frame store: 112 x 112 pixels, slightly damaged by compression."""
    image = Image.fromarray(render_scene(scene, NATIVE_PX)).resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BOX)
    packed = BytesIO()
    quality = 90 if blur_seed is None else 60 + blur_seed % 38
    image.save(packed, format="JPEG", quality=quality)
    return Image.open(packed)


class ExchangeCollator:
    """Turns exchanges into one padded batch with labels on the reply and its end token."""

    def __init__(self, processor: Qwen2_5_VLProcessor) -> None:
        self.processor = processor

    def __call__(self, exchanges: Sequence[Exchange]) -> dict[str, torch.Tensor]:
        """Build `input_ids`, `attention_mask`, `labels` int64[B, T] and the processor's image tensors."""
        prompts = [
            self.processor.apply_chat_template(messages(exchange), tokenize=False, add_generation_prompt=True)
            for exchange in exchanges
        ]
        texts = [f"{p}{e.reply}<|im_end|>" for p, e in zip(prompts, exchanges, strict=True)]
        images = [scene_image(scene, scene.look_seed) for e in exchanges for scene in e.scenes]
        batch = self.processor(
            text=texts, images=images or None, padding=True, padding_side="right", return_tensors="pt"
        )
        reply_lengths = [len(self.processor.tokenizer(e.reply)["input_ids"]) + 1 for e in exchanges]
        lengths = batch["attention_mask"].sum(dim=1)
        position = torch.arange(batch["input_ids"].shape[1])[None]
        in_reply = (position < lengths[:, None]) & (position >= (lengths - torch.tensor(reply_lengths))[:, None])
        batch["labels"] = torch.where(in_reply, batch["input_ids"], IGNORED)
        return dict(batch)
