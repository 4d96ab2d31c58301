"""A checkpoint plays tasks several times each, for rejection sampling; the tokens it writes are counted."""

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
"""Name of the policy in trajectories."""


@dataclass(frozen=True)
class Seat:
    """One rollout of a task, not yet played."""

    task: Task
    sample: int
    """Which rollout of the task it is, from 0."""

    def seed(self, run_seed: int) -> int:
        """Derive the seed of this rollout from the run's, so that it does not depend on what is played beside it."""
        words = [run_seed, zlib.crc32(self.task.item.task_id.encode()), self.sample]
        return int(np.random.SeedSequence(words).generate_state(1)[0])


class SamplingConfig(Protocol):
    """How a checkpoint samples."""

    model: str
    backend: str
    temperature: float
    max_new_tokens: int
    perception: str
    budget: str
    tools: ToolChoice
    media: MediaConfig
    seed: int


class SelfPlay:
    """A checkpoint, loaded to play.

    Args:
        config: How it samples.
        library: Opens the videos.

    Raises:
        ConfigError: There is no such checkpoint, or it cannot call tools or see the library's frames.
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

    def batch(self, seats: Sequence[Seat]) -> list[Trajectory]:
        """Play rollouts together; one whose video cannot be opened is recorded as invalid."""
        open_seats: list[Seat] = []
        episodes: list[Episode] = []
        played: dict[Seat, Trajectory] = {}
        for seat in seats:
            try:
                episodes.append(make_episode(seat.task, self._library, self._episode_config, self._tools))
                open_seats.append(seat)
            except DataError as reason:
                played[seat] = record_unopened(
                    seat.task.item, self._episode_config, str(reason), policy_name=POLICY, sample=seat.sample
                )
        policy = ChatPolicy(self._tokens, self._generator, [it.seed(self._config.seed) for it in open_seats])
        samples = [it.sample for it in open_seats]
        records = run_many(policy, episodes, policy_name=POLICY, seed=self._config.seed, samples=samples)
        played |= zip(open_seats, records, strict=True)
        return [played[seat] for seat in seats]

    def take_tokens(self) -> int:
        """Return how many tokens were written since the last time."""
        return self._generator.take_tokens()


class CountingGenerator:
    """Counts what another generator writes.

    Args:
        generator: Who writes.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._written = 0
        self.context_tokens = generator.context_tokens
        self.max_new_tokens = generator.max_new_tokens

    def generate(self, sequences: Sequence[TokenSequence], seeds: Sequence[int]) -> list[Completion]:
        """Write one reply a sequence; see `agents.language.token_policy.Generator`."""
        replies = self._generator.generate(sequences, seeds)
        self._written += sum(map(len, replies))
        return replies

    def take_tokens(self) -> int:
        """Return how many tokens were written since the last time."""
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
