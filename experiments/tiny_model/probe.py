"""Measure the base skills (`vt-env probe`): exact match of greedy replies, on exercises from held-out seeds."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from experiments.runs.run_dir import write_text
from experiments.tiny_model.batches import IGNORED, ExchangeCollator
from experiments.tiny_model.recipes import RECIPES, World
from vt_env.errors import ConfigError
from vt_env.media.terminal import track

PROBE_SEED = 900_000
"""Seed of the probes, disjoint from the small seeds of training."""
SKILLS_FILE = "skills.json"
WORLD_FIELD = "vt_env_world"
"""Field of a checkpoint's `config.json` with the version of its world; the first base has none."""


@dataclass(frozen=True)
class ProbeRun:
    """Settings of a probe."""

    model: Path = Path("experiments/tiny_model/base")
    """Checkpoint folder."""
    n: int = 500
    """Number of replies per skill."""
    batch_size: int = 25
    """Exchanges per batch."""
    threads: int = 2
    """CPU threads of PyTorch."""


def main(run: ProbeRun) -> None:
    """Measure and print the exact match of each skill, and write `skills.json` into the checkpoint folder.

    Raises:
        ConfigError: The checkpoint folder does not exist.
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
    """Return the exact match of each skill of the checkpoint's world, 0 to 1.

    A greedy reply is exact if every expected token is the most likely one given the expected tokens before it. One
    forward pass therefore scores all rounds of an exchange, each conditioned on correct earlier replies.
    """
    processor = AutoProcessor.from_pretrained(run.model, trust_remote_code=False)
    model = AutoModelForImageTextToText.from_pretrained(run.model, trust_remote_code=False).eval()
    collate = ExchangeCollator(processor)
    recipe = RECIPES[world_of(run.model)]
    shares: dict[str, float] = {}
    for place, (skill, make) in enumerate(track(recipe.skills.items(), "skills", len(recipe.skills))):
        rng = np.random.default_rng(np.random.SeedSequence([PROBE_SEED, place]))
        judged: list[bool] = []
        while len(judged) < run.n:
            judged += exact_replies(
                model, collate([make(rng, recipe.scene_source, rng) for _ in range(run.batch_size)])
            )
        shares[skill] = float(np.mean(judged[: run.n]))
    return shares


def world_of(model: Path) -> World:
    """Return the version of the world that a base, or a checkpoint trained from one, was made for."""
    config: Any = AutoConfig.from_pretrained(model, trust_remote_code=False)
    return getattr(config, WORLD_FIELD, 1)


def exact_replies(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> list[bool]:
    """Return, for each reply of a batch in order, whether greedy decoding reproduces it."""
    with torch.inference_mode():
        likeliest = model(**{name: it for name, it in batch.items() if name != "labels"}).logits.argmax(-1)
    exact: list[bool] = []
    for written, labels in zip(likeliest[:, :-1], batch["labels"][:, 1:], strict=True):
        is_reply = labels != IGNORED
        starts = is_reply & ~torch.cat([torch.zeros(1, dtype=torch.bool), is_reply[:-1]])
        reply = starts.cumsum(0)[is_reply]
        wrong = (written != labels)[is_reply]
        exact += [not bool(wrong[reply == number].any()) for number in range(1, int(starts.sum()) + 1)]
    return exact
