"""Play the talks with a small model behind llama.cpp's server, in caption and subtitle space, once per wording.

    python -m experiments.integrations.real_models.play_talks --models models --out runs/talks

The wordings are `default`, `default-tool` and the prompt sets in `prompts/`. They are played side by side on the same
tasks with the same seeds, each into its own run directory, so that pairs grow together. A run that was broken off
resumes. It measures protocols, not policies: whether calls are read, whether the model looks, whether it answers from
what it found.
"""

import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import tyro

from experiments.evaluate.eval import EvalRun
from experiments.integrations.real_models.measure_protocol import MeasureRun
from experiments.integrations.real_models.measure_protocol import main as measure
from experiments.integrations.real_models.paired_eval import play_paired
from experiments.settings.models import ModelConfig, PolicyServerConfig
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
    prompts: tuple[str, ...] = ("default", "default-tool", *map(str, sorted(PROMPTS.glob("*.json"))))
    """Wordings: names of prompt sets and files; by default those that ship and all in `prompts/`."""
    n: int = 50
    """Number of tasks, the first of the split `test`."""
    budget: str = "default,max_calls=3"
    """Budget of an episode, as of `vt-env eval`."""
    max_new_tokens: int = 128
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
        play_paired([evaluation(run, prompts) for prompts in run.prompts])
    measure(MeasureRun(tuple(run.out / Path(it).stem for it in run.prompts)))


def evaluation(run: PlayTalksRun, prompts: str) -> EvalRun:
    """Return the evaluation of one wording."""
    server = PolicyServerConfig(base_url=f"http://127.0.0.1:{run.port}/v1", timeout_s=1200, logprobs=False)
    return EvalRun(
        agent="caption-only",
        tasks="talks",
        n=run.n,
        tools="paper",
        budget=run.budget,
        batch=1,
        prompts=prompts,
        out=run.out / Path(prompts).stem,
        model=ModelConfig(backend="openai", temperature=0, max_new_tokens=run.max_new_tokens, server=server),
    )


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
