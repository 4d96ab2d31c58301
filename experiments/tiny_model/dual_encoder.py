"""Train the small dual encoder of the generated world.

`python -m experiments.tiny_model.dual_encoder --out vt_env/world/encoder` writes the packaged encoder.

A `SiglipModel` of transformers with under a million parameters, which embeds frames and texts of the world and is used
like any other encoder. The training data are rendered scenes with texts that name colour, shape or number of a scene;
SigLIP's pairwise sigmoid loss has a label for every pair of scene and text. Four auxiliary heads on the vision tower,
discarded afterwards, reduce training to minutes (as in `experiments.tiny_model.vision_pretraining`).
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import (
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipProcessor,
)

from experiments.runs.run_dir import write_json
from experiments.tiny_model.batches import exchange_rng
from experiments.tiny_model.scene_pictures import Picture, random_scene
from vt_env.world.script import Scene
from vt_env.world.vocabulary import COLOURS, NAMES, SHAPES

IMAGE_PX = 64
TEXT_TOKENS = 16
CLASSES = {"colour": len(COLOURS), "shape": len(SHAPES), "tens": 10, "units": 10}
"""Number of classes of each auxiliary head."""
FORMS = (
    "{}", "the {}", "a {}", "a plain {} picture", "a frame with the {}", "what number is beside the {}?",
    "when is the {} shown?", "how many times is the {} shown?", "what is the small number on the {}?",
)  # fmt: skip
"""Templates of the texts. Unknown words of a query map to one token."""


@dataclass(frozen=True)
class DualEncoderRun:
    """Settings of the encoder training."""

    out: Path = Path("runs/encoder")
    """Output folder of checkpoint, processor and `training.json`."""
    scenes: int = 8_000
    """Number of training scenes, rendered once."""
    steps: int = 1200
    """Optimiser steps."""
    batch_size: int = 64
    """Scenes per step; the number of texts is the same."""
    lr: float = 1.5e-3
    """Peak learning rate; linear warm-up over 100 steps, then cosine decay to 0."""
    seed: int = 1
    """Seed of weights, scenes and texts; the test scenes have another one."""
    test_scenes: int = 480
    """Number of new scenes for the final recall."""
    threads: int = 2
    """CPU threads of PyTorch."""


def main(run: DualEncoderRun) -> None:
    """Train the encoder, measure recall on new scenes and save the checkpoint."""
    torch.set_num_threads(run.threads)
    torch.manual_seed(run.seed)
    start = time.perf_counter()
    model, processor = build(), build_processor()
    scenes, pictures = paint(run.seed, run.scenes, processor)
    trained = Training(model, processor)
    rng = exchange_rng(run.seed, 1)
    optimiser = torch.optim.AdamW(trained.parameters(), lr=run.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share(step, run.steps))
    with tqdm(range(run.steps), "steps", disable=None) as bar:
        for step in bar:
            chosen = rng.integers(len(scenes), size=run.batch_size)
            loss = trained([scenes[i] for i in chosen], pictures[chosen], rng)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            bar.set_postfix(loss=f"{loss.item():.3f}")
            if step % 100 == 0:
                tqdm.write(f"step {step}: loss {loss.item():.3f}")
    record = {"recall_at_1": test(model, processor, run.test_scenes), "seconds": round(time.perf_counter() - start)}
    model.half().save_pretrained(run.out)
    processor.save_pretrained(run.out)
    settings = {name: value for name, value in asdict(run).items() if name != "out"}
    parameters = sum(it.numel() for it in model.parameters())
    write_json(run.out / "training.json", {**settings, "parameters": parameters, **record})
    print(json.dumps(record))


def build() -> SiglipModel:
    """Build the model with random weights."""
    sizes = {"hidden_size": 96, "intermediate_size": 256, "num_attention_heads": 4}
    vision = {**sizes, "num_hidden_layers": 4, "image_size": IMAGE_PX, "patch_size": 8}
    tokens = {"vocab_size": len(_words()), "max_position_embeddings": TEXT_TOKENS, "projection_size": 96}
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 2}
    text = {**sizes, "num_hidden_layers": 2, **tokens, **ids}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    # SigLIP's initial values assume one positive pair in thousands; here it is one in about twenty.
    nn.init.constant_(model.logit_scale, float(np.log(10.0)))
    nn.init.constant_(model.logit_bias, -3.0)
    return model


def build_processor() -> SiglipProcessor:
    """Build the tokenizer, with one token per word of the world and one for unknown words, and the image processor."""
    core = Tokenizer(models.WordLevel({word: at for at, word in enumerate(_words())}, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", pad_token="<pad>", eos_token="</s>", model_max_length=TEXT_TOKENS
    )
    size = {"height": IMAGE_PX, "width": IMAGE_PX}
    return SiglipProcessor(SiglipImageProcessor(size=size, resample=2), tokenizer)


def paint(seed: int, count: int, processor: SiglipProcessor) -> tuple[list[Scene], Tensor]:
    """Generate scenes and render them as a frame store would.

    Returns: the scenes, and the processor's pixels float16[N, 3, 64, 64].
    """
    scenes = [random_scene(exchange_rng(seed, 0, number), small_print=False) for number in range(count)]
    parts: list[Tensor] = []
    for start in tqdm(range(0, count, 500), "scenes", disable=None):
        images = [Picture(scene).paint() for scene in scenes[start : start + 500]]
        parts.append(processor.image_processor(images=images, return_tensors="pt")["pixel_values"].half())
    return scenes, torch.cat(parts)


class Training(nn.Module):
    """Training wrapper: the model with four auxiliary heads, each attention-pooling the image tokens."""

    def __init__(self, model: SiglipModel, processor: SiglipProcessor) -> None:
        super().__init__()
        self.model, self.processor = model, processor
        config: Any = model.config.vision_config
        width = config.hidden_size
        self.queries = nn.Linear(width, len(CLASSES), bias=False)
        self.heads = nn.ModuleList(nn.Linear(width, count) for count in CLASSES.values())

    def forward(self, scenes: Sequence[Scene], pictures: Tensor, rng: np.random.Generator) -> Tensor:
        """Return the pairwise loss of the scenes and one generated text per scene, plus the loss of the heads."""
        facts = [_drop(scene, rng) for scene in scenes]
        texts = [_word(fact, rng) for fact in facts]
        seen = self.model.vision_model(pixel_values=pictures.float())
        images = functional.normalize(seen.pooler_output, dim=-1)
        written = functional.normalize(encode_texts(self.model, self.processor, texts), dim=-1)
        logits = images @ written.T * self.model.logit_scale.exp() + self.model.logit_bias
        signs = torch.from_numpy(2.0 * _truth(scenes, facts) - 1).float()
        pairs = -functional.logsigmoid(signs * logits).sum(dim=1).mean()
        return pairs + self._heads_loss(seen.last_hidden_state, scenes)

    def _heads_loss(self, tokens: Tensor, scenes: Sequence[Scene]) -> Tensor:
        colours = list(COLOURS)
        labels = torch.tensor([[colours.index(s.colour), SHAPES.index(s.shape), *divmod(s.number, 10)] for s in scenes])
        pooled = torch.einsum("btq,btd->bqd", self.queries(tokens).softmax(dim=1), tokens)
        losses = [functional.cross_entropy(head(pooled[:, at]), labels[:, at]) for at, head in enumerate(self.heads)]
        return torch.stack(losses).sum()


def encode_texts(model: SiglipModel, processor: SiglipProcessor, texts: Sequence[str]) -> Tensor:
    """Encode texts, padded to the full length, as unnormalised float32[N, 96]."""
    padded = {"padding": "max_length", "max_length": TEXT_TOKENS, "truncation": True}
    inputs = processor.tokenizer(list(texts), return_tensors="pt", **padded)
    return model.text_model(input_ids=inputs["input_ids"]).pooler_output


@torch.inference_mode()
def test(model: SiglipModel, processor: SiglipProcessor, count: int) -> dict[str, float]:
    """Measure recall at 1 on new scenes, by the attributes that the text names: is the best scene a true match?"""
    scenes, pictures = paint(900_000, count, processor)
    images = functional.normalize(model.vision_model(pixel_values=pictures.float()).pooler_output, dim=-1)
    result: dict[str, float] = {}
    for name, kept in (("colour", (1, 0, 0)), ("shape", (0, 1, 0)), ("colour_shape", (1, 1, 0)), ("number", (0, 0, 1))):
        facts = list(dict.fromkeys(_facts(scene, kept) for scene in scenes))
        texts = [f"the {' '.join(filter(None, fact))}" for fact in facts]
        written = functional.normalize(encode_texts(model, processor, texts), dim=-1)
        best = (images @ written.T).argmax(dim=0).numpy()
        result[name] = round(float(_truth(scenes, facts)[best, np.arange(len(facts))].mean()), 3)
    return {**result, "scenes": count}


Facts = tuple[str, str, str]
"""Colour, shape and number in a text; empty if not named."""


def _facts(scene: Scene, kept: Sequence[int]) -> Facts:
    named = (scene.colour, scene.shape, str(scene.number))
    colour, shape, number = (it if keep else "" for it, keep in zip(named, kept, strict=True))
    return colour, shape, number


def _drop(scene: Scene, rng: np.random.Generator) -> Facts:
    """Draw a non-empty subset of a scene's facts; colour with shape half of the time, as in questions."""
    kept = [(1, 1, 0), (1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)][rng.choice(5, p=[0.5, 0.1, 0.15, 0.15, 0.1])]
    return _facts(scene, kept)


