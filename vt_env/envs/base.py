"""Base class of the environments, and how they build an episode and open videos.

Rules and budgets are the episode's; see `vt_env.episode.episode`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Space
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from vt_env.config import BudgetConfig, EnvConfig, MediaConfig, RewardConfig, resolve_budget
from vt_env.episode.episode import Episode
from vt_env.errors import ConfigError, EpisodeOver
from vt_env.profiles import Profile, choose_profile
from vt_env.prompts import PromptSet, resolve_prompts
from vt_env.protocols import Library
from vt_env.rewards.reward import resolve_rewards
from vt_env.task_sources import TaskSource, load_tasks
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.tools.agent_protocols import Protocol, prompts_and_tools
from vt_env.tools.builtin import ToolChoice, can_search, tools_for
from vt_env.tools.tool import Tool
from vt_env.types import Action, Observation

STORYBOARD_PX = (960, 720)
"""Width and height of `render_mode="rgb_array"`."""

ElementT = TypeVar("ElementT")
StepT = TypeVar("StepT")


def make_episode(task: Task, library: Library, config: EnvConfig, tools: tuple[Tool, ...] | None = None) -> Episode:
    """Open a task's video and build a fresh episode about it, as every integration does.

    Raises:
        DataError: The video cannot be opened.
        ConfigError: As `Episode`.
    """
    task.prepare(task.item.video)
    return Episode(task.item, task.gold, library.open(task.item.video), config, tools)


def open_library(media: MediaConfig, cache_dir: str | Path | None = None, encoder: str = "auto") -> Library:
    """Make the library that opens real videos; `cache_dir=None` takes the default cache.

    Raises:
        ConfigError: There is no such encoder.
    """
    # Decoders and search indices are only loaded by those who need them.
    from vt_env.media.library import VideoLibrary

    return VideoLibrary(media, None if cache_dir is None else Path(cache_dir), encoder)


def choose_library(
    library: Library | None, profile: Profile, encoder: str | None = None, cache_dir: str | Path | None = None
) -> Library:
    """Return the caller's library, or make one of the profile's media and encoder.

    Args:
        library: The caller's.
        profile: Parts of the episodes.
        encoder: The encoder that the caller gave besides.
        cache_dir: As `open_library`.

    Raises:
        ConfigError: There is no such encoder, or one is given beside a library, which has its own.
    """
    if library is None:
        return open_library(profile.media, cache_dir, profile.encoder)
    if encoder not in (None, "auto"):
        raise ConfigError(f"encoder={encoder!r}: the library has its own; give it to VideoLibrary, or leave it out")
    return library


def media_of(library: Library | None) -> MediaConfig | None:
    """Return the media settings that a library stores videos with; `None` where it has or tells none."""
    config = getattr(library, "config", None)
    return config if isinstance(config, MediaConfig) else None


def episode_config(profile: Profile, perception: str, rewards: str | RewardConfig = "default") -> EnvConfig:
    """Return the configuration of the episodes of a profile.

    Raises:
        ConfigError: A part is not allowed.
    """
    budget, prompts = resolve_budget(profile.budget), resolve_prompts(profile.prompts)
    return EnvConfig(perception, budget, resolve_rewards(rewards), profile.media, prompts=prompts)


class EpisodeEnv(gym.Env[ElementT, StepT], EzPickle):
    """Base of all environments of this package: tasks, seeding, budgets, rewards, information, rendering.

    One of them is this class with two spaces, a reading of its actions and a form for its observations.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012

    reads_text: ClassVar[bool] = False
    """Whether actions are texts, in which an answer may be a call; see `PromptSet.answers`."""

    def __init__(  # noqa: PLR0913  Gymnasium hands every choice over as a keyword of `make`.
        self,
        tasks: str | Path | TaskSource | TaskSet = "world",
        split: str | None = "test",
        perception: str = "frames",
        budget: str | BudgetConfig | None = None,
        rewards: str | RewardConfig = "default",
        tools: ToolChoice | None = None,
        *,
        profile: str | Profile | None = None,
        prompts: str | Path | PromptSet | None = None,
        protocol: str | Protocol | None = None,
        media: MediaConfig | None = None,
        library: Library | None = None,
        encoder: str | None = None,
        cache_dir: str | Path | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Make the environment; no video is opened before `reset`.

        Args:
            tasks: As `vt_env.load_tasks`, or a task set.
            split: As `vt_env.load_tasks`; not used for a task set.
            perception: `"frames"` or `"captions"`: what looking returns.
            budget: A preset (`"default"`, `"field"`, `"paper"`, `"tiny"`), also with changes (`"tiny,max_calls=4"`),
                changes alone, or a config. Here as below, `None` takes the profile's.
            rewards: A preset (`"default"`, `"paper"`, `"shaped"`) or a config.
            tools: A preset (`"default"`, `"paper"`, `"adaptive"`), or names and functions of your own.
            profile: `"world"`, `"field"`, `"paper"` or a `vt_env.profiles.Profile`; `None` takes `"world"` for the
                generated world and `"field"` for everything else, and says so.
            prompts: Wording of every text: a set (`"default"`, `"tiny"`), a JSON or TOML file, or a `PromptSet`.
            protocol: The protocol of another agent's checkpoint (`"longvt"`, see `vt_env.tools.agent_protocols`), which
                chooses prompts and tools unless they are given.
            media: How videos are stored; `None` takes those of `library` where it has some, else the profile's.
            library: Where videos are opened; `None` makes a `vt_env.media.library.VideoLibrary`.
            encoder: What searches the pictures of videos: `"auto"`, `"none"`, `"colours"`, or a checkpoint by name or
                folder; see `vt_env.media.search.choose_encoder`. A library has its own.
            cache_dir: Where stored videos and indices lie; `None` takes the default. Generated videos and subtitles
                that were converted lie in the default cache, which `$VT_ENV_CACHE` moves.
            render_mode: `"ansi"` (a transcript), `"rgb_array"` (a storyboard) or `None`.

        Raises:
            ConfigError: An argument is not allowed.
            DataError: The tasks cannot be read.
        """
        EzPickle.__init__(
            self, tasks, split, perception, budget, rewards, tools,
            profile=profile, prompts=prompts, protocol=protocol, media=media, library=library, encoder=encoder,
            cache_dir=cache_dir, render_mode=render_mode,
        )  # fmt: skip
        self.tasks = tasks if isinstance(tasks, TaskSet) else load_tasks(tasks, split)
        if not self.tasks:
            raise ConfigError("tasks: the task set is empty; need one task or more")
        prompts, tools = prompts_and_tools(protocol, perception, prompts, tools)
        self.profile = choose_profile(profile, self.tasks.videos).with_parts(
            media=media or media_of(library), budget=budget, tools=tools, prompts=prompts, encoder=encoder
        )
        """Parts that are played, those given as arguments among them."""
        self.config = episode_config(self.profile, perception, rewards)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(f"render_mode={render_mode!r}: allowed are 'ansi', 'rgb_array' and None")
        self.render_mode = render_mode
        self.episode: Episode | None = None
        """The running episode; `None` before the first reset."""
        self._library = choose_library(library, self.profile, encoder, cache_dir)
        self.can_search = can_search(self._library, self.tasks.videos)
        """Whether the clips of at least one of the videos can be searched."""
        answers = self.config.prompts.answers if self.reads_text else "tag"
        self.tools = tools_for(perception, self.profile.tools, can_search=self.can_search, answers=answers)
        """Tools on offer in this environment; an episode about a video that cannot be searched has one less."""
        self.option_count = max(len(task.item.options) for task in self.tasks)
        """Options of the task that has the most."""
        self.action_space, self.observation_space = self._spaces()

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[ElementT, dict[str, Any]]:
        """Begin an episode about a random task.

        Args:
            seed: Chooses the task, and the tasks of all resets without a seed that follow.
            options: `"task_id"` chooses the task instead. `"budget"`, a preset or a config within the environment's
                own, holds for this episode.

        Raises:
            ConfigError: There is no such task or no such option, or the budget is too large.
            DataError: The video cannot be read.
        """
        super().reset(seed=seed)
        # Whoever goes on after a reset that failed must not play the episode before.
        self.episode = None
        chosen = dict(options or {})
        budget = self.choose_budget(chosen.pop("budget", self.config.budget))
        task = self._choose_task(chosen)
        self.episode = make_episode(task, self._library, replace(self.config, budget=budget), self.tools)
        return self._element(self.episode, self.episode.start()), self._info(self.episode, None)

    def step(self, action: StepT) -> tuple[ElementT, float, bool, bool, dict[str, Any]]:
        """Apply one action, or the several calls of one reply.

        Raises:
            DataError: The video cannot be read.
            EpisodeOver: The episode has ended.
            InvalidAction: The action has not the form of the action space.
        """
        episode = self._running()
        if episode.stop is not None or episode.invalid is not None:
            raise EpisodeOver("the episode has ended; call reset to begin another one")
        outcome = episode.apply(*self._read(action, episode))
        element = self._element(episode, outcome.observation)
        info = self._info(episode, outcome.error)
        if outcome.stop is not None:
            info |= {
                "stop_reason": str(outcome.stop),
                "answer_status": str(episode.reading.status),
                "reward_terms": episode.reward_terms(),
            }
            # Gymnasium's vector environments would turn `None` into `False`, but mark a missing value as missing.
            info |= {} if episode.correct is None else {"correct": episode.correct}
        # Calls are part of the state, so running out of them ends the task itself: a learner that took it for a cut
        # from outside would add the value of going on, and learn never to answer.
        return element, outcome.reward, outcome.stop is not None, False, info

    def render(self) -> str | NDArray[np.uint8] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return a transcript or a storyboard, uint8[720, 960, 3], of the episode so far."""
        if self.render_mode is None:
            return None
        # Fonts and drawing are only loaded for those who render.
        from vt_env.envs.storyboard import draw_storyboard, transcript

        episode = self._running()
        if self.render_mode == "ansi":
            return transcript(episode)
        return np.array(draw_storyboard(episode, STORYBOARD_PX))

    def choose_budget(self, budget: str | BudgetConfig) -> BudgetConfig:
        """Return the budget that a reset option names.

        Raises:
            ConfigError: There is no such budget, or it is larger than the environment's own.
        """
        chosen, own = resolve_budget(budget), self.config.budget
        for name in ("max_calls", "max_frames", "top_k_max"):
            if getattr(chosen, name) > getattr(own, name):
                got = f"reset option budget.{name}={getattr(chosen, name)}"
                raise ConfigError(
                    f"{got}: need {getattr(own, name)} or less; make the environment with a larger budget"
                )
        most = own.max_image_tokens
        if most is not None and (chosen.max_image_tokens is None or chosen.max_image_tokens > most):
            got = f"reset option budget.max_image_tokens={chosen.max_image_tokens}"
            raise ConfigError(f"{got}: need {most} or less; make the environment with a larger budget")
        return chosen

    def _choose_task(self, options: Mapping[str, Any]) -> Task:
        unknown = sorted(map(str, set(options) - {"task_id"}))
        if unknown:
            raise ConfigError(f"reset options {unknown}: allowed are 'task_id' and 'budget'")
        if "task_id" in options:
            return self.tasks.by_id(str(options["task_id"]))
        return self.tasks[int(self.np_random.integers(len(self.tasks)))]

    def _running(self) -> Episode:
        if self.episode is None:
            raise gym.error.ResetNeeded("no episode yet: call reset first")
        return self.episode

    def _spaces(self) -> tuple[Space[Any], Space[Any]]:
        """Build the action space and the observation space; called once, when all else is set."""
        raise NotImplementedError

    def _read(self, action: StepT, episode: Episode) -> tuple[Action, ...]:
        """Turn what `step` was given into the actions of one reply; called once a step, before they are applied."""
        raise NotImplementedError

    def _element(self, episode: Episode, observation: Observation) -> ElementT:
        """Turn an observation into an element of the space; called once a reset, without turns yet, and a step."""
        raise NotImplementedError

    def _info(self, episode: Episode, error: str | None) -> dict[str, Any]:
        item, duration_s = episode.item, episode.video.duration_s
        return {
            "task_id": item.task_id,
            "video": item.video.handle,
            "duration_s": duration_s,
            "image_tokens": episode.image_tokens,
            "error": error,
        }


def base_env(env: gym.Env[Any, Any]) -> EpisodeEnv[Any, Any]:
    """Return the environment of this package below all wrappers.

    Raises:
        ConfigError: It is not one of this package.
    """
    base = env.unwrapped
    if not isinstance(base, EpisodeEnv):
        raise ConfigError(f"env {type(base).__name__}: need an environment of vt_env")
    return base
