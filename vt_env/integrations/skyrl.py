"""SkyRL (skyrl-gym 0.4.0): an environment of text and pictures for `SkyRLVLMGymGenerator`.

    skyrl_gym.register("vt_env", "vt_env.integrations.skyrl:LongVideoEnv")

Rows hold `env_class: vt_env` and `task_id`; `environment.skyrl_gym.vt_env` holds the keyword arguments of
`vt_env.SessionSource`. The generator renders no tools, so they stand in the system text, and results stand in turns of
the user, both as Qwen's templates write them. It needs `batched=false` and `use_conversation_multi_turn=true`.
"""

from collections.abc import Mapping
from typing import Any

from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

from vt_env.episode.serialisers import chat_content, chat_results
from vt_env.episode.tools_text import system_text
from vt_env.errors import ConfigError, DataError
from vt_env.integrations.shared_source import session_source
from vt_env.prompts import OVER
from vt_env.session import Session

ChatMessage = dict[str, Any]


class LongVideoEnv(BaseTextEnv):
    """One episode.

    Args:
        env_config: Keyword arguments of `vt_env.SessionSource`.
        extras: The row; `task_id` names the task, `max_turns` limits the replies where it is given.

    Raises:
        ConfigError: An argument is not allowed, or there is no such task.
        DataError: The tasks cannot be read.
    """

    def __init__(self, env_config: Mapping[str, Any], extras: Mapping[str, Any]) -> None:
        super().__init__()
        self._source = session_source(env_config)
        self._task_id = extras.get("task_id")
        if self._task_id is None:
            raise ConfigError("extras: no task_id; give each row the id of its task")
        self._source.choose(task_id=self._task_id)
        self.max_turns = extras.get("max_turns") or 0
        self._session: Session | None = None
        self._failure: str | None = None

    def init(self, prompt: Any = None) -> tuple[list[ChatMessage], dict[str, Any]]:
        """Return the system message with the tools, and the question; the prompt of the row is not used."""
        try:
            self._session = self._source.open(task_id=self._task_id)
        except DataError as failure:
            self._failure = str(failure)
            return [{"role": "user", "content": OVER}], {}
        system = system_text(self._source.config.prompts, self._session.tools)
        question = {"role": "user", "content": chat_content(self._session.opening)}
        return [{"role": "system", "content": system}, question], {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Apply a reply; the episode ends with an answer, without calls, or after `max_turns` replies."""
        if self._session is None or self._failure is not None or self._session.is_over:
            return self._ended(action)
        try:
            outcome = self._session.act(action)
        except DataError as failure:
            self._failure = str(failure)
            return self._ended(action)
        self.turns += 1
        if not self._session.is_over and self.turns >= self.max_turns > 0:
            self._session.episode.end_full_context()
        if self._session.is_over:
            return self._ended(action, self._session.episode.reward)
        message = {"role": "user", "content": chat_results(outcome.observation)}
        return _output([message], 0.0, done=False, metadata={}, action=action)

    def get_metrics(self) -> dict[str, float]:
        """Return counts of the episode, for averages over many."""
        if self._session is None or self._session.result is None:
            return {"invalid": float(self._failure is not None)}
        return {**self._session.measures, "invalid": 0.0}

    def _ended(self, action: str, reward: float = 0.0) -> BaseTextEnvStepOutput:
        result = None if self._session is None else self._session.result
        metadata = {"stop": None if result is None else str(result.stop), "invalid": self._failure}
        return _output([], reward, done=True, metadata=metadata, action=action)


def _output(
    observations: list[ChatMessage], reward: float, *, done: bool, metadata: dict[str, Any], action: str
) -> BaseTextEnvStepOutput:
    return BaseTextEnvStepOutput(
        observations=observations, reward=reward, done=done, metadata=metadata, postprocessed_action=action
    )
