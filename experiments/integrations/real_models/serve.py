"""Serve a GGUF file by llama.cpp's OpenAI-compatible server, from the package `xllamacpp` in a folder."""

import importlib
import signal
import struct
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import tyro

from vt_env.errors import DataError

TEMPLATE_KEY = "tokenizer.chat_template"
_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "b", 1: "B", 2: "h", 3: "H", 4: "i", 5: "I", 6: "f", 7: "?", 10: "q", 11: "Q", 12: "d"}
"""Value types of GGUF version 3 (ggml, `docs/gguf.md`) as codes of `struct`."""


@dataclass(frozen=True)
class ServeRun:
    """Serve one model until interrupted."""

    model: Path
    """GGUF file."""
    packages: Path
    """Folder that holds the package `xllamacpp`."""
    port: int = 8077
    """Port on 127.0.0.1."""
    threads: int = 1
    """Threads of generation."""
    conversations: int = 4
    """Conversations held at once, each with its own cache."""
    context_tokens: int = 6144
    """Context of each conversation."""


def main(run: ServeRun) -> None:
    """Start the server, print its address and wait."""
    sys.path.insert(0, str(run.packages))
    xllamacpp: Any = importlib.import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(run.model)
    parameters.model_alias = {run.model.stem}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = run.port
    parameters.n_parallel = run.conversations
    parameters.n_ctx = run.conversations * run.context_tokens
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = run.threads
    parameters.use_jinja = True
    parameters.chat_template = single_braces(read_template(run.model))
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()


def read_template(path: Path) -> str:
    """Read the chat template of a GGUF file.

    Raises:
        DataError: The file is not GGUF, or has no chat template.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise DataError(f"{path}: not a GGUF file")
        _, _, count = struct.unpack("<IQQ", file.read(20))
        for _ in range(count):
            key = _string(file)
            value = _value(file, *struct.unpack("<I", file.read(4)))
            if key == TEMPLATE_KEY:
                return str(value)
    raise DataError(f"{path}: no chat template in it")


def single_braces(template: str) -> str:
    """Mend a template that shows calls with doubled braces, which models then write; others stay as they are."""
    return template.replace('{{\\"name\\"', '{\\"name\\"').replace("<args-json-object>}}", "<args-json-object>}")


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    return file.read(length).decode("utf-8", errors="replace")


def _value(file: BinaryIO, kind: int) -> object:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        return [_value(file, inner) for _ in range(count)]
    form = f"<{_NUMBERS[kind]}"
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


if __name__ == "__main__":
    main(tyro.cli(ServeRun))
