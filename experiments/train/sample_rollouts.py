"""Sample several rollouts per task from a checkpoint, for rejection sampling, and count the generated tokens."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from agents.language.token_policy import ChatPolicy, ChatTokens, Completion, Generator, TokenSequence
from agents.rollout import record_unopened, run_many
from experiments.settings.token_budget import check_frame_size
from vt_env.config import EnvConfig, MediaConfig, resolve_budget
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError, DataError
from vt_env.protocols import Library
from vt_env.tasks.task_set import Task
from vt_env.tools.builtin import ToolChoice, tools_for

POLICY = "self-play"
"""Policy name in trajectories."""


@dataclass(frozen=True)
class RolloutRequest:
    """One rollout to sample."""

    task: Task
    sample: int
    """Index of the rollout among those of the task, from 0."""

    def seed(self, run_seed: int) -> int:
        """Derive the seed of this rollout from the run's, so that it does not depend on what is played beside it."""
        words = [run_seed, zlib.crc32(self.task.item.task_id.encode()), self.sample]
        return int(np.random.SeedSequence(words).generate_state(1)[0])


class SamplingConfig(Protocol):
    """Sampling settings."""

    model: str
    backend: str
    temperature: float
    max_new_tokens: int
    perception: str
    budget: str
    tools: ToolChoice
    media: MediaConfig
    seed: int


class RolloutSampler:
    """Samples rollouts from a loaded checkpoint.

    Args:
        config: Sampling settings.
        library: Opens the videos.

    Raises:
        ConfigError: The checkpoint does not exist, or does not support tool calls or the library's frame size.
    """

    def __init__(self, config: SamplingConfig, library: Library) -> None:
        self._config = config
        self._library = library
        self._tools = tools_for(config.perception, config.tools)
        self._episode_config = EnvConfig(config.perception, resolve_budget(config.budget))
        processor = _processor(config.model)
        check_frame_size(processor, config.media.frame_px)
        self._tokens = ChatTokens(processor, [tool.schema for tool in self._tools])
        self._generator = CountingGenerator(_generator(config, processor))

    def batch(self, requests: Sequence[RolloutRequest]) -> list[Trajectory]:
        """Sample rollouts in one batch; a rollout whose video cannot be opened is recorded as invalid."""
        opened: list[RolloutRequest] = []
        episodes: list[Episode] = []
        played: dict[RolloutRequest, Trajectory] = {}
        for request in requests:
            try:
                episodes.append(make_episode(request.task, self._library, self._episode_config, self._tools))
                opened.append(request)
            except DataError as reason:
                played[request] = record_unopened(
                    request.task.item, self._episode_config, str(reason), policy_name=POLICY, sample=request.sample
                )
        policy = ChatPolicy(self._tokens, self._generator, [it.seed(self._config.seed) for it in opened])
        samples = [it.sample for it in opened]
        records = run_many(policy, episodes, policy_name=POLICY, seed=self._config.seed, samples=samples)
        played |= zip(opened, records, strict=True)
        return [played[request] for request in requests]

    def pop_tokens(self) -> int:
        """Return the number of generated tokens and reset the counter."""
        return self._generator.pop_tokens()


class CountingGenerator:
    """Generator wrapper that counts the generated tokens.

    Args:
        generator: The wrapped generator.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._written = 0
        self.context_tokens = generator.context_tokens
        self.max_new_tokens = generator.max_new_tokens

    def generate(self, sequences: Sequence[TokenSequence], seeds: Sequence[int]) -> list[Completion]:
        """Generate one reply per sequence, as `agents.language.token_policy.Generator`."""
        replies = self._generator.generate(sequences, seeds)
        self._written += sum(map(len, replies))
        return replies

    def pop_tokens(self) -> int:
        """Return the number of generated tokens and reset the counter."""
        taken, self._written = self._written, 0
        return taken


def _processor(path: str) -> Any:
    from transformers import AutoProcessor

    from vt_env.integrations.trl import prepare_processor

    try:
        return prepare_processor(AutoProcessor.from_pretrained(path))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"model={path!r}: no checkpoint with a processor ({reason}); train one with vt-env sft"
        ) from error


def _generator(config: SamplingConfig, processor: Any) -> Generator:
    if config.backend == "vllm":
        from agents.backends.vllm_generate import EngineLimits, VllmGenerator

        limits = EngineLimits(max_images=resolve_budget(config.budget).max_frames)
        return VllmGenerator(config.model, processor, config.max_new_tokens, config.temperature, limits)
    from agents.backends.transformers_generate import TransformersGenerator

    return TransformersGenerator(config.model, processor, config.max_new_tokens, config.temperature)
