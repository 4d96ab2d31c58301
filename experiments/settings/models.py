"""Language models of policies: checkpoint or server, backend, sampling, provenance."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import tyro

from agents.backends.load import EngineConfig, load_generator, load_processor
from agents.backends.own_sampling import check_local, own_sampling, served_sampling
from agents.backends.sampling import Sampling
from agents.backends.server_limits import ServerConfig
from agents.base import BatchPolicy
from experiments.runs.provenance import package_version
from experiments.settings.prompts import PROMPTS_FILE
from experiments.settings.token_budget import check_frame_size
from vt_env.config import HOW_ONLY, MediaConfig, at_least
from vt_env.errors import ConfigError
from vt_env.hashing import fingerprint
from vt_env.media.cache.build_once import whole_hash
from vt_env.prompts import DEFAULT, PromptSet
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
class ModelConfig(Sampling):
    """Checkpoint, backend and sampling of a language model."""

    path: str = ""
    """Checkpoint folder or hub name, required for `sft`, `sft+rft`, `sft+grpo`; by default the shipped base model."""
    backend: Annotated[Backend, tyro.conf.arg(aliases=["--backend"])] = "transformers"
    """Generation backend: `transformers`, `vllm` in this process, or `openai` for any compatible server."""
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
        super().__post_init__()
        for name in ("uniform_frames", "tensor_parallel", "context_tokens"):
            at_least(self, f"model.{name}", 1)
        if self.backend != "openai":
            check_local(self)

    @property
    def sampling(self) -> Sampling:
        """The sampling settings alone, as they were given."""
        return Sampling(**{it.name: getattr(self, it.name) for it in fields(Sampling)})


class Model(Protocol):
    """A loaded or connected language model."""

    schedule: Schedule
    provenance: Mapping[str, Any]
    """Model and engine, as plain JSON values for the provenance of a run."""
    sampling: Sampling
    """How replies are sampled, the checkpoint's own settings included."""

    def check_frames(self, media: MediaConfig) -> None:
        """Reject sizes of frames that the model's image processor would change.

        Raises:
            ConfigError: The image processor would resize frames.
        """
        ...

    def policy(self, tools: Sequence[Tool], seeds: Sequence[int], prompts: PromptSet = DEFAULT) -> BatchPolicy:
        """Build the batch policy of several episodes, one seed each; the prompt set says how it is told of tools.

        Raises:
            ConfigError: The server would parse calls, and the prompt set asks for calls as text.
        """
        ...

    def close(self) -> None:
        """Release connections and memory."""
        ...


class LocalModel:
    """Checkpoint loaded into this process."""

    def __init__(self, path: str, config: ModelConfig, max_images: int, reply_tokens: int | None = None) -> None:
        self._processor = load_processor(path)
        context_tokens = config.context_tokens or context_of(path)
        own = own_sampling(path, self._processor, context_tokens, reply_tokens)
        self.sampling = config.sampling.or_else(own)
        engine = EngineConfig(
            "vllm" if config.backend == "vllm" else "transformers",
            self.sampling,
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
                "sampling": self.sampling.record(),
                "context_tokens": self._generator.context_tokens,
            },
        }

    def check_frames(self, media: MediaConfig) -> None:
        """Reject frames that do not fit the patches; see `experiments.settings.token_budget.check_frame_size`.

        Raises:
            ConfigError: They do not fit, or the model reads no pictures.
        """
        if self._processor.image_token is None:
            got = f"{self.provenance['model']['path']}: a text-only model reads no frames"
            raise ConfigError(f"{got}; play --agent caption-only or blind, or use a vision-language model")
        check_frame_size(self._processor, media)

    def policy(self, tools: Sequence[Tool], seeds: Sequence[int], prompts: PromptSet = DEFAULT) -> BatchPolicy:
        """Build the batch policy of several episodes."""
        from agents.language.token_policy import ChatPolicy, ChatTokens

        schemas = prompts.shown_schemas(tool.schema for tool in tools)
        return ChatPolicy(ChatTokens(self._processor, schemas, has_tools=bool(tools)), self._generator, seeds)

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
        self.sampling = config.sampling.or_else(served_sampling(self.client.context_tokens()))
        self._has_tools_in_text: bool | None = None
        """Whether tools are described in the system message; `None` while the server was not asked."""
        self.provenance: Mapping[str, Any] = {
            "model": {"path": server.model, "hash": None},
            "engine": {
                "name": "openai-compatible server",
                "version": _server_version(server.base_url),
                "calls": config.server.calls,
                "sampling": self.sampling.record(),
            },
        }

    def check_frames(self, media: MediaConfig) -> None:
        """Accept any size, since a server does not report whether it resizes images, if it reads images at all.

        Raises:
            ConfigError: The model of the server reads no pictures.
        """
        from agents.backends.server_probe import check_pictures

        check_pictures(self.client, self.sampling)

    def policy(self, tools: Sequence[Tool], seeds: Sequence[int], prompts: PromptSet = DEFAULT) -> BatchPolicy:
        """Build the batch policy of several episodes.

        Raises:
            ConfigError: The server would parse calls, and the prompt set asks for calls as text.
        """
        from agents.language.server_policy import ServedPolicy, ServedSettings

        schemas = prompts.shown_schemas(tool.schema for tool in tools)
        server = self._config.server
        if server.calls == "native" and prompts.calls == "text" and tools:
            raise ConfigError(f"calls='native': prompts {prompts.name!r} ask for calls as text; use calls='text'")
        drops_tools = bool(schemas) and self._drops_tools(schemas)
        settings = ServedSettings(server.calls, server.logprobs, drops_tools, has_tools=bool(tools))
        return ServedPolicy(self.client, schemas, self.sampling, settings, seeds)

    def _drops_tools(self, schemas: Sequence[Mapping[str, Any]]) -> bool:
        if self._config.server.calls != "text":
            return False
        if self._has_tools_in_text is None:
            from agents.backends.server_probe import drops_unparsed_tools

            self._has_tools_in_text = drops_unparsed_tools(self.client, schemas, self.sampling)
            if self._has_tools_in_text:
                print("the server leaves unparsed tools out of the prompt, so the system message describes them")
        return self._has_tools_in_text

    def close(self) -> None:
        """Cancel running requests."""
        self.client.close()


