"""Environment class, training rows and reward functions for `EpisodeGRPOTrainer`.

TRL (1.16) makes a tool of every public method, so the class has nothing public but its tools and `reset`. Two limits of
its tool loop stay: a call of a tool that does not exist is answered by TRL in its own words and costs nothing, and a
call that is not JSON ends the rollout, without an answer. `EpisodeGRPOTrainer` plays the calls of one reply together,
as all environments do; TRL's own trainer plays each as a reply of its own.

Imports no deep learning library before it is used.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

from vt_env.actions.read_answer import AnswerStatus
from vt_env.benchmarks.readers.no_training import check_trainable
from vt_env.config import BudgetConfig, EnvConfig, MediaConfig, RewardConfig
from vt_env.envs.base import choose_library, episode_config, make_episode, media_of
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError
from vt_env.integrations.trl.rollout import Content, FinishedRollout, Message, Rollout
from vt_env.profiles import Profile, choose_profile
from vt_env.prompts import PromptSet
from vt_env.protocols import Library
from vt_env.rewards.reward import RewardResult, resolve_rewards, score
from vt_env.task_sources import TaskSource, load_tasks
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.tools.agent_protocols import Protocol, prompts_and_tools
from vt_env.tools.builtin import ToolChoice, can_search, tools_for
from vt_env.tools.tool import Tool
from vt_env.types import StopReason

RewardFunction = Callable[..., list[float | None]]
Recorder = Callable[[int, Sequence[Trajectory]], None]
"""Called with the number of optimiser steps done and the rollouts that this process has finished since."""


EVALUATION = "evaluation"
"""Column of rows that are not trained on: true in those of `evaluation_rows`."""


class TrlEnvironment:
    """Base class of generated environments; `reset` is its only public member, since TRL makes tools of the others."""

    _tasks: ClassVar[TaskSet]
    _evaluation_tasks: ClassVar[TaskSet]
    _tool_names: ClassVar[frozenset[str]]
    _config: ClassVar[EnvConfig]
    _rollout: Rollout

    def reset(self, task_id: str, max_frames: int | None = None, **row: object) -> Content:
        """Start the task of a row and return its question, as text or as blocks with images."""
        task = self._task_of({**row, "task_id": task_id})
        self._rollout = Rollout(task, partial(self._open_episode, max_frames=max_frames))
        return self._rollout.start()

    @classmethod
    def _task_of(cls, row: Mapping[str, Any]) -> Task:
        tasks = cls._evaluation_tasks if row.get(EVALUATION) else cls._tasks
        return tasks.by_id(row["task_id"])

    @staticmethod
    def _open_episode(task: Task, max_frames: int | None = None) -> Episode:
        raise NotImplementedError


def environment_class(  # noqa: PLR0913  One keyword for each choice, as in `gymnasium.make`.
    tasks: str | Path | TaskSource | TaskSet = "world",
    split: str | None = "train",
    perception: str = "frames",
    budget: str | BudgetConfig | None = None,
    tools: ToolChoice | None = None,
    media: MediaConfig | None = None,
    library: Library | None = None,
    *,
    profile: str | Profile | None = None,
    prompts: str | Path | PromptSet | None = None,
    protocol: str | Protocol | None = None,
    encoder: str | None = None,
    evaluation_tasks: TaskSet | None = None,
) -> type[TrlEnvironment]:
    """Return an environment class for `EpisodeGRPOTrainer(environment_factory=...)`; its methods are the tools.

    A class has the same tools for all tasks: `clip_retrieval` where at least one of the videos can be searched. In one
    that cannot, a call to it fails with a message and costs a call. Rewards are chosen by `reward_functions`.

    Args:
        tasks: As `vt_env.load_tasks`, or a task set.
        split: As `vt_env.load_tasks`; not used for a task set.
        perception: `"frames"` or `"captions"`: what zooming returns.
        budget: A preset (`"default"`, `"field"`, `"paper"`), also with changes (`"default,max_calls=4"`), changes
            alone, or a config. Here as below, `None` takes the profile's.
        tools: A preset (`"default"`, `"paper"`), or names of tools and functions.
        media: Settings of the video store; `None` takes those of `library` where it has some, else the profile's.
        library: Opens videos; `None` makes a `vt_env.media.library.VideoLibrary`.
        profile: `"world"`, `"field"`, `"paper"` or a `vt_env.profiles.Profile`; `None` chooses by the videos, as for
            `gymnasium.make`.
        prompts: The prompt set of every text (`"default"`, `"tiny"`), a JSON or TOML file, or a `PromptSet`.
        protocol: The protocol of another agent's checkpoint, as for `gymnasium.make`; those that call in tags are not
            read by TRL.
        encoder: What searches the pictures of videos, as for `gymnasium.make`; a library has its own.
        evaluation_tasks: Tasks of `evaluation_rows`, which are played and not trained on; by default none.

    Raises:
        ConfigError: An argument is not allowed, a task has no answer key or is not to be trained on.
        DataError: The tasks cannot be read.
    """
    loaded = tasks if isinstance(tasks, TaskSet) else load_tasks(tasks, split)
    check_trainable(loaded)
    evaluated = TaskSet(()) if evaluation_tasks is None else evaluation_tasks
    keyless = [task.item.task_id for task in (*loaded, *evaluated) if task.gold is None]
    if keyless or not loaded:
        raise ConfigError(f"tasks: {keyless[0]!r} has no answer, so it cannot be trained on" if keyless else "no task")
    prompts, tools = prompts_and_tools(protocol, perception, prompts, tools)
    chosen = choose_profile(profile, loaded.videos).with_parts(
        media=media or media_of(library), budget=budget, tools=tools, prompts=prompts, encoder=encoder
    )
    config = episode_config(chosen, perception)
    opened = choose_library(library, chosen, encoder)
    is_searched = can_search(opened, loaded.videos)
    offered = tools_for(perception, chosen.tools, can_search=is_searched, answers=config.prompts.answers)

    def open_episode(task: Task, max_frames: int | None = None) -> Episode:
        frames = config.budget.max_frames if max_frames is None else max_frames
        own = config if max_frames is None else replace(config, budget=replace(config.budget, max_frames=frames))
        return make_episode(task, opened, own, offered)

    def call(environment: Any, name: str, arguments: dict[str, object]) -> Content:
        return environment._rollout.call(name, arguments)

    shown = [_shown(tool, config.prompts) for tool in offered]
    methods = {tool.name: tool.method(call) for tool in shown}
    return type(
        "LongVideoQA",
        (TrlEnvironment,),
        {
            **methods,
            "_tasks": loaded,
            "_evaluation_tasks": evaluated,
            "_tool_names": frozenset(methods),
            "_config": config,
            "_open_episode": staticmethod(open_episode),
        },
    )


def _shown(tool: Tool, prompts: PromptSet) -> Tool:
    """Return a tool as a prompt set shows it.

    Raises:
        ConfigError: The prompt set asks for calls as text; TRL reads them by the chat template's rules alone.
    """
    if prompts.calls == "text":
        raise ConfigError(f"prompts {prompts.name!r} ask for calls as text, which TRL does not read; take another set")
    schema = prompts.tool_schemas.get(tool.name)
    return tool if schema is None else tool.presented(schema)


def training_rows(environment: type[TrlEnvironment], least: int = 1) -> Any:
    """Return a `datasets.Dataset` with one row per task: `prompt`, `task_id`, `seed`, and no answer.

    The prompt is the system turn and an empty user turn, which `reset` fills. Nothing in an episode is random; `seed`
    numbers the rows.

    Args:
        environment: A class from `environment_class`.
        least: Smallest number of rows; tasks are repeated up to it. TRL makes no step of fewer rows than a step takes.
    """
    from datasets import Dataset

    # Public members would be tools.
    tasks: TaskSet = environment._tasks  # pyright: ignore[reportPrivateUsage]
    repeated = [task for _ in range(ceil(least / len(tasks))) for task in tasks]
    return Dataset.from_list(_rows(environment, repeated))


def evaluation_rows(environment: type[TrlEnvironment]) -> Any:
    """Return a `datasets.Dataset` like that of `training_rows` for the class's `evaluation_tasks`.

    Rewards and metrics of these rows are logged by TRL under `eval_`, and never handed to a recorder.
    """
    from datasets import Dataset

    tasks: TaskSet = environment._evaluation_tasks  # pyright: ignore[reportPrivateUsage]
    return Dataset.from_list([{**row, EVALUATION: True} for row in _rows(environment, tasks)])


def _rows(environment: type[TrlEnvironment], tasks: Iterable[Task]) -> list[dict[str, Any]]:
    has_tools = bool(environment._tool_names)  # pyright: ignore[reportPrivateUsage]
    system_text = environment._config.prompts.system_text(has_tools=has_tools)  # pyright: ignore[reportPrivateUsage]
    prompt = [{"role": "system", "content": system_text}, {"role": "user", "content": ""}]
    return [{"prompt": prompt, "task_id": task.item.task_id, "seed": seed} for seed, task in enumerate(tasks)]


def reward_functions(rewards: str | RewardConfig = "default", record: Recorder | None = None) -> list[RewardFunction]:
    """Return the reward functions for `EpisodeGRPOTrainer(reward_funcs=...)`: one, the reward of `vt_env.rewards`.

    Reward terms are logged under `terms/`, counts of calls, frames and answers under `episode/`, and mean rewards of
    question families under `families/`. A rollout whose video cannot be read gets `None`, which TRL masks, and is
    counted under `episode/invalid`.

    Args:
        rewards: A preset (`"default"`, `"paper"`, `"shaped"`) or a config.
        record: Called with the rollouts of each step, without those whose video cannot be read and those of
            evaluations; more than once a step with dynamic sampling.

    Raises:
        ConfigError: There is no such preset or term.
    """
    config = resolve_rewards(rewards)

    def episode_reward(
        completions: Sequence[Sequence[Message]],
        environments: Sequence[Any],
        log_metric: Callable[[str, float], None],
        trainer_state: Any = None,
        evaluation: Sequence[bool] = (),
        **row: object,
    ) -> list[float | None]:
        rollouts = [env._rollout.finish(it) for env, it in zip(environments, completions, strict=True)]
        results = [None if rollout is None else score(rollout.episode, config) for rollout in rollouts]
        for name, value in _metrics(rollouts, results).items():
            log_metric(name, value)
        for rollout, result in zip(rollouts, results, strict=True):
            if rollout is not None and result is not None and rollout.episode.item.family:
                # TRL averages what one name is given more than once.
                log_metric(f"families/{rollout.episode.item.family}", result.total)
        if record is not None and not any(evaluation):
            record(trainer_state.global_step, _rewarded(rollouts, results))
        return [None if result is None else result.total for result in results]

    return [episode_reward]


def _rewarded(rollouts: Sequence[FinishedRollout | None], results: Sequence[RewardResult | None]) -> list[Trajectory]:
    """Return the trajectories of the valid rollouts with their rewards."""
    return [
        replace(rollout.trajectory, reward=result.total, reward_terms=result.terms)
        for rollout, result in zip(rollouts, results, strict=True)
        if rollout is not None and result is not None
    ]


def _metrics(rollouts: Sequence[FinishedRollout | None], results: Sequence[RewardResult | None]) -> dict[str, float]:
    """Average metrics over the valid rollouts; `episode/invalid` is the share of the others."""
    valid = [
        {**{f"terms/{name}": value for name, value in result.terms.items()}, **_counts(rollout)}
        for rollout, result in zip(rollouts, results, strict=True)
        if rollout is not None and result is not None
    ]
    means = {name: sum(values[name] for values in valid) / len(valid) for name in (valid[0] if valid else ())}
    return {**means, "episode/invalid": 1 - len(valid) / len(rollouts)}


def _counts(rollout: FinishedRollout) -> dict[str, float]:
    finished = rollout.episode
    calls = finished.turns[:-1]
    answered = finished.stop is StopReason.ANSWERED
    return {
        "episode/calls": sum(turn.is_played for turn in calls),
        "episode/failed_calls": sum(turn.is_played and turn.error is not None for turn in calls),
        "episode/frames": sum(len(turn.frames) for turn in calls),
        "episode/no_answer": not answered,
        "episode/unread_answer": answered and finished.answer.status is not AnswerStatus.MATCHED,
        "episode/rolled_back": rollout.rolled_back,
    }
