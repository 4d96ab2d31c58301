"""Play the talks with a small model behind llama.cpp's server, in caption and subtitle space, once per wording.

    python -m experiments.integrations.real_models.play_talks --models models --out runs/talks

The wordings are the prompt sets in `prompts/`. They are played side by side on the same tasks with the same seeds, each
by its own `vt-env eval`, so that pairs grow together. A run that was broken off resumes. It measures protocols, not
policies: whether calls are read, whether the model looks, whether it answers from what it found.
"""

import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import tyro

from experiments.integrations.real_models.measure_protocol import MeasureRun
from experiments.integrations.real_models.measure_protocol import main as measure
from vt_env.errors import ConfigError

PROMPTS = Path(__file__).parent / "prompts"
_STARTING_S = 180


@dataclass(frozen=True)
class PlayTalksRun:
    """Play the talks with each wording and measure the protocol."""

    models: Path
    """Folder that `fetch` filled."""
    out: Path = Path("runs/talks")
    """Folder of the run directories, one for each wording."""
    model: str = "qwen2.5-coder-1.5b"
    """Name of the model's file without its ending."""
    prompts: tuple[Path, ...] = tuple(sorted(PROMPTS.glob("*.json")))
    """Wordings; by default all in `prompts/`."""
    n: int = 50
    """Number of tasks, the first of the split `test`."""
    max_new_tokens: int = 200
    """Maximum length of a reply in tokens."""
    threads: int = 1
    """Threads of the server."""
    port: int = 8077
    """Port of the server on 127.0.0.1."""


def main(run: PlayTalksRun) -> None:
    """Play what is missing, then print the table.

    Raises:
        ConfigError: The model was not fetched, or the server does not start.
    """
    model = run.models / f"{run.model}.gguf"
    if not model.is_file():
        raise ConfigError(f"{model}: no such file; run experiments.integrations.real_models.fetch --out {run.models}")
    with _served(run, model):
        plays = [subprocess.Popen(play_command(run, prompts), env=_environment()) for prompts in run.prompts]
        failed = [it.args for it in plays if it.wait()]
    if failed:
        raise ConfigError(f"{len(failed)} evaluations stopped early; the same command resumes them")
    measure(MeasureRun(tuple(run.out / it.stem for it in run.prompts)))


def play_command(run: PlayTalksRun, prompts: Path) -> list[str]:
    """Return the evaluation of one wording as a command."""
    flags: Mapping[str, object] = {
        "tasks": "talks",
        "n": run.n,
        "agent": "caption-only",
        "tools": "paper",
        "batch": 1,
        "prompts": prompts,
        "out": run.out / prompts.stem,
        "model.backend": "openai",
        "model.temperature": 0,
        "model.max-new-tokens": run.max_new_tokens,
        "model.server.base-url": f"http://127.0.0.1:{run.port}/v1",
        "model.server.timeout-s": 1200,
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "experiments.cli", "eval", *words, "--model.server.no-logprobs"]


@contextmanager
def _served(run: PlayTalksRun, model: Path) -> Generator[None]:
    command: Sequence[object] = [
        sys.executable, "-m", "experiments.integrations.real_models.serve", "--model", model,
        "--packages", run.models / "packages", "--port", run.port, "--threads", run.threads,
        "--conversations", max(1, len(run.prompts)),
    ]  # fmt: skip
    run.out.mkdir(parents=True, exist_ok=True)
    with (run.out / "server.log").open("a") as log:
        server = subprocess.Popen([*map(str, command)], env=_environment(), stdout=log, stderr=log)
        try:
            _wait_for(server, f"http://127.0.0.1:{run.port}/health", log.name)
            yield
        finally:
            server.terminate()
            server.wait()


def _wait_for(server: "subprocess.Popen[bytes]", url: str, log: str) -> None:
    end_s = time.monotonic() + _STARTING_S
    while time.monotonic() < end_s and server.poll() is None:
        try:
            if httpx.get(url, timeout=5.0, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(1)
    raise ConfigError(f"the server did not start; see {log}")


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]),
    }


if __name__ == "__main__":
    main(tyro.cli(PlayTalksRun))
