"""The whole story at tiny size: `vt-env quickstart`.

    world ──► index ──► synth ──► sft ──► grpo ──► eval of every policy ──► report

Each phase after the index is a `vt-env` command in a process of its own, so that it ends with its memory. A phase
counts as done once its command has ended well, which is after its results lie whole on disk; interrupted and started
again, the quickstart goes on with the phase that was running, and that phase with what it had finished.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.models import BASE_MODEL
from experiments.policies import MODELS
from experiments.report import ReportRun
from experiments.report import main as write_report
from experiments.runs import Run, Stopwatch, open_run
from experiments.video_files import run_parallel
from experiments.world_command import prepare_task
from vt_env.config import MediaConfig
from vt_env.errors import ConfigError
from vt_env.media.video import VideoLibrary
from vt_env.tasks import load_tasks
from vt_env.types import VideoRef

EVALUATED = ("random", "blind", "uniform", "scripted", "base", "sft", "sft+grpo", "oracle")
"""The policies of the table, in the order in which they are evaluated."""
BUDGET = "tiny"
"""What every episode may spend, in synthesis, training and evaluation alike."""
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONWARNINGS": "ignore",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
"""Keeps libraries from talking over the progress bars."""

SFT_LR = 6e-4
"""Higher than the default, for a model that small."""


@dataclass(frozen=True)
class Sizes:
    """How large each phase is."""

    train_tasks: int
    """Training tasks that trajectories are written for."""
    samples: int
    """Attempts of the teacher at a task."""
    skills_share: float
    """Share of the base model's skills in SFT, so that it does not forget them."""
    sft_steps: int
    """Optimiser steps of SFT."""
    grpo_steps: int
    """Updates of GRPO, on questions from the whole training split."""
    grpo_prompts: int
    """Questions an update."""
    test_tasks: int
    """Held-out tasks that every policy is evaluated on."""


PRESETS: Mapping[str, Sizes] = {
    "default": Sizes(
        train_tasks=600, samples=3, skills_share=0.3, sft_steps=450, grpo_steps=40, grpo_prompts=6, test_tasks=120
    ),
    "smoke": Sizes(train_tasks=3, samples=1, skills_share=0.5, sft_steps=2, grpo_steps=1, grpo_prompts=2, test_tasks=3),
}
"""`default` fits into 20 minutes on two cores; `smoke` only shows that the parts fit together."""


@dataclass(frozen=True)
class QuickstartRun:
    """From nothing to a table of results, on the generated world."""

    out: Path = Path("runs/quickstart")
    """Folder of all runs; an interrupted quickstart goes on there."""
    preset: Literal["default", "smoke"] = "default"
    """Sizes of all phases."""
    seed: int = 0
    """Seed of every phase."""
    base: str = str(BASE_MODEL)
    """Checkpoint that training starts from."""
    processes: int = 2
    """Videos written and indexed at once."""


@dataclass(frozen=True)
class Phase:
    """One step of the story."""

    name: str
    do: Callable[[], int | None]
    """Does it; returns the exit code of a command."""


def main(run: QuickstartRun) -> int:
    """Do what is left to do, a line a phase, and write the report.

    Returns:
        0, or the exit code of the command that failed; what it said stands above.

    Raises:
        ConfigError: There is no base model, or the folder belongs to another run.
    """
    if not Path(run.base).is_dir():
        raise ConfigError(f"{run.base}: no base model: run vt-env pretrain or give --base")
    try:
        with open_run(run.out, "quickstart", run) as directory:
            _do_all(list(plan(run)), directory)
    except PhaseFailed as failure:
        print(f"vt-env: {failure}", file=sys.stderr)
        return failure.code
    write_report(ReportRun((run.out,)))
    return 0


class PhaseFailed(Exception):
    """A command of the story ended badly."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"{name} failed, see above; once that is mended, vt-env quickstart goes on there")
        self.code = code
        """Exit code of the command."""


def plan(run: QuickstartRun) -> Iterator[Phase]:
    """List the phases in order."""
    sizes = PRESETS[run.preset]
    tasks = [*load_tasks("world", "train").head(sizes.train_tasks), *load_tasks("world", "test").head(sizes.test_tasks)]
    by_video = {task.item.video: task for task in tasks}
    yield Phase("world", lambda: run_parallel(prepare_task, list(by_video.values()), run.processes, "world"))
    yield Phase("index", lambda: run_parallel(index_video, list(by_video), run.processes, "index"))
    synth, sft, grpo = (run.out / name for name in ("synth", "sft", "grpo"))
    limit, seed, budget = ("--limit", sizes.train_tasks), ("--seed", run.seed), ("--budget", BUDGET)
    yield _command("synth", "synth", "--out", synth, *limit, "--samples", sizes.samples, *budget, *seed)
    mixture = ("--trajectories", synth / "dataset", "--skills-share", sizes.skills_share)
    yield _command(
        "sft", "sft", "--out", sft, "--model", run.base, *mixture, "--steps", sizes.sft_steps, "--lr", SFT_LR, *seed
    )
    start = ("--model", sft / "model")
    steps = ("--steps", sizes.grpo_steps, "--prompts-per-step", sizes.grpo_prompts)
    yield _command("grpo", "grpo", "--out", grpo, *start, *steps, *budget, *seed)
    checkpoints = {"sft": sft / "model", "sft+grpo": grpo / "model"}
    for agent in EVALUATED:
        model = ("--model.path", checkpoints.get(agent, run.base)) if agent in MODELS else ()
        what = ("--agent", agent, "--n", sizes.test_tasks, *budget)
        yield _command(f"eval {agent}", "eval", "--out", run.out / "eval" / agent, *what, *model, *seed)


def _do_all(phases: Sequence[Phase], directory: Run) -> None:
    """Do the phases that no earlier process has ended.

    Raises:
        PhaseFailed: A command ended badly.
    """
    done = {line["phase"]: line["seconds"] for line in directory.metrics() if line.get("event") == "done"}
    for number, phase in enumerate(phases, start=1):
        if phase.name not in done:
            watch = Stopwatch()
            code = phase.do()
            if code:
                raise PhaseFailed(phase.name, code)
            done[phase.name] = round(watch.elapsed_s, 3)
            directory.metric({"event": "done", "phase": phase.name, "seconds": done[phase.name]})
        print(f"[{number:2d}/{len(phases)}] {phase.name:<18}{done[phase.name]:7.1f} s", flush=True)


def index_video(ref: VideoRef) -> None:
    """Store and index one video."""
    VideoLibrary(MediaConfig()).open(ref)


def _command(name: str, *arguments: object) -> Phase:
    words = [str(argument) for argument in arguments]
    return Phase(name, lambda: run_command(words))


def run_command(arguments: Sequence[str]) -> int:
    """Run a `vt-env` command in a process of its own; its bars and errors are shown, its output is not.

    The process has its own group, so that Ctrl-C reaches this one alone, which ends it and says one thing; and it dies
    with this one, so that nothing goes on in the background.

    Returns:
        Its exit code.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, **QUIET},
        process_group=0,
        preexec_fn=_die_with_parent,
    )
    try:
        return process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, however it dies."""
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
