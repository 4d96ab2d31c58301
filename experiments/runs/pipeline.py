"""Pipelines of steps, most of them `vt-env` commands in their own processes.

A step is done once its command has exited with 0, after its results are whole on disk. An interrupted pipeline resumes
at the step that was running, and that step at its own last result.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.runs.run_dir import Run, Stopwatch, open_run
from vt_env.config import HOW_ONLY, MediaConfig, at_least
from vt_env.errors import ConfigError
from vt_env.media.library import VideoLibrary
from vt_env.types import VideoRef

QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONWARNINGS": "ignore",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
"""Environment variables that silence libraries, whose output would break the progress bars."""


@dataclass(frozen=True)
class Step:
    """One step of a pipeline."""

    name: str
    do: Callable[[], int | None]
    """Runs the step and returns the exit code of its command; `None` counts as 0."""
    words: tuple[str, ...] = ()
    """The `vt-env` command with its flags; empty for a step in this process."""


class StepFailed(Exception):
    """Nonzero exit of the command of a step."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"{name} failed, see above; the same command resumes there")
        self.code = code
        """Exit code of the command."""


@dataclass(frozen=True)
class PipelineRun:
    """Flags shared by all pipelines."""

    out: Path
    """Folder of all runs of the pipeline; an interrupted pipeline resumes there."""
    base: str
    """Checkpoint that training starts from."""
    processes: int = field(default=2, metadata=HOW_ONLY)
    """Videos written and indexed in parallel."""

    def __post_init__(self) -> None:
        at_least(self, "processes", 1)


def run_pipeline(
    kind: str, run: PipelineRun, sizes: object, plan: Callable[[Run], Iterable[Step]], end: Callable[[Run], None]
) -> int:
    """Run the remaining steps of a pipeline, print one line per step and write the results.

    Args:
        kind: Name of the pipeline's command.
        run: Flags of the pipeline.
        sizes: Values of the preset, kept in the run directory; other values refuse to resume it.
        plan: Lists the steps.
        end: Writes the results; called on every run.

    Returns:
        0, or the exit code of the command that failed.

    Raises:
        ConfigError: There is no base model, or the folder belongs to another run.
    """
    if not Path(run.base).is_dir():
        raise ConfigError(f"{run.base}: no base model: run vt-env pretrain or give --base")
    try:
        with open_run(run.out, kind, run, {"sizes": sizes}) as directory:
            run_steps(list(plan(directory)), directory)
            end(directory)
    except StepFailed as failure:
        print(f"vt-env: {failure}", file=sys.stderr)
        return failure.code
    return 0


def run_steps(steps: Sequence[Step], directory: Run) -> None:
    """Run the steps not yet finished by an earlier process.

    Raises:
        StepFailed: A command exited with an error.
    """
    done = {line["phase"]: line["seconds"] for line in directory.metrics() if line.get("event") == "done"}
    for number, step in enumerate(steps, start=1):
        if step.name not in done:
            watch = Stopwatch()
            code = step.do()
            if code:
                raise StepFailed(step.name, code)
            done[step.name] = round(watch.elapsed_s, 3)
            directory.metric({"event": "done", "phase": step.name, "seconds": done[step.name]})
        print(f"[{number:2d}/{len(steps)}] {step.name:<18}{done[step.name]:7.1f} s", flush=True)


PROFILE = ("--profile", "world")
"""Profile of every step: all videos are of the generated world."""


def index_video(ref: VideoRef) -> None:
    """Store and index one video."""
    VideoLibrary(MediaConfig()).open(ref)


def command(name: str, *arguments: object) -> Step:
    """Return a step that runs a `vt-env` command."""
    words = tuple(str(argument) for argument in arguments)
    return Step(name, lambda: run_command(words), words)


def run_command(arguments: Sequence[str]) -> int:
    """Run a `vt-env` command in a child process, with stderr shown and stdout discarded.

    The child has its own process group, so that Ctrl-C reaches only the parent, which then ends the child. The child
    dies with the parent, so that no process stays in the background.

    Returns:
        The exit code.
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
    """Ask the kernel to kill this process when its parent dies."""
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
