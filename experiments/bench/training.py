"""How fast policies play and learn: `python -m experiments.bench.training`; numbers go to `training.json` beside this.

Rollouts: the replies of the same episodes, turn by turn and in the same batches, are written once with transformers'
`generate` and once with vLLM; tokens a second of each, and their ratio, for few episodes side by side and for many.
What stands before a reply is a scripted demonstration, so both read the same. GRPO: a run of a few steps in a process
of its own, on a store that is warm; where the seconds of its steps went, and its peak memory. Its policy calls tools:
it is taught in a minute unless `--policy` names one.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import tyro

from agents.backends.generator import Generator, TokenSequence
from agents.language.token_policy import ChatTokens, images_of
from experiments.runs.provenance import machine
from experiments.runs.read_run import read_metrics
from experiments.runs.run_dir import Stopwatch, write_json
from experiments.settings.policies import BASE_MODEL
from experiments.train.grpo_log import read_grpo_log
from experiments.train.sft_rows import Row, TrajectoryRows, load_trajectories
from vt_env.config import MediaConfig
from vt_env.media.library import VideoLibrary
from vt_env.task_sources import load_tasks

RESULT = Path(__file__).parent / "results" / "training.json"
TARGETS = {"rollouts_ratio": 5.0, "environment_share": 0.1, "peak_gib": 8.0}


@dataclass(frozen=True)
class TrainingBench:
    """How much is measured."""

    crowds: tuple[int, ...] = (48, 240)
    """Episodes that are played side by side, one measurement each; GRPO is about as many questions as the first."""
    repeats: int = 3
    """Times that each backend writes all replies; the median counts."""
    max_new_tokens: int = 48
    """Length at which a reply is cut off."""
    steps: int = 12
    """GRPO steps; the first two warm up and do not count."""
    policy: Path | None = None
    """A checkpoint that calls tools, for GRPO; by default one is taught."""
    teaching_steps: int = 150
    """Optimiser steps of that teaching."""


def main(bench: TrainingBench) -> None:
    """Measure both, print, and write the result."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _command("synth", "--out", folder / "synth", "--limit", max(bench.crowds), "--samples", 1, "--budget", "tiny")
        rollouts = measure_rollouts(bench, folder / "synth" / "dataset")
        policy = bench.policy or _teach(bench, folder)
        grpo = measure_grpo(bench, policy, folder)
    result = {"machine": machine(), "settings": json.loads(json.dumps(vars(bench), default=str))}
    result |= {"rollouts": rollouts, "grpo": grpo, "targets": TARGETS}
    write_json(RESULT, result)
    print(json.dumps(result, indent=1))


def measure_rollouts(bench: TrainingBench, dataset: Path) -> list[dict[str, Any]]:
    """Time both backends on the replies of a data set, crowd by crowd."""
    from transformers import AutoProcessor

    from agents.backends.transformers_generate import TransformersGenerator
    from agents.backends.vllm_generate import VllmGenerator

    processor = AutoProcessor.from_pretrained(BASE_MODEL)
    rows = TrajectoryRows(list(load_trajectories(dataset)), load_tasks("world", "train"), VideoLibrary(MediaConfig()))
    crowds = [turns_of([rows[it] for it in range(min(size, len(rows)))], processor) for size in bench.crowds]
    # transformers first: vLLM takes the threads of the process over.
    speeds: list[list[list[float]]] = []
    for kind in (TransformersGenerator, VllmGenerator):
        generator = kind(BASE_MODEL, processor, bench.max_new_tokens, 1.0)
        speeds.append([_speeds(generator, turns, bench) for turns in crowds])
    return [_rollouts(turns, *of_crowd) for turns, *of_crowd in zip(crowds, *speeds, strict=True)]


def _rollouts(turns: Sequence[Sequence[TokenSequence]], slow: list[float], fast: list[float]) -> dict[str, Any]:
    return {
        "episodes": len(turns[0]),
        "turns": len(turns),
        "replies": sum(map(len, turns)),
        "transformers_tokens_per_s": round(median(slow)),
        "vllm_tokens_per_s": round(median(fast)),
        "ratio": round(median(fast) / median(slow), 2),
        "all": {"transformers": list(map(round, slow)), "vllm": list(map(round, fast))},
    }


def turns_of(rows: Sequence[Row], processor: Any) -> list[list[TokenSequence]]:
    """For each turn, what stands before the reply of every conversation that gets so far."""
    turns: list[list[TokenSequence]] = []
    for row in rows:
        tokens = ChatTokens(processor, row.tools)
        first = next(place for place, it in enumerate(row.messages) if it["role"] == "assistant")
        ids, turn = tokens.prompt_ids(row.messages[:first]), 0
        for place in range(first, len(row.messages)):
            message = row.messages[place]
            if message["role"] == "assistant":
                if turn == len(turns):
                    turns.append([])
                turns[turn].append(TokenSequence(list(ids), images_of(row.messages[:place])))
                text = "".join(str(block["text"]) for block in message["content"] if isinstance(block, dict))
                ids, turn = ids + tokens.reply_ids(text), turn + 1
            else:
                ids = ids + tokens.result_ids(message)
    return turns


def _speeds(generator: Generator, turns: Sequence[Sequence[TokenSequence]], bench: TrainingBench) -> list[float]:
    """Tokens a second, once a repeat; a first pass warms up."""
    speeds: list[float] = []
    for repeat in range(bench.repeats + 1):
        watch, written = Stopwatch(), 0
        for turn, sequences in enumerate(turns):
            seeds = [repeat * 10_000 + turn * 1000 + number for number in range(len(sequences))]
            written += sum(map(len, generator.generate(sequences, seeds)))
        speeds.append(written / watch.elapsed_s)
    return speeds[1:]


def _teach(bench: TrainingBench, folder: Path) -> Path:
    out, data = folder / "sft", folder / "synth" / "dataset"
    _command("sft", "--out", out, "--trajectories", data, "--steps", bench.teaching_steps, "--lr", 1e-3)
    return out / "model"


def measure_grpo(bench: TrainingBench, policy: Path, folder: Path) -> dict[str, Any]:
    """Run GRPO on the questions that were demonstrated, so that all videos are stored, and read where its time went."""
    flags = ("--model", policy, "--steps", bench.steps, "--limit", bench.crowds[0], "--budget", "tiny")
    _command("grpo", "--out", folder / "grpo", *flags)
    # The largest of all commands so far.
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    lines = [line for line in read_metrics(folder / "grpo") if "reward" in line][2:]
    seconds = {
        part: round(sum(values[2:]) / len(lines), 3) for part, values in read_grpo_log(folder / "grpo").seconds.items()
    }
    whole = sum(seconds.values())
    return {
        "steps": len(lines),
        "rollouts_per_step": lines[0]["rollouts"],
        "calls": round(sum(line["episode"]["calls"] for line in lines) / len(lines), 2),
        "seconds_per_step": round(whole, 3),
        "seconds": seconds,
        "share": {part: round(value / whole, 3) for part, value in seconds.items()},
        "dropped": round(sum(line["episode"].get("dropped", 0) for line in lines) / len(lines), 3),
        "logp_difference_max": max(line["logp_difference"] for line in lines),
        "peak_gib": round(peak_kib / 2**20, 2),
    }


def _command(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "experiments.cli", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(tyro.cli(TrainingBench))