def _word(facts: Facts, rng: np.random.Generator) -> str:
    return FORMS[rng.integers(len(FORMS))].format(" ".join(filter(None, facts)))


def _truth(scenes: Sequence[Scene], facts: Sequence[Facts]) -> NDArray[np.float64]:
    """Return float64[N, M], 1 where text m is true of scene n, else 0."""
    shown = np.array([_facts(scene, (1, 1, 1)) for scene in scenes])[:, None]
    named = np.array(facts)[None]
    return ((named == "") | (named == shown)).all(axis=2).astype(np.float64)


def _words() -> list[str]:
    """Return the vocabulary; its order is part of the checkpoint."""
    forms = {word for form in FORMS for word in form.replace("{}", " ").replace("?", " ").split()}
    world = {*COLOURS, *SHAPES, *NAMES, *map(str, range(10, 100)), *forms, "?", ","}
    return ["<pad>", "<unk>", "</s>", *sorted(world)]


def _share(step: int, steps: int) -> float:
    """Return the learning rate as a fraction of the peak."""
    if step < 100:
        return (step + 1) / 100
    return 0.5 * (1 + float(np.cos(np.pi * (step - 100) / max(1, steps - 100))))


if __name__ == "__main__":
    main(tyro.cli(DualEncoderRun))
