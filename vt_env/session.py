"""One episode by handle, for frameworks and protocols that call tools by name; needs no framework and no torch.

    session = vt_env.Session.open("tasks.jsonl", task_id="keynote-3")
    outcome = session.call("frame_zoom", {"start_s": "12:10", "end_s": "12:30"})
    result = session.finish("<answer>C</answer>")

A session never raises for what a model did: wrong names, arguments of any form and calls after the end are outcomes. A
`DataError`, of a video that cannot be read, is raised. `vt_env.episode.serialisers` turns observations into messages.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vt_env.actions.read_answer import AnswerStatus
from vt_env.config import BudgetConfig, MediaConfig, RewardConfig
from vt_env.envs.base import choose_library, episode_config, make_episode, media_of
from vt_env.episode.episode import Episode
from vt_env.errors import ConfigError, DataError
from vt_env.profiles import Profile, choose_profile
from vt_env.prompts import OVER, PromptSet
from vt_env.protocols import Library
from vt_env.task_sources import TaskSource, load_tasks
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.tools.agent_protocols import Protocol, prompts_and_tools
from vt_env.tools.builtin import ToolChoice, can_search, tools_for
from vt_env.tools.tool import Tool
from vt_env.tools.wire_schema import wire_schema
from vt_env.types import Action, Answer, Malformed, Observation, Outcome, StopReason

EPISODE_OVER = "episode_over"
"""`Outcome.error` of what came after the end: nothing happened and nothing was scored again."""
Call = tuple[str, Mapping[str, object]]
"""Name of a tool and arguments by name."""

_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class SessionResult:
    """Score of an episode that has ended."""

    reward: float
    terms: Mapping[str, float]
    """Value of each reward term; empty without an answer key."""
    stop: StopReason
    correct: bool | None
    """`None` without an answer key."""
    answer_status: AnswerStatus
    """Reading of the answer; unparsed where there is none."""


class Session:
    """One running episode. Use it from one thread at a time.

    Args:
        episode: The episode; not started.

    Raises:
        DataError: The video cannot be read.
    """

    def __init__(self, episode: Episode) -> None:
        self.episode = episode
        self.opening: Observation = episode.start()
        """First observation: the question, with the frames shown beside it."""

    @staticmethod
    def open(
        tasks: str | Path | TaskSource | TaskSet = "world",
        *,
        task_id: str | None = None,
        split: str | None = "test",
        index: int | None = None,
        seed: int | None = None,
        **rules: Any,
    ) -> "Session":
        """Open a session about one task; `SessionSource` opens many without loading the tasks again.

        Args:
            tasks: As `vt_env.load_tasks`, or a task set.
            task_id: Chooses the task by its id.
            split: As `vt_env.load_tasks`; not used for a task set.
            index: Chooses the task by its position in the split instead.
            seed: Chooses the task at random instead, as `reset(seed=...)` of the environments does.
            rules: Keyword arguments of `SessionSource`: perception, profile, budget, rewards, tools, prompts,
                protocol, media, library, encoder.

        Raises:
            ConfigError: An argument is not allowed, or there is no such task.
            DataError: The tasks or the video cannot be read.
        """
        return SessionSource(tasks, split, **rules).open(task_id=task_id, index=index, seed=seed)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Tools on offer."""
        return self.episode.tools

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended, or became invalid."""
        return self.episode.stop is not None or self.episode.invalid is not None

    @property
    def result(self) -> SessionResult | None:
        """The score; `None` before the end and for an episode that became invalid."""
        episode = self.episode
        if episode.stop is None:
            return None
        return SessionResult(
            episode.reward, episode.reward_terms(), episode.stop, episode.correct, episode.reading.status
        )

    @property
    def measures(self) -> dict[str, float]:
        """Counts for averages over episodes: `accuracy`, `answered` (0 or 1), `calls` and `frames` of calls."""
        result, turns = self.result, self.episode.turns
        calls = turns if result is None else turns[:-1]
        return {
            "accuracy": float(result is not None and bool(result.correct)),
            "answered": float(result is not None and result.stop is StopReason.ANSWERED),
            "calls": float(sum(turn.is_played for turn in calls)),
            "frames": float(sum(len(turn.frames) for turn in calls)),
        }

    def call(self, name: str, arguments: Mapping[str, object]) -> Outcome:
        """Call a tool. After the end the outcome says so, pays nothing and has the error `EPISODE_OVER`.

        The call is read as if a model had written it, so that it has the same outcome as in every other integration.

        Raises:
            DataError: The video cannot be read; the episode is then over and invalid.
        """
        return self._apply(*self._read(name, arguments))

    def calls(self, calls: Iterable[Call]) -> list[Outcome]:
        """Call several tools in order, each at its price, and return their outcomes.

        Each is a reply of its own, as for frameworks that pass calls on one by one; `act` takes a reply with several.

        Raises:
            DataError: As `call`.
        """
        return [self.call(name, arguments) for name, arguments in calls]

    def act(self, text: str) -> Outcome:
        """Apply the actions that a model wrote as text: one, or several calls.

        Raises:
            DataError: As `call`.
        """
        return self._apply(*self.episode.actions(text))

    def answer(self, text: str) -> Outcome:
        """Answer with the letter or the text of an option; an empty answer is malformed and costs a call.

        Raises:
            DataError: As `call`.
        """
        return self._apply(*self.episode.actions(f"<answer>{text}</answer>"))

    def finish(self, text: str = "") -> SessionResult:
        """End the episode with a model's last words and return the score.

        A text without an answer, or with a call, counts as if the model had repeated itself until its calls were
        used up: to end early never pays more than to answer. After the end, return the score again.

        Raises:
            DataError: The episode is invalid: its video could not be read.
        """
        if self.episode.invalid is not None:
            raise DataError(self.episode.invalid)
        action = self.episode.actions(text)[0]
        while self.result is None:
            self.episode.apply(action if isinstance(action, Answer) else Malformed(text, "no answer"))
        return self.result

    def _apply(self, *actions: Action) -> Outcome:
        return self._over() if self.is_over else self.episode.apply(*actions)

    def _over(self) -> Outcome:
        return Outcome(Observation(OVER, self.episode.remaining), stop=self.episode.stop, error=EPISODE_OVER)

    def _read(self, name: object, arguments: object) -> tuple[Action, ...]:
        try:
            call = json.dumps({"name": name, "arguments": arguments}).replace("<", "\\u003c")
        except (TypeError, ValueError, RecursionError):
            shown = f"{name!s}({arguments!s})"[:_SHOWN_CHARS]
            return (Malformed(shown, "an argument must be a text, a number or a list of them"),)
        return self.episode.actions(f"<tool_call>\n{call}\n</tool_call>")


class SessionSource:
    """Tasks, rules and a library, loaded once; opens any number of sessions, also from several threads."""

    def __init__(  # noqa: PLR0913  One keyword for each choice, as in `gymnasium.make`.
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
    ) -> None:
        """Load the tasks; no video is opened.

        Args:
            tasks: As `vt_env.load_tasks`, or a task set.
            split: As `vt_env.load_tasks`; not used for a task set.
            perception: `"frames"` or `"captions"`.
            budget: A preset, also with changes (`"default,max_calls=4"`), changes alone, or a config. Here as below,
                `None` takes the profile's.
            rewards: A preset or a config.
            tools: A preset (`"default"`, `"paper"`, `"adaptive"`), or names and functions of your own.
            profile: `"world"`, `"field"`, `"paper"` or a `vt_env.profiles.Profile`; `None` chooses by the videos, as
                for `gymnasium.make`.
            prompts: Wording of every text: a set by name, a file, or a `PromptSet`.
            protocol: The protocol of another agent's checkpoint (`"longvt"`, see `vt_env.tools.agent_protocols`), which
                chooses prompts and tools unless they are given.
            media: How videos are stored; `None` takes those of `library` where it has some, else the profile's.
            library: Where videos are opened; `None` makes a `vt_env.media.library.VideoLibrary`.
            encoder: What searches the pictures of videos, as for `gymnasium.make`; a library has its own.

        Raises:
            ConfigError: An argument is not allowed.
            DataError: The tasks cannot be read.
        """
        self.tasks = tasks if isinstance(tasks, TaskSet) else load_tasks(tasks, split)
        if not self.tasks:
            raise ConfigError("tasks: the task set is empty; need one task or more")
        prompts, tools = prompts_and_tools(protocol, perception, prompts, tools)
        chosen = choose_profile(profile, self.tasks.videos).with_parts(
            media=media or media_of(library), budget=budget, tools=tools, prompts=prompts, encoder=encoder
        )
        self.config = episode_config(chosen, perception, rewards)
        self.library = choose_library(library, chosen, encoder)
        is_searched = can_search(self.library, self.tasks.videos)
        self.tools = tools_for(perception, chosen.tools, can_search=is_searched, answers=self.config.prompts.answers)
        """Tools on offer; a session about a video that cannot be searched does without `clip_retrieval`."""

    def open(self, *, task_id: str | None = None, index: int | None = None, seed: int | None = None) -> Session:
        """Open a session about a task; without an argument, about the first one.

        Args:
            task_id: Id of the task.
            index: Position of the task, from 0.
            seed: Chooses the task at random, as `reset(seed=...)` of the environments does.

        Raises:
            ConfigError: More than one argument is given, or there is no such task.
            DataError: The video cannot be read.
        """
        task = self.choose(task_id=task_id, index=index, seed=seed)
        return Session(make_episode(task, self.library, self.config, self.tools))

    def choose(self, *, task_id: str | None = None, index: int | None = None, seed: int | None = None) -> Task:
        """Choose a task; arguments and errors as in `open`."""
        given = {name: it for name, it in (("task_id", task_id), ("index", index), ("seed", seed)) if it is not None}
        if len(given) > 1:
            raise ConfigError(f"{', '.join(given)}: each of them chooses the task; give one")
        if task_id is not None:
            return self.tasks.by_id(task_id)
        if seed is not None and seed < 0:
            raise ConfigError(f"seed={seed}: need 0 or more")
        if seed is not None:
            index = int(np.random.default_rng(seed).integers(len(self.tasks)))
        if not 0 <= (index or 0) < len(self.tasks):
            raise ConfigError(f"index={index}: need 0 to {len(self.tasks) - 1}")
        return self.tasks[index or 0]

    def replay(self, task_id: str, calls: Sequence[Call]) -> Session:
        """Open a session and make calls in order, for frameworks that keep no state between two calls.

        Episodes are deterministic, so this is the session that made them before.

        Raises:
            ConfigError: There is no such task.
            DataError: The video cannot be read.
        """
        session = self.open(task_id=task_id)
        session.calls(calls)
        return session

    @property
    def wire_schemas(self) -> dict[str, dict[str, Any]]:
        """JSON schema of each tool's arguments by the tool's name, as `vt_env.tools.wire_schema` makes it."""
        return {tool.name: wire_schema(tool) for tool in self.tools}
