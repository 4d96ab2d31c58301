"""What lets a small model learn to copy and to find: `python -m experiments.bench.skill_learning`.

Each trial trains a text model of 0.9 million parameters from nothing on a few skills, for the same CPU time on one
thread, and measures exact replies as `vt-env probe` does. Trials differ in one thing each. Writes
`results/skill_learning.json`; trials that are not run again keep their results.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
import tyro
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration

from experiments.runs.provenance import machine
from experiments.runs.run_dir import write_json
from experiments.tiny_model.batches import IGNORED, ExchangeCollator, exchange_rng
from experiments.tiny_model.copying_heads import silence_layers, write_copying_heads
from experiments.tiny_model.exercise import Exchange
from experiments.tiny_model.joined_tokenizer import JOINED_SIZE, build_joined_tokenizer, joined_parts
from experiments.tiny_model.model import THING_PARTS, ModelSizes, add_up_parts, build_model
from experiments.tiny_model.muon_adamw import MuonAdamW
from experiments.tiny_model.number_values import write_values
from experiments.tiny_model.probe import PROBE_SEED, exact_replies
from experiments.tiny_model.processor import build_processor
from experiments.tiny_model.scene_pictures import random_scene
from experiments.tiny_model.skills import SKILLS as FIRST_SKILLS
from experiments.tiny_model.tokenizer import TOKENIZER_SIZE, build_tokenizer
from experiments.tiny_model.world2.copying import echo, lookup

RESULT = Path(__file__).parent / "results" / "skill_learning.json"
SKILLS = {**{name: FIRST_SKILLS[name] for name in ("find", "order", "repeat")}, "echo": echo, "lookup": lookup}
LINES = ("find", "order", "repeat")
WARMUP, DECAY = 50, 0.3
"""Steps of the warm-up, and share of the time in which the rate falls to 0."""


@dataclass(frozen=True)
class Trial:
    """What one model is made of and trained on."""

    joined: bool = True
    """Whether a word and the space before it are one token."""
    values: bool = True
    """Whether the embeddings of numbers begin with their values."""
    same: bool = True
    """Whether output embeddings begin as the input ones."""
    silent: bool = True
    """Whether layers begin with output projections of zero, below louder embeddings."""
    written: bool = True
    """Whether copying heads are written in; needs as many key-value heads as heads."""
    heads: int = 2
    """Attention heads of a width of 128."""
    kv_heads: int = 2
    """Key-value heads."""
    first: tuple[str, ...] = ()
    """Skills of the first two fifths of the time; none for the same ones throughout."""
    skills: tuple[str, ...] = LINES
    """Skills of each batch in turn."""
    cpu_s: float = 80.0
    """CPU time of the training in seconds."""
    batch_size: int = 16
    lr: float = 1.5e-3
    seed: int = 1


_RANDOM = Trial(silent=False, written=False)
TRIALS: Mapping[str, Trial] = {
    "first base": replace(_RANDOM, joined=False, values=False, same=False, heads=4),
    "joined": replace(_RANDOM, values=False, same=False, heads=4),
    "joined, 4 key-value heads": replace(_RANDOM, values=False, same=False, heads=4, kv_heads=4),
    "joined, 4 key-value heads, values": replace(_RANDOM, same=False, heads=4, kv_heads=4),
    "joined, 4 key-value heads, values, same": replace(_RANDOM, heads=4, kv_heads=4),
    "joined, 4 key-value heads, values, same, copying first": replace(
        _RANDOM, heads=4, kv_heads=4, first=("echo", "lookup")
    ),
    "joined, 2 heads, values, same": _RANDOM,
    "joined, 2 heads, values, same, silent": Trial(written=False),
    "all": Trial(),
    "all, with looking up, 200 s": Trial(skills=(*LINES, "find", "order", "lookup"), cpu_s=200.0),
}


@dataclass(frozen=True)
class SkillBench:
    """Run trials."""

    trials: tuple[str, ...] = tuple(TRIALS)
    """Names of the trials."""
    measured: tuple[str, ...] = tuple(SKILLS)
    """Skills that are measured."""


def main(bench: SkillBench) -> None:
    """Run the trials one after another; print and write their results."""
    torch.set_num_threads(1)
    known = json.loads(RESULT.read_text())["trials"] if RESULT.is_file() else {}
    for name in bench.trials:
        known[name] = run_trial(TRIALS[name], bench.measured)
        print(name, json.dumps(known[name]), flush=True)
        write_json(RESULT, {"machine": machine(), "trials": known})


def run_trial(trial: Trial, measured: Sequence[str]) -> dict[str, Any]:
    """Train and measure one model."""
    processor = build_processor(build_joined_tokenizer() if trial.joined else build_tokenizer())
    collate = ExchangeCollator(processor)
    model = _model(trial, processor.tokenizer)
    steps = _train(trial, model, collate)
    model.eval()
    found = {skill: _measure(model, collate, skill) for skill in measured}
    return {"settings": asdict(trial), "steps": steps, "skills": found}


def _model(trial: Trial, tokenizer: Any) -> Qwen2_5_VLForConditionalGeneration:
    half = 128 // trial.heads // 2
    section = (half // 4, half // 2 - half // 8, half - half // 4 - (half // 2 - half // 8))
    tokens = JOINED_SIZE if trial.joined else TOKENIZER_SIZE
    sizes = ModelSizes(tokens, 128, 3, trial.heads, trial.kv_heads, 344, section, 32, 1, 2, 64)
    model = build_model(tokenizer, trial.seed, sizes, {})
    layers: tuple[Any, Any] = (model.get_input_embeddings(), model.get_output_embeddings())
    for layer in layers:
        if trial.values:
            with torch.no_grad():
                write_values(layer.weight, tokenizer, trial.seed)
        add_up_parts(layer.weight, tokenizer, joined_parts() if trial.joined else THING_PARTS)
    if trial.same:
        layers[1].weight.data.copy_(layers[0].weight.data)
    if trial.silent:
        silence_layers(model)
    if trial.written:
        write_copying_heads(model, trial.seed)
    return model


def _train(trial: Trial, model: Qwen2_5_VLForConditionalGeneration, collate: ExchangeCollator) -> int:
    """Train for the trial's CPU time and return the number of steps."""
    optimizer = MuonAdamW(model, trial.lr, (0.9, 0.98), 0.01)
    rates = [group["lr"] for group in optimizer.param_groups]
    start_s, step, share = time.process_time(), 0, 0.0
    while share < 1:
        skills = trial.first if trial.first and share < 0.4 else trial.skills
        batch = collate(_exchanges(skills[step % len(skills)], trial.seed, step, trial.batch_size))
        factor = min(1.0, (step + 1) / WARMUP, (1 - share) / DECAY)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        inner: Any = model.model
        hidden = inner(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        labels = batch["labels"][:, 1:]
        loss = functional.cross_entropy(model.lm_head(hidden[:, :-1][labels != IGNORED]), labels[labels != IGNORED])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % 50 == 0:
            print(step, round(time.process_time() - start_s), round(loss.item(), 3), flush=True)
        share = (time.process_time() - start_s) / trial.cpu_s
    return step


def _exchanges(skill: str, seed: int, batch: int, count: int) -> list[Exchange]:
    make = SKILLS[skill]
    places = range(1, count + 1)
    # The lengths of a batch are shared, as in pretraining.
    return [make(exchange_rng(seed, batch, it), random_scene, exchange_rng(seed, batch, 0)) for it in places]


def _measure(model: torch.nn.Module, collate: ExchangeCollator, skill: str) -> dict[str, Any]:
    """Return the share of exact replies of a skill, in all and by the number of lines or rounds."""
    exact: defaultdict[int, list[bool]] = defaultdict(list)
    for batch in range(4):
        exchanges = _exchanges(skill, PROBE_SEED + batch, batch, 25)
        judged = iter(exact_replies(model, collate(exchanges)))
        for kind in difficulties(exchanges, skill):
            exact[kind].append(next(judged))
    every = [it for judged in exact.values() for it in judged]
    return {
        "n": len(every),
        "exact": round(mean(every), 3),
        "by": {it: round(mean(exact[it]), 3) for it in sorted(exact)},
    }


def difficulties(exchanges: Sequence[Exchange], skill: str) -> Iterator[int]:
    """Yield for each reply what its difficulty depends on: the lines of a list, or its round in an order."""
    for exchange in exchanges:
        for number, it in enumerate(exchange.rounds, start=1):
            by = {"find": len(exchange.rounds), "lookup": len(exchange.rounds), "order": number}
            yield by.get(skill, it.reply.count("\n") + 1)


if __name__ == "__main__":
    main(tyro.cli(SkillBench))