def load_model(
    config: ModelConfig, path: str, concurrency: int, max_images: int, reply_tokens: int | None = None
) -> Model:
    """Load a checkpoint, or connect to a server; prints how replies are sampled.

    Args:
        config: Backend and sampling.
        path: Checkpoint folder or hub name; not used for a server.
        concurrency: Concurrent requests, for a server.
        max_images: Maximum number of images in a conversation, for an engine in this process.
        reply_tokens: As in `agents.backends.own_sampling.own_sampling`, for an engine in this process.

    Raises:
        ConfigError: The checkpoint does not exist, or the server does not serve the model.
    """
    is_served = config.backend == "openai"
    model = ServedModel(config, concurrency) if is_served else LocalModel(path, config, max_images, reply_tokens)
    print(sampling_line(config.sampling, model.sampling, is_served=is_served))
    return model


def sampling_line(given: Sampling, used: Sampling, *, is_served: bool = False) -> str:
    """Say in one line how replies are sampled, and which settings are the model's own.

    Args:
        given: Settings that were given.
        used: Settings with those of the model filled in.
        is_served: Whether a server decides the rest.
    """
    own = [name for name in given.missing if name in used.record() and name != "max_new_tokens"]
    others = f"; {', '.join(own)} by the checkpoint" if own else ""
    if is_served:
        others = "; all else is the server's own"
    return f"sampling: {used.describe()}{others}"


def context_of(path: str) -> int | None:
    """Return the maximum sequence length of a checkpoint in tokens, by its configuration; `None` if it names none."""
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(path, trust_remote_code=False)
    length: object = getattr(config.get_text_config(), "max_position_embeddings", None)
    return length if isinstance(length, int) else None


def _server_version(url: str) -> str | None:
    """Return the version from vLLM's `/version`; `None` if the server has no such route."""
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/').removesuffix('/v1')}/version", timeout=5.0, trust_env=False)
        return str(answer.json()["version"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


_HASHED_AT_ONCE = 8
"""Files of a checkpoint that are hashed side by side; hashing holds no lock."""


def checkpoint_hash(path: str) -> str | None:
    """Fingerprint the files of a checkpoint folder, read whole and side by side; `None` for a hub name."""
    folder = Path(path)
    if not folder.is_dir():
        return None
    # The prompt set has its own key in the provenance, and older model folders have no such file.
    files = sorted(it for it in folder.iterdir() if it.is_file() and it.name != PROMPTS_FILE)
    with ThreadPoolExecutor(_HASHED_AT_ONCE) as executor:
        return fingerprint(
            [[it.name, digest] for it, digest in zip(files, executor.map(whole_hash, files), strict=True)]
        )
