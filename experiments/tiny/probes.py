"""Measure the base skills: `vt-env probe`. Greedy replies that equal the expected one, from seeds never trained on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, Qwen2_5_VLProcessor

from experiments.runs import write_text
from experiments.tiny.batches import messages, scene_image
from experiments.tiny.skills import SKILLS, Exchange
from vt_env.errors import ConfigError

PROBE_SEED = 900_000
"""Seed of the probes; training uses small ones."""
REPLY_TOKENS = 100
SKILLS_FILE = "skills.json"


@dataclass(frozen=True)
class ProbeRun:
    """Which model is probed, and how often."""

    model: Path = Path("experiments/tiny/base")
    """Folder of the checkpoint."""
    n: int = 500
    """Exchanges a skill."""
    batch_size: int = 100
    """Exchanges generated together."""
    threads: int = 2
    """CPU threads of PyTorch."""


def main(run: ProbeRun) -> None:
    """Measure, print, and write `skills.json` beside the model.

    Raises:
        ConfigError: There is no model.
    """
    if not run.model.is_dir():
        raise ConfigError(f"{run.model}: no such folder: run vt-env pretrain or give --model")
    torch.set_num_threads(run.threads)
    shares = measure(run)
    for skill, share in shares.items():
        print(f"{skill:<14}{share:.3f}")
    text = json.dumps({"n": run.n, "seed": PROBE_SEED, "exact": shares}, indent=1)
    write_text(run.model / SKILLS_FILE, f"{text}\n")


def measure(run: ProbeRun) -> dict[str, float]:
    """Return the share of exact replies for each skill."""
    processor = AutoProcessor.from_pretrained(run.model)
    model = AutoModelForImageTextToText.from_pretrained(run.model).eval()
    shares: dict[str, float] = {}
    for place, (skill, make) in enumerate(SKILLS.items()):
        rng = np.random.default_rng(np.random.SeedSequence([PROBE_SEED, place]))
        exchanges = [make(rng) for _ in range(run.n)]
        batches = [exchanges[start : start + run.batch_size] for start in range(0, run.n, run.batch_size)]
        replies = [reply for batch in batches for reply in greedy_replies(model, processor, batch)]
        shares[skill] = float(np.mean([r == e.reply for r, e in zip(replies, exchanges, strict=True)]))
    return shares


def greedy_replies(model: torch.nn.Module, processor: Qwen2_5_VLProcessor, exchanges: Sequence[Exchange]) -> list[str]:
    """Generate greedily for a batch of exchanges."""
    texts = [processor.apply_chat_template(messages(e), tokenize=False, add_generation_prompt=True) for e in exchanges]
    images = [scene_image(scene) for e in exchanges for scene in e.scenes]
    batch = processor(text=texts, images=images or None, padding=True, padding_side="left", return_tensors="pt")
    with torch.inference_mode():
        tokens = model.generate(**batch, max_new_tokens=REPLY_TOKENS, do_sample=False)
    return processor.tokenizer.batch_decode(tokens[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
