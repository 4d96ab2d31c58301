"""A run of many phases, most of them `vt-env` commands in processes of their own.

A phase counts as done once its command has ended well, which is after its results lie whole on disk; interrupted and
started again, a story goes on with the phase that was running, and that phase with what it had finished.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.runs.run_dir import HOW_ONLY, Run, Stopwatch, open_run
from vt_env.config import MediaConfig, at_least
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
"""Keeps libraries from talking over the progress bars."""


@dataclass(frozen=True)
class Phase:
    """One step of a story."""

    name: str
    do: Callable[[], int | None]
    """Does it; returns the exit code of a command."""


class PhaseFailed(Exception):
    """A command of a story ended badly."""

    def __init__(self, name: str, code: int) -> None:
        super().__init__(f"{name} failed, see above; once that is mended, the same command goes on there")
        self.code = code
        """Exit code of the command."""


@dataclass(frozen=True)
class StoryRun:
    """What every story is told by."""

    out: Path
    """Folder of all runs; an interrupted story goes on there."""
    base: str
    """Checkpoint that training starts from."""
    processes: int = field(default=2, metadata=HOW_ONLY)
    """Videos written and indexed at once."""

    def __post_init__(self) -> None:
        at_least(self, "processes", 1)


def tell(
    kind: str, run: StoryRun, sizes: object, plan: Callable[[Run], Iterable[Phase]], end: Callable[[Run], None]
) -> int:
    """Do what is left to do of a story, a line a phase, and what ends it.

    Args:
        kind: Name of its command.
        run: What it is told by.
        sizes: Behind the name of its preset; kept, so that a story does not go on after they were changed.
        plan: Lists the phases.
        end: Writes what comes out, every time.

    Returns:
        0, or the exit code of the command that failed; what it said stands above.

    Raises:
        ConfigError: There is no base model, or the folder belongs to another run.
    """
    if not Path(run.base).is_dir():
        raise ConfigError(f"{run.base}: no base model: run vt-env pretrain or give --base")
    try:
        with open_run(run.out, kind, run, {"sizes": sizes}) as directory:
            do_all(list(plan(directory)), directory)
            end(directory)
    except PhaseFailed as failure:
        print(f"vt-env: {failure}", file=sys.stderr)
        return failure.code
    return 0


def do_all(phases: Sequence[Phase], directory: Run) -> None:
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


def command(name: str, *arguments: object) -> Phase:
    """Make a phase of a `vt-env` command."""
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
