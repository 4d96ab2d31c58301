"""Sample several rollouts per task from a checkpoint, for rejection sampling, and count the generated tokens."""

from collections.abc import Sequence
from typing import Protocol

from agents.backends.generator import Completion, Generator, TokenSequence
from agents.backends.load import Backend, EngineConfig, load_generator, load_processor
from agents.backends.own_sampling import own_sampling
from agents.backends.sampling import Sampling
from agents.language.token_policy import ChatPolicy, ChatTokens
from agents.rollout import record_unopened, run_many
from experiments.settings.models import context_of, sampling_line
from experiments.settings.token_budget import check_frame_size
from synth.generate import Attempt
from vt_env.config import EnvConfig, resolve_budget
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import DataError
from vt_env.profiles import Profile
from vt_env.prompts import PromptSet
from vt_env.protocols import Library
from vt_env.tools.builtin import ToolChoice, tools_for

POLICY = "self-play"
"""Policy name in trajectories."""


class SamplingConfig(Protocol):
    """Sampling settings."""

    @property
    def model(self) -> str:
        """Checkpoint folder or name."""
        ...

    @property
    def backend(self) -> Backend:
        """Generation backend."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How replies are sampled; what is not given is the checkpoint's own."""
        ...

    @property
    def perception(self) -> str:
        """Frames or captions."""
        ...

    @property
    def chosen(self) -> Profile:
        """Parts of the episodes: budget, pictures, length of a reply."""
        ...

    @property
    def offered(self) -> ToolChoice:
        """Tools on offer."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the attempts."""
        ...


class RolloutSampler:
    """Samples rollouts from a loaded checkpoint.

    Args:
        config: Sampling settings.
        library: Opens the videos.
        prompts: Wording of what it reads.
        can_search: As in `vt_env.tools.builtin.tools_for`.

    Raises:
        ConfigError: The checkpoint does not exist, or does not support tool calls or the library's frame size.
    """

    def __init__(
        self, config: SamplingConfig, library: Library, prompts: PromptSet, *, can_search: bool = True
    ) -> None:
        self._config = config
        self._library = library
        self._tools = tools_for(config.perception, config.offered, can_search=can_search, answers=prompts.answers)
        chosen = config.chosen
        budget = resolve_budget(chosen.budget)
        self._episode_config = EnvConfig(config.perception, budget, media=chosen.media, prompts=prompts)
        processor = load_processor(config.model)
        check_frame_size(processor, chosen.media)
        schemas = prompts.shown_schemas(it.schema for it in self._tools)
        self._tokens = ChatTokens(processor, schemas, has_tools=bool(self._tools))
        own = own_sampling(config.model, processor, context_of(config.model), chosen.reply_tokens)
        sampling = config.sampling.or_else(own)
        print(sampling_line(config.sampling, sampling))
        engine = EngineConfig(config.backend, sampling, max_images=self._episode_config.budget.max_frames)
        self._generator = CountingGenerator(load_generator(config.model, processor, engine))

    def batch(self, attempts: Sequence[Attempt]) -> list[Trajectory]:
        """Sample attempts in one batch; one whose video cannot be opened is recorded as invalid."""
        opened: list[Attempt] = []
        episodes: list[Episode] = []
        played: dict[Attempt, Trajectory] = {}
        for it in attempts:
            try:
                episodes.append(make_episode(it.task, self._library, self._episode_config, self._tools))
                opened.append(it)
            except DataError as reason:
                played[it] = record_unopened(
                    it.task.item, self._episode_config, str(reason), policy_name=POLICY, sample=it.sample
                )
        policy = ChatPolicy(self._tokens, self._generator, [it.seed(self._config.seed) for it in opened])
        samples = [it.sample for it in opened]
        records = run_many(policy, episodes, policy_name=POLICY, seed=self._config.seed, samples=samples)
        played |= zip(opened, records, strict=True)
        return [played[it] for it in attempts]

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
        """Generate one reply per sequence; see `agents.backends.generator.Generator`."""
        replies = self._generator.generate(sequences, seeds)
        self._written += sum(map(len, replies))
        return replies

    def pop_tokens(self) -> int:
        """Return the number of generated tokens and reset the counter."""
        taken, self._written = self._written, 0
        return taken
