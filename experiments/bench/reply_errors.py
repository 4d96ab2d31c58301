"""Where a base model's replies go wrong: `python -m experiments.bench.reply_errors --skills find order repeat`.

For each skill: exact replies by the length of the list, the share of right first tokens, and the places in a reply at
which the first wrong token stands most often. Replies are judged as by `vt-env probe`: each token given the right ones
before it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
import tyro
from transformers import AutoModelForImageTextToText, AutoProcessor

from experiments.bench.skill_learning import difficulties
from experiments.settings.models import BASE_MODEL
from experiments.tiny_model.batches import IGNORED, ExchangeCollator
from experiments.tiny_model.probe import world_of
from experiments.tiny_model.recipes import RECIPES

SEED = 900_123


@dataclass(frozen=True)
class ReplyErrors:
    """Which replies are looked at."""

    model: Path = BASE_MODEL
    """Checkpoint folder."""
    skills: tuple[str, ...] = ("find", "order", "repeat")
    """Skills of the checkpoint's world."""
    n: int = 500
    """Replies per skill at least."""
    threads: int = 1
    """CPU threads of PyTorch."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A reply beside what the model would write."""

    difficulty: int
    wanted: list[int]
    written: list[int]

    @property
    def first_wrong(self) -> int | None:
        """Place of the first wrong token; `None` if all are right."""
        pairs = zip(self.wanted, self.written, strict=True)
        return next((place for place, (one, other) in enumerate(pairs) if one != other), None)


def main(run: ReplyErrors) -> None:
    """Print the errors of each skill."""
    torch.set_num_threads(run.threads)
    processor = AutoProcessor.from_pretrained(run.model, trust_remote_code=False)
    model = AutoModelForImageTextToText.from_pretrained(run.model, trust_remote_code=False).eval()
    for skill in run.skills:
        replies = _judge(run, skill, model, ExchangeCollator(processor))
        by: defaultdict[int, list[bool]] = defaultdict(list)
        for it in replies:
            by[it.difficulty].append(it.first_wrong is None)
        places = Counter(it.first_wrong for it in replies if it.first_wrong is not None)
        first = mean(it.first_wrong != 0 for it in replies)
        print(f"{skill}: exact {mean(it.first_wrong is None for it in replies):.3f}, n = {len(replies)}")
        print(f"  right first tokens {first:.3f}; first wrong token at {places.most_common(6)}")
        print("  by lines or rounds:", {it: f"{mean(by[it]):.3f} of {len(by[it])}" for it in sorted(by)})


def _judge(run: ReplyErrors, skill: str, model: torch.nn.Module, collate: ExchangeCollator) -> list[Judged]:
    recipe = RECIPES[world_of(run.model)]
    rng = np.random.default_rng(SEED)
    judged: list[Judged] = []
    while len(judged) < run.n:
        exchanges = [recipe.skills[skill](rng, recipe.scene_source, rng) for _ in range(25)]
        replies = _replies(model, collate(exchanges))
        judged += [Judged(kind, *next(replies)) for kind in difficulties(exchanges, skill)]
    return judged


def _replies(model: torch.nn.Module, batch: dict[str, Any]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the wanted and the likeliest tokens of each reply, in order."""
    with torch.inference_mode():
        likeliest = model(**{name: it for name, it in batch.items() if name != "labels"}).logits.argmax(-1)
    for wanted, written in zip(batch["labels"][:, 1:], likeliest[:, :-1], strict=True):
        is_reply = wanted != IGNORED
        edges = torch.nonzero(torch.diff(is_reply.int(), prepend=torch.zeros(1).int(), append=torch.zeros(1).int()))
        for start, end in edges.view(-1, 2).tolist():
            yield wanted[start:end].tolist(), written[start:end].tolist()


if __name__ == "__main__":
    main(tyro.cli(ReplyErrors))
