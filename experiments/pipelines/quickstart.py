"""Pipeline of data, training, evaluation and report at tiny size: `vt-env quickstart`.

    world ──► index ──► synth ──► sft ──► grpo ──► eval of every policy ──► report

Each step after the index is a `vt-env` command in its own process, which frees its memory at the end. An interrupted
quickstart resumes where it was (`experiments.runs.pipeline`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.data.video_paths import run_parallel
from experiments.data.world import prepare_task
from experiments.report.report import ReportRun
from experiments.report.report import main as write_report
from experiments.runs.pipeline import PROFILE, PipelineRun, Step, command, index_video, run_pipeline
from experiments.settings.models import BASE_MODEL
from experiments.settings.policies import MODELS
from vt_env.task_sources import load_tasks

EVALUATED = ("random", "blind", "uniform", "scripted", "base", "sft", "sft+grpo", "oracle")
"""Policies to evaluate, in the order of the table."""
BUDGET = "tiny"
"""Budget of every episode, in synthesis, training and evaluation alike."""
PROMPTS = ("--prompts", "tiny")
"""Prompt set of the shipped base model, explicit for policies without a model."""
SFT_LR = 1e-3
"""Learning rate of SFT; higher than the default, since the model is small."""
TEMPERATURE = 0.6
"""Sampling temperature of rollouts; at 1 the tiny model misreads far more often (measured)."""
UPDATES = ("--lr", 1.5e-4, "--beta", 0.04, "--temperature", TEMPERATURE)
"""Updates of GRPO; without the KL term (at 2e-4, on other questions) the tiny model unlearned to copy times."""
TEACHER = ("--teacher.persistence", 0.5, "--mode", "paper", "--samples", 1)
"""Teacher of SFT: gives up after half of its wrong candidates, and all its attempts are imitated, right or wrong. Our
choice, so that GRPO has something to improve."""


@dataclass(frozen=True)
class QuickstartSizes:
    """Sizes of each step of `vt-env quickstart`."""

    train_tasks: int
    """Training tasks with demonstrations."""
    skills_share: float
    """Share of the base model's exercises in SFT, against forgetting."""
    sft_steps: int
    """Optimiser steps of SFT."""
    grpo_steps: int
    """Updates of GRPO, on questions from the whole training split."""
    grpo_prompts: int
    """Questions per update."""
    test_tasks: int
    """Held-out tasks of every evaluation."""


PRESETS: Mapping[str, QuickstartSizes] = {
    "default": QuickstartSizes(
        train_tasks=600, skills_share=0.3, sft_steps=450, grpo_steps=50, grpo_prompts=6, test_tasks=120
    ),
    "smoke": QuickstartSizes(train_tasks=3, skills_share=0.5, sft_steps=2, grpo_steps=1, grpo_prompts=2, test_tasks=3),
}
"""Presets: `default` takes 22 minutes on two cores; `smoke` only tests that the steps fit together."""


@dataclass(frozen=True)
class QuickstartRun(PipelineRun):
    """Train and evaluate all policies on the generated world."""

    out: Path = Path("runs/quickstart")
    """Folder of all runs; an interrupted quickstart resumes there."""
    base: str = str(BASE_MODEL)
    """Checkpoint that training starts from."""
    preset: Literal["default", "smoke"] = "default"
    """Preset of the sizes of all steps."""
    seed: int = 0
    """Seed of every step."""


def main(run: QuickstartRun) -> int:
    """Run the remaining steps, print one line per step, and write the report.

    Returns:
        0, or the exit code of the command that failed.

    Raises:
        ConfigError: The base model does not exist, or the folder belongs to another run.
    """
    return run_pipeline(
        "quickstart", run, PRESETS[run.preset], lambda _: plan(run), lambda _: write_report(ReportRun((run.out,)))
    )


def plan(run: QuickstartRun) -> Iterator[Step]:
    """List the steps in order."""
    sizes = PRESETS[run.preset]
    tasks = [*load_tasks("world", "train").head(sizes.train_tasks), *load_tasks("world", "test").head(sizes.test_tasks)]
    by_video = {task.item.video: task for task in tasks}
    yield Step("world", lambda: run_parallel(prepare_task, list(by_video.values()), run.processes, "world"))
    yield Step("index", lambda: run_parallel(index_video, list(by_video), run.processes, "index"))
    synth, sft, grpo = (run.out / name for name in ("synth", "sft", "grpo"))
    limit, seed, budget = ("--limit", sizes.train_tasks), ("--seed", run.seed, *PROFILE), ("--budget", BUDGET)
    yield command("synth", "synth", "--out", synth, *limit, *TEACHER, *budget, *PROMPTS, *seed)
    mixture = ("--trajectories", synth / "dataset", "--skills-share", sizes.skills_share)
    yield command(
        "sft", "sft", "--out", sft, "--model", run.base, *mixture, "--steps", sizes.sft_steps, "--lr", SFT_LR, *seed
    )
    start = ("--model", sft / "model")
    steps = ("--steps", sizes.grpo_steps, "--prompts-per-step", sizes.grpo_prompts)
    yield command("grpo", "grpo", "--out", grpo, *start, *steps, *UPDATES, *budget, *seed)
    checkpoints = {"sft": sft / "model", "sft+grpo": grpo / "model"}
    for agent in EVALUATED:
        model = ("--model.path", checkpoints.get(agent, run.base)) if agent in MODELS else ()
        flags = ("--agent", agent, "--n", sizes.test_tasks, *budget, *PROMPTS)
        yield command(f"eval {agent}", "eval", "--out", run.out / "eval" / agent, *flags, *model, *seed)
