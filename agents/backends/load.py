"""Load a checkpoint: its processor, and a generator over transformers or vLLM."""

from dataclasses import dataclass
from typing import Any, Literal

from agents.backends.generator import Generator
from vt_env.errors import ConfigError, first_line

Backend = Literal["transformers", "vllm"]


@dataclass(frozen=True)
class EngineConfig:
    """Engine and sampling settings of a generator in this process."""

    backend: Backend = "transformers"
    max_new_tokens: int = 128
    """Length at which a reply is cut off."""
    temperature: float = 0.0
    """0 takes the likeliest token."""
    max_images: int = 64
    """Most images in one conversation (vLLM reserves memory for them)."""
    context_tokens: int | None = None
    """Longest conversation of vLLM; `None` takes what the checkpoint can."""
    tensor_parallel: int = 1
    """GPUs that vLLM spreads the model over."""


def load_processor(path: str) -> Any:
    """Load a checkpoint's processor, with a chat template that knows tools.

    Args:
        path: A checkpoint folder or hub name.

    Raises:
        ConfigError: There is no such checkpoint, or its template cannot be made to call tools.
    """
    from transformers import AutoProcessor

    from vt_env.integrations.trl import prepare_processor

    try:
        return prepare_processor(AutoProcessor.from_pretrained(path))
    except (OSError, ValueError, KeyError) as error:
        reason = first_line(error)
        raise ConfigError(
            f"model path {path!r}: no checkpoint with a processor ({reason}); give a folder of vt-env sft or a hub name"
        ) from error


def load_generator(path: str, processor: Any, engine: EngineConfig) -> Generator:
    """Load a checkpoint's weights into the engine that `engine` names; torch or vLLM is imported here.

    Args:
        path: A checkpoint folder or hub name.
        processor: As `load_processor` returns it.
        engine: Engine and sampling settings.
    """
    if engine.backend == "vllm":
        from agents.backends.vllm_generate import EngineLimits, VllmGenerator

        limits = EngineLimits(engine.max_images, engine.context_tokens, engine.tensor_parallel)
        return VllmGenerator(path, processor, engine.max_new_tokens, engine.temperature, limits)
    from agents.backends.transformers_generate import TransformersGenerator

    return TransformersGenerator(path, processor, engine.max_new_tokens, engine.temperature)
