"""Language models of policies: checkpoint or server, backend, sampling, provenance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import tyro

from agents.backends.load import EngineConfig, load_generator, load_processor
from agents.backends.server_limits import ServerConfig
from agents.base import BatchPolicy
from experiments.runs.provenance import package_version
from experiments.settings.prompts import PROMPTS_FILE
from experiments.settings.token_budget import check_frame_size
from vt_env.config import HOW_ONLY, MediaConfig, at_least
from vt_env.errors import ConfigError
from vt_env.hashing import fingerprint
from vt_env.media.cache.build_once import content_hash
from vt_env.tools.tool import Tool

BASE_MODEL = Path(__file__).parents[1] / "tiny_model" / "base"
"""The shipped checkpoint."""

Backend = Literal["transformers", "vllm", "openai"]
Schedule = Literal["batches", "rounds", "threads"]
"""Scheduling of episodes: batches played to the end, rounds that refill free places, or one thread per episode."""


@dataclass(frozen=True)
class PolicyServerConfig(ServerConfig):
    """Server of a policy, for the backend `openai`."""

    concurrency: tyro.conf.Suppress[int] = field(default=8, metadata=HOW_ONLY)
    """Maximum number of concurrent requests; set to the number of episodes played together."""
    calls: Literal["text", "native"] = "text"
    """Form of tool calls: `text` in the reply, as checkpoints of this repository write them, or `native`, parsed by the
    server."""
    logprobs: bool = True
    """Request log-probabilities, which the confidence gate needs; turn off for servers that reject the request."""


@dataclass(frozen=True)
class ModelConfig:
    """Checkpoint, backend and sampling of a language model."""

    path: str = ""
    """Checkpoint folder or hub name, required for `sft`, `sft+rft`, `sft+grpo`; by default the shipped base model."""
    backend: Annotated[Backend, tyro.conf.arg(aliases=["--backend"])] = "transformers"
    """Generation backend: `transformers`, `vllm` in this process, or `openai` for any compatible server."""
    temperature: float = 0.0
    """Sampling temperature; 0 is greedy."""
    max_new_tokens: int = 128
    """Maximum length of a reply in tokens."""
    context_tokens: int | None = None
    """Maximum length of a conversation with `vllm`, in tokens; by default the checkpoint's maximum, which may not fit
    into GPU memory."""
    tensor_parallel: int = 1
    """Number of GPUs that `vllm` shards the model over."""
    uniform_frames: int = 8
    """Number of frames shown to the policy `uniform`."""
    server: PolicyServerConfig = field(default_factory=PolicyServerConfig)
    """Server of the backend `openai`."""

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "uniform_frames", "tensor_parallel", "context_tokens"):
            at_least(self, f"model.{name}", 1)
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"model.temperature={self.temperature}: need a finite number of 0 or more")


class Model(Protocol):
    """A loaded or connected language model."""

    schedule: Schedule
    provenance: Mapping[str, Any]
    """Model and engine, as plain JSON values for the provenance of a run."""

    def check_frames(self, media: MediaConfig) -> None:
        """Reject sizes of frames that the model's image processor would change.

        Raises:
            ConfigError: The image processor would resize frames.
        """
        ...

    def policy(self, tools: Sequence[Tool], seeds: Sequence[int]) -> BatchPolicy:
        """Build the batch policy of several episodes, one seed each."""
        ...

    def close(self) -> None:
        """Release connections and memory."""
        ...


class LocalModel:
    """Checkpoint loaded into this process."""

    def __init__(self, path: str, config: ModelConfig, max_images: int) -> None:
        self._processor = load_processor(path)
        engine = EngineConfig(
            "vllm" if config.backend == "vllm" else "transformers",
            config.max_new_tokens,
            config.temperature,
            max_images,
            config.context_tokens,
            config.tensor_parallel,
        )
        self._generator = load_generator(path, self._processor, engine)
        # Refilling helps only vLLM: transformers encodes every prompt again and pads a batch to its longest.
        self.schedule: Schedule = "rounds" if config.backend == "vllm" else "batches"
        self.provenance: Mapping[str, Any] = {
            "model": {"path": path, "hash": checkpoint_hash(path)},
            "engine": {
                "name": engine.backend,
                "version": package_version(engine.backend) or package_version(f"{engine.backend}-cpu"),
                "torch": package_version("torch"),
                "temperature": config.temperature,
                "max_new_tokens": config.max_new_tokens,
                "context_tokens": self._generator.context_tokens,
            },
        }

    def check_frames(self, media: MediaConfig) -> None:
        """Reject frames that do not fit the patches; see `experiments.settings.token_budget.check_frame_size`."""
        check_frame_size(self._processor, media)

    def policy(self, tools: Sequence[Tool], seeds: Sequence[int]) -> BatchPolicy:
        """Build the batch policy of several episodes."""
        from agents.language.token_policy import ChatPolicy, ChatTokens

        return ChatPolicy(ChatTokens(self._processor, [tool.schema for tool in tools]), self._generator, seeds)

    def close(self) -> None:
        """Do nothing; the memory is freed with the process."""


class ServedModel:
    """Model behind an OpenAI-compatible server.

    Raises:
        ConfigError: The server cannot be reached, rejects the key, or does not serve the model.
    """

    schedule: Schedule = "threads"

    def __init__(self, config: ModelConfig, concurrency: int) -> None:
        from agents.backends.chat_client import OpenAIClient

        server = replace(config.server, concurrency=concurrency)
        with OpenAIClient(server) as client:
            server = server.choose_model(client.served_models())
        self.client = OpenAIClient(server)
        self._config = config
        self.provenance: Mapping[str, Any] = {
            "model": {"path": server.model, "hash": None},
            "engine": {
                "name": "openai-compatible server",
                "version": _server_version(server.base_url),
                "calls": config.server.calls,
                "temperature": config.temperature,
                "max_new_tokens": config.max_new_tokens,
            },
        }

    def check_frames(self, media: MediaConfig) -> None:
        """Accept any size; a server does not report whether it resizes images."""

    def policy(self, tools: Sequence[Tool], seeds: Sequence[int]) -> BatchPolicy:
        """Build the batch policy of several episodes."""
        from agents.language.server_policy import Sampling, ServedPolicy

        sampling = Sampling(self._config.max_new_tokens, self._config.temperature, self._config.server.logprobs)
        schemas = [tool.schema for tool in tools]
        return ServedPolicy(self.client, schemas, sampling, self._config.server.calls, seeds)

    def close(self) -> None:
        """Cancel running requests."""
        self.client.close()


def load_model(config: ModelConfig, path: str, concurrency: int, max_images: int) -> Model:
    """Load a checkpoint, or connect to a server.

    Args:
        config: Backend and sampling.
        path: Checkpoint folder or hub name; not used for a server.
        concurrency: Concurrent requests, for a server.
        max_images: Maximum number of images in a conversation, for an engine in this process.

    Raises:
        ConfigError: The checkpoint does not exist, or the server does not serve the model.
    """
    return ServedModel(config, concurrency) if config.backend == "openai" else LocalModel(path, config, max_images)


def _server_version(url: str) -> str | None:
    """Return the version from vLLM's `/version`; `None` if the server has no such route."""
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/').removesuffix('/v1')}/version", timeout=5.0, trust_env=False)
        return str(answer.json()["version"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def checkpoint_hash(path: str) -> str | None:
    """Fingerprint the files of a checkpoint folder (head, middle and tail of large files); `None` for a hub name."""
    folder = Path(path)
    if not folder.is_dir():
        return None
    # The prompt set has its own key in the provenance, and older model folders have no such file.
    files = sorted(it for it in folder.iterdir() if it.is_file() and it.name != PROMPTS_FILE)
    return fingerprint([[it.name, content_hash(it)] for it in files])
