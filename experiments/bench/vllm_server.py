"""A real `vllm serve` on the CPU with the shipped base model, for tests and benchmarks of what talks to servers."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from experiments.policies import BASE_MODEL

MODEL = "tiny"
_PR_SET_PDEATHSIG = 1
START_LIMIT_S = 500.0
SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


@contextmanager
def serving(log: Path, model: Path = BASE_MODEL) -> Iterator[str]:
    """Start a server, wait until it answers, and end it.

    Args:
        log: Where its output goes.
        model: The checkpoint.

    Returns: Its address up to `/v1`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # `vllm serve` is this module; the command itself looks up a distribution named vllm, and this one is vllm-cpu.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    command += ["--host", "127.0.0.1", "--port", port]
    command += ["--served-model-name", MODEL, "--dtype", "float32", "--enforce-eager", "--max-model-len", "4096"]
    command += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    command += ["--limit-mm-per-prompt", '{"image": 8, "video": 0}', "--mm-processor-cache-gb", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=output,
            env={**os.environ, **SETTINGS},
            preexec_fn=_end_with_parent,
        )
        try:
            _await(process, port, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_with_parent() -> None:
    # A test run that is killed cannot clean up after itself; on Linux the kernel does it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RuntimeError(f"vllm serve ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"vllm serve is not up after {START_LIMIT_S} s: {log.read_text()[-2000:]}")
