"""ms-swift (4.6.0): a scheduler of rollouts with pictures, `--multi_turn_scheduler vt_env --use_gym_env true`.

    swift rlhf --rlhf_type grpo --external_plugins experiments/integrations/ms_swift/plugin.py ...

Rows hold `task_id` and, as `env_config`, the keyword arguments of `vt_env.SessionSource`. Its environments return text
alone, so the scheduler itself plays the session. Tools stand in the system text and results in turns of the user, both
as Qwen's templates write them. A video that cannot be read ends the run, since a rollout cannot be left out.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from swift.rollout import MultiTurnScheduler, multi_turns

from vt_env.episode.serialisers import base64_pictures
from vt_env.episode.tools_text import RESPONSE_TAGS, system_text
from vt_env.errors import ConfigError
from vt_env.integrations.shared_source import session_source
from vt_env.session import Session
from vt_env.types import Observation

NAME = "vt_env"
"""Name of the scheduler."""
_IMAGE = "<image>"
"""Place of a picture in a text."""


class LongVideoScheduler(MultiTurnScheduler):
    """Plays one episode a request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sessions: dict[str, Session] = {}
        self._results: dict[str, str] = {}

    async def on_trajectory_start(self, requests: Sequence[Any]) -> None:
        """Open a session a request and write its question; the messages of the row are not used.

        Raises:
            ConfigError: A row has no task, or its arguments are not allowed.
            DataError: A video cannot be read.
        """
        for request in requests:
            row = request.data_dict or {}
            task_id = row.get("task_id")
            if task_id is None:
                raise ConfigError("row: no task_id; give each row the id of its task")
            source = session_source(row.get("env_config") or {})
            session = await asyncio.to_thread(source.open, task_id=task_id)
            request.uuid = request.uuid or uuid4().hex
            self._sessions[request.uuid] = session
            request.images = []
            question = _shown(request, session.opening, is_result=False)
            request.messages = [
                {"role": "system", "content": system_text(source.config.prompts, session.tools)},
                {"role": "user", "content": question},
            ]

    async def on_turn_end(self, infer_request: Any, response_choice: Any, current_turn: int) -> dict[str, Any]:
        """Apply a reply; the rollout is done with an answer, without calls, or after `max_turns` replies.

        Raises:
            DataError: The video cannot be read.
        """
        session = self._sessions[infer_request.uuid]
        outcome = await asyncio.to_thread(session.act, response_choice.message.content or "")
        if not session.is_over and self.max_turns and current_turn >= self.max_turns:
            session.episode.end_full_context()
        if session.is_over:
            del self._sessions[infer_request.uuid]
        else:
            self._results[infer_request.uuid] = _shown(infer_request, outcome.observation, is_result=True)
        reward = 0.0 if session.result is None else session.result.reward
        # The trainer takes the pictures of the whole conversation from here.
        infos = {"total_reward": reward, "images": list(infer_request.images), **session.measures}
        return {"done": session.is_over, "rollout_infos": infos}

    def step(self, infer_request: Any, response_choice: Any, current_turn: int) -> dict[str, Any]:
        """Add the results of the last reply to the conversation."""
        result = self._results.pop(infer_request.uuid)
        infer_request.messages.append({"role": "user", "content": result})
        return {"infer_request": infer_request}


multi_turns[NAME] = LongVideoScheduler


def _shown(request: Any, observation: Observation, *, is_result: bool) -> str:
    """Write an observation with a place for each picture, and add the pictures to those of the request."""
    before, after = RESPONSE_TAGS if is_result else ("", "")
    written: list[str] = []
    for part in observation.parts:
        pictures = base64_pictures(part)
        request.images = [*request.images, *pictures]
        # A text that happens to hold the mark of a place would be taken for one.
        text = part.text.replace(_IMAGE, "<image >")
        written.append(f"{before}{_IMAGE * len(pictures)}{text}{after}")
    return "\n".join(written)
