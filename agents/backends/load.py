"""Loading of checkpoints: the processor, and a generator on transformers or vLLM."""

from dataclasses import dataclass, field
from typing import Any, Literal

from agents.backends.generator import Generator
from agents.backends.own_sampling import check_local
from agents.backends.sampling import Sampling
from agents.backends.text_processor import TextProcessor
from vt_env.errors import ConfigError, first_line

Backend = Literal["transformers", "vllm"]


@dataclass(frozen=True)
class EngineConfig:
    """Engine and sampling settings of a generator in this process."""

    backend: Backend = "transformers"
    sampling: Sampling = field(default_factory=Sampling)
    """How replies are sampled; what is missing is the checkpoint's own."""
    max_images: int = 64
    """Maximum number of images in a conversation (vLLM reserves memory for them)."""
    context_tokens: int | None = None
    """Maximum sequence length of vLLM in tokens; `None` takes the checkpoint's limit."""
    tensor_parallel: int = 1
    """Number of GPUs for vLLM's tensor parallelism."""


def load_processor(path: str) -> Any:
    """Load a checkpoint's processor, with a tool-aware chat template; a `TextProcessor` for a text-only model.

    Args:
        path: A checkpoint folder or hub name.

    Raises:
        ConfigError: The checkpoint does not exist, or its template cannot be extended to tools.
    """
    from transformers import AutoProcessor

    from vt_env.integrations.trl import prepare_processor

    try:
        loaded: Any = AutoProcessor.from_pretrained(path, trust_remote_code=False)
        # For a text-only model this is its tokenizer.
        return prepare_processor(loaded) if hasattr(loaded, "tokenizer") else TextProcessor(loaded)
    except (OSError, ValueError, KeyError) as error:
        reason = first_line(error)
        raise ConfigError(
            f"model path {path!r}: no checkpoint with a processor ({reason}); give a folder of vt-env sft or a hub name"
        ) from error


def load_generator(path: str, processor: Any, engine: EngineConfig) -> Generator:
    """Load a checkpoint's weights into an engine; imports torch or vLLM.

    Args:
        path: A checkpoint folder or hub name.
        processor: As `load_processor` returns it.
        engine: Engine and sampling settings.

    Raises:
        ConfigError: The sampling settings hold fields for servers.
    """
    check_local(engine.sampling)
    if engine.backend == "vllm":
        from agents.backends.vllm_generate import EngineLimits, VllmGenerator

        limits = EngineLimits(engine.max_images, engine.context_tokens, engine.tensor_parallel)
        return VllmGenerator(path, processor, engine.sampling, limits)
    from agents.backends.transformers_generate import TransformersGenerator

    return TransformersGenerator(path, processor, engine.sampling)
