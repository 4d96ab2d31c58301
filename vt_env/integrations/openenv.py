"""OpenEnv (openenv 0.10.0): a server whose sessions are episodes, for its clients, ms-swift and TRL.

Actions are OpenEnv's own `ListToolsAction` and `CallToolAction`, so that the server also answers `tools/list` and
`tools/call`. A result holds the content blocks of the Model Context Protocol: pictures, then the text. `answer` ends
the episode; from then on `done` is true and calls change nothing. Over WebSocket and in named sessions alone: a plain
`POST /step` of OpenEnv meets a new environment.
"""

import logging
from collections.abc import Mapping
from typing import Any

import uvicorn
from openenv.core.env_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.mcp_types import (
    CallToolAction,
    CallToolObservation,
    ListToolsAction,
    ListToolsObservation,
    Tool,
)
from openenv.core.env_server.types import State
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from vt_env.episode.serialisers import PictureFormat, mcp_content
from vt_env.errors import ConfigError, DataError
from vt_env.integrations.http_access import HttpConfig, TokenRequired, listen
from vt_env.prompts import OVER
from vt_env.session import Session, SessionSource
from vt_env.tools.builtin import ANSWER_TOOL
from vt_env.types import Observation

ANSWER, BEGIN, NAME = "answer", "begin", "vt_env"
"""Name of the tool that answers, of the result of a reset, and of the environment."""
_ANSWER_TOOL = Tool(
    name=ANSWER,
    description="Answer the question, which ends the episode.",
    input_schema={
        "type": "object",
        "properties": {"answer": {"type": "string", "description": "Letter or text of the option."}},
        "required": ["answer"],
    },
)
_log = logging.getLogger(__name__)


class LongVideoEnvironment(Environment[Any, Any, State]):
    """One session of the server.

    Args:
        source: Tasks, rules and library.
        picture_format: Format of frames.

    Raises:
        ConfigError: A tool of your own is named `answer`.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, source: SessionSource, picture_format: PictureFormat = "png") -> None:
        super().__init__()
        if any(it.name == ANSWER and it is not ANSWER_TOOL for it in source.tools):
            raise ConfigError(f"tools: {ANSWER!r} is the server's own; rename yours")
        self._source = source
        self._picture_format: PictureFormat = picture_format
        self._session: Session | None = None
        self._state = State()
        self._is_invalid = False

    def reset(self, seed: int | None = None, episode_id: str | None = None, **choice: Any) -> CallToolObservation:
        """Begin an episode and return its question.

        Args:
            seed: Draws the task at random.
            episode_id: Name of the episode, kept in the state.
            choice: `task_id` or `index` choose the task instead; by default the first one.

        Raises:
            ConfigError: There is no such task, or another argument is given.
        """
        unknown = sorted(set(choice) - {"task_id", "index"})
        if unknown:
            raise ConfigError(f"reset has no argument {unknown[0]!r}; allowed are seed, episode_id, task_id, index")
        self._session, self._is_invalid = None, False
        self._state = State(episode_id=episode_id)
        try:
            self._session = self._source.open(seed=seed, **choice)
        except DataError as failure:
            return self._invalid(BEGIN, failure)
        return self._shown(BEGIN, self._session.opening)

    def step(
        self, action: ListToolsAction | CallToolAction, timeout_s: float | None = None, **more: Any
    ) -> ListToolsObservation | CallToolObservation:
        """List the tools, or call one; after the end nothing changes."""
        if isinstance(action, ListToolsAction):
            schemas = self._source.wire_schemas
            tools = [
                Tool(name=it.name, description=it.description, input_schema=schemas[it.name])
                for it in self._source.tools
            ]
            own = [] if ANSWER_TOOL in self._source.tools else [_ANSWER_TOOL]
            return ListToolsObservation(tools=[*tools, *own])
        session = self._session
        if session is None:
            text = OVER if self._is_invalid else "No episode has begun; reset first."
            return self._result(action.tool_name, [{"type": "text", "text": text}], done=self._is_invalid)
        try:
            outcome = _apply(session, action.tool_name, action.arguments)
        except DataError as failure:
            return self._invalid(action.tool_name, failure)
        self._state.step_count += 1
        return self._shown(action.tool_name, outcome)

    @property
    def state(self) -> State:
        """Episode id and number of calls."""
        return self._state

    def list_splits(self) -> list[str]:
        """Return the splits of the tasks."""
        return self._source.tasks.splits

    def num_tasks(self, split: str) -> int:
        """Return the number of tasks of a split."""
        return len(self._source.tasks.split(split))

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """Return the tasks of a split: ids and questions, without answers."""
        return [
            {"task_id": it.item.task_id, "question": it.item.question, "options": list(it.item.options)}
            for it in self._source.tasks.split(split)
        ]

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """Return one task."""
        return self.list_tasks(split)[index]

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """Return the tasks from `start` up to `stop`."""
        return self.list_tasks(split)[start:stop]

    def _shown(self, name: str, observation: Observation) -> CallToolObservation:
        assert self._session is not None
        result = self._session.result
        score = (
            {} if result is None else {"stop": str(result.stop), "terms": dict(result.terms), "correct": result.correct}
        )
        content = mcp_content(observation, self._picture_format)
        reward = 0.0 if result is None else result.reward
        return self._result(name, content, done=result is not None, reward=reward, metadata=score)

    def _invalid(self, name: str, failure: DataError) -> CallToolObservation:
        # Its message names a file, and names of files can leak what a question is about.
        _log.error("episode is invalid: %s", failure)
        self._session, self._is_invalid = None, True
        content = [{"type": "text", "text": f"{OVER} Its video cannot be read."}]
        return self._result(name, content, done=True, metadata={"invalid": True})

    @staticmethod
    def _result(
        name: str,
        content: list[dict[str, Any]],
        *,
        done: bool,
        reward: float = 0.0,
        metadata: Mapping[str, Any] | None = None,
    ) -> CallToolObservation:
        return CallToolObservation(
            tool_name=name, result={"content": content}, done=done, reward=reward, metadata=dict(metadata or {})
        )


def _apply(session: Session, name: str, arguments: Mapping[str, Any]) -> Observation:
    if name != ANSWER or ANSWER_TOOL in session.tools:
        return session.call(name, arguments).observation
    text = arguments.get("answer")
    return session.answer(text if isinstance(text, str) else "").observation


def openenv_app(source: SessionSource, config: HttpConfig, picture_format: PictureFormat = "png") -> ASGIApp:
    """Make the ASGI application of a server."""
    app = create_app(
        lambda: LongVideoEnvironment(source, picture_format),
        CallToolAction,
        CallToolObservation,
        env_name=NAME,
        max_concurrent_envs=config.limits.max_sessions,
    )
    guarded: ASGIApp = TrustedHostMiddleware(app, allowed_hosts=[it.strip("[]") for it in config.hosts])
    return TokenRequired(guarded, config.token) if config.token else guarded


def run_openenv(source: SessionSource, config: HttpConfig, picture_format: PictureFormat = "png") -> None:
    """Serve until the process is interrupted.

    Raises:
        ConfigError: The address is taken or does not exist.
    """
    app = openenv_app(source, config, picture_format)
    listening = listen(config)
    host, port = listening.getsockname()[:2]
    _log.warning("serving OpenEnv at http://%s:%s", f"[{host}]" if ":" in host else host, port)
    settings = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(settings).run(sockets=[listening])
