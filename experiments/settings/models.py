"""Language models for policies: which checkpoint or server, which backend, and what provenance says of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import tyro

from agents.backends.load import EngineConfig, load_generator, load_processor
from agents.base import BatchPolicy
from experiments.runs.provenance import package_version
from experiments.runs.run_dir import HOW_ONLY
from experiments.settings.prompts import PROMPTS_FILE
from experiments.settings.token_budget import check_frame_size
from vt_env.config import at_least
from vt_env.errors import ConfigError
from vt_env.hashing import fingerprint
from vt_env.media.cache.build_once import content_hash
from vt_env.tools.tool import Tool

BASE_MODEL = Path(__file__).parents[1] / "tiny_model" / "base"
"""The shipped checkpoint."""

Backend = Literal["transformers", "vllm", "openai"]
Schedule = Literal["batches", "rounds", "threads"]
"""How episodes are played together: a batch to its end, a batch that is filled up, or each at its own pace."""


@dataclass(frozen=True)
class ServerFlags:
    """An OpenAI-compatible server, for the backend `openai`."""

    url: str = field(default="http://127.0.0.1:8000/v1", metadata=HOW_ONLY)
    """Address up to and including `/v1`. `vllm serve` samples with the checkpoint's own `top_p`, `top_k` and repetition
    penalty unless it is given `--generation-config vllm`."""
    model: str = ""
    """Name under which it serves the model; empty takes the only one it serves."""
    calls: Literal["text", "native"] = "text"
    """Whether the model writes its calls as text, as checkpoints of this repository do, or the server parses them."""
    logprobs: bool = True
    """Ask for log-probabilities, which confidence needs; turn it off for servers that refuse."""
    key_variable: str = field(default="OPENAI_API_KEY", metadata=HOW_ONLY)
    """Environment variable that holds the key, if the server wants one."""
    timeout_s: float = field(default=120.0, metadata=HOW_ONLY)
    """Time limit of one request."""
    max_retries: int = field(default=5, metadata=HOW_ONLY)
    """Tries after the first."""
    requests_per_minute: float | None = field(default=None, metadata=HOW_ONLY)
    """`None` sets no limit."""
    usd_per_million_prompt_tokens: float = 0.0
    """Price, for the record of what a run cost."""
    usd_per_million_completion_tokens: float = 0.0
    """Price of what the model writes."""


@dataclass(frozen=True)
class ModelConfig:
    """How a language model is run."""

    path: str = ""
    """Checkpoint folder or hub name; empty means the shipped base model, which `sft` and its like cannot mean."""
    backend: Annotated[Backend, tyro.conf.arg(aliases=["--backend"])] = "transformers"
    """What generates: `transformers` everywhere, `vllm` in this process, or `openai` for any compatible server."""
    temperature: float = 0.0
    """0 takes the likeliest token."""
    max_new_tokens: int = 128
    """Length at which a reply is cut off."""
    context_tokens: int | None = None
    """Longest conversation of `vllm`; by default what the checkpoint can, which may not fit into a GPU."""
    tensor_parallel: int = 1
    """GPUs that `vllm` spreads the model over."""
    uniform_frames: int = 8
    """Frames that `uniform` is shown."""
    server: ServerFlags = field(default_factory=ServerFlags)
    """The server, for the backend `openai`."""

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "uniform_frames", "tensor_parallel", "context_tokens"):
            at_least(self, f"model.{name}", 1)
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"model.temperature={self.temperature}: need a finite number of 0 or more")


class Model(Protocol):
    """A model that is ready."""

    schedule: Schedule
    origin: Mapping[str, Any]
    """What provenance says of it: model and engine."""

    def check_frames(self, frame_px: int) -> None:
        """Refuse stored frames that the model would be shown in another size.

        Raises:
            ConfigError: It would.
        """
        ...

    def policy(self, tools: Sequence[Tool], seeds: Sequence[int]) -> BatchPolicy:
        """Make the policy of many episodes, one seed each."""
        ...

    def close(self) -> None:
        """Let go of servers and memory."""
        ...


class LocalModel:
    """A checkpoint in this process."""

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
        # Transformers reads every prompt anew and pads a batch to its longest; vLLM does neither.
        self.schedule: Schedule = "rounds" if config.backend == "vllm" else "batches"
        self.origin: Mapping[str, Any] = {
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

    def check_frames(self, frame_px: int) -> None:
        """Refuse frames that do not fit the patches; see `experiments.settings.token_budget.check_frame_size`."""
        check_frame_size(self._processor, frame_px)

    def policy(self, tools: Sequence[Tool], seeds: Sequence[int]) -> BatchPolicy:
        """Make the policy of many episodes."""
        from agents.language.token_policy import ChatPolicy, ChatTokens

        return ChatPolicy(ChatTokens(self._processor, [tool.schema for tool in tools]), self._generator, seeds)

    def close(self) -> None:
        """Do nothing: memory goes with the process."""


class ServedModel:
    """A model behind a server.

    Raises:
        ConfigError: The server cannot be reached, refuses the key, or serves no such model.
    """

    schedule: Schedule = "threads"

    def __init__(self, config: ModelConfig, concurrency: int) -> None:
        from agents.backends.chat_client import OpenAIClient
        from agents.backends.server_limits import ServerConfig

        flags = config.server
        server = ServerConfig(
            flags.url,
            flags.model,
            key_variable=flags.key_variable,
            concurrency=concurrency,
            timeout_s=flags.timeout_s,
            max_retries=flags.max_retries,
            requests_per_minute=flags.requests_per_minute,
            usd_per_million_prompt_tokens=flags.usd_per_million_prompt_tokens,
            usd_per_million_completion_tokens=flags.usd_per_million_completion_tokens,
        )
        with OpenAIClient(server) as asking:
            name = _served_name(asking.served_models(), flags)
        self.client = OpenAIClient(replace(server, model=name))
        self._config = config
        self.origin: Mapping[str, Any] = {
            "model": {"path": name, "hash": None},
            "engine": {
                "name": "openai-compatible server",
                "version": _server_version(flags.url),
                "calls": flags.calls,
                "temperature": config.temperature,
                "max_new_tokens": config.max_new_tokens,
            },
        }

    def check_frames(self, frame_px: int) -> None:
        """Take any: what the server makes of a picture, it does not tell."""

    def policy(self, tools: Sequence[Tool], seeds: Sequence[int]) -> BatchPolicy:
        """Make the policy of many episodes."""
        from agents.language.server_policy import Sampling, ServedPolicy

        sampling = Sampling(self._config.max_new_tokens, self._config.temperature, self._config.server.logprobs)
        schemas = [tool.schema for tool in tools]
        return ServedPolicy(self.client, schemas, sampling, self._config.server.calls, seeds)

    def close(self) -> None:
        """Cancel what is under way."""
        self.client.close()


def load_model(config: ModelConfig, path: str, concurrency: int, max_images: int) -> Model:
    """Load a checkpoint, or connect to a server.

    Args:
        config: Backend and sampling.
        path: The checkpoint; not used for a server.
        concurrency: Requests under way at once, for a server.
        max_images: Images in one conversation, for an engine in this process.

    Raises:
        ConfigError: There is no checkpoint, or the server does not serve.
    """
    return ServedModel(config, concurrency) if config.backend == "openai" else LocalModel(path, config, max_images)


def _served_name(served: Sequence[str], flags: ServerFlags) -> str:
    if not flags.model and len(served) == 1:
        return served[0]
    if flags.model not in served:
        raise ConfigError(
            f"{flags.url} serves {', '.join(served) or 'nothing'}: "
            f"give one of them as --model.server.model, got {flags.model!r}"
        )
    return flags.model


def _server_version(url: str) -> str | None:
    """Ask vLLM and those that follow it for their version; `None` where the server does not tell."""
    import httpx

    try:
        answer = httpx.get(f"{url.rstrip('/').removesuffix('/v1')}/version", timeout=5.0, trust_env=False)
        return str(answer.json()["version"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def checkpoint_hash(path: str) -> str | None:
    """Fingerprint the files of a checkpoint folder (of large ones head, middle and tail); `None` for a name."""
    folder = Path(path)
    if not folder.is_dir():
        return None
    # Wording has its own key, and models of before had no such file.
    files = sorted(it for it in folder.iterdir() if it.is_file() and it.name != PROMPTS_FILE)
    return fingerprint([[it.name, content_hash(it)] for it in files])
