"""verifiers (0.4.0): a taskset of video questions and the environment that plays them.

    vf-eval vt_env_verifiers --env.taskset.tasks talks --env.player.harness.id null

The environment is the user of the exchange: it opens a session of vt-env, sends the question, reads each reply and
sends what it led to, pictures included. Tools stand in the system text as Qwen's templates write them; no tool server
runs.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf
from pydantic import Field

from vt_env.episode.serialisers import chat_content, chat_results
from vt_env.episode.tools_text import system_text
from vt_env.integrations.shared_source import session_source
from vt_env.session import Session

__all__ = ["VideoEnv", "VideoTaskset"]


class VideoConfig(vf.TasksetConfig):
    """Tasks and rules of the episodes."""

    tasks: str = "world"
    """As `vt_env.load_tasks`."""
    split: str = "train"
    """As `vt_env.load_tasks`."""
    rules: dict[str, Any] = Field(default_factory=dict)
    """Further keyword arguments of `vt_env.SessionSource`, such as `budget`."""


class VideoData(vf.TaskData):
    """One question; it holds no answer."""

    source: dict[str, Any]
    """Keyword arguments of `vt_env.SessionSource`."""


class VideoTask(vf.Task[VideoData]):
    """A question about a video; `VideoEnv` scores it."""


class VideoTaskset(vf.Taskset[VideoTask, VideoConfig]):
    """The questions of a split."""

    def load(self) -> Iterator[VideoTask]:
        """Make one task a question."""
        config = self.config
        plain = {"tasks": config.tasks, "split": config.split, **config.rules}
        source = session_source(plain)
        system = system_text(source.config.prompts, source.tools)
        for task in source.tasks:
            data = VideoData(id=task.item.task_id, name=task.item.task_id, system_prompt=system, source=plain)
            yield VideoTask(data, config.task)


class VideoEnvConfig(vf.EnvConfig):
    """The one role of the environment."""

    player: vf.AgentConfig = vf.AgentConfig()


class VideoEnv(vf.Env[VideoEnvConfig]):
    """Plays an episode with the agent as its policy."""

    async def run(self, task: VideoTask, agents: Any) -> None:
        """Play the episode of a task and record its reward.

        Raises:
            DataError: The video cannot be read.
        """
        source = session_source(task.data.source)
        session = await asyncio.to_thread(source.open, task_id=task.data.id)
        async with agents.player.interaction(task) as interaction:
            segment = await interaction.turn([_message(chat_content(session.opening))])
            while not segment.terminated:
                outcome = await asyncio.to_thread(session.act, segment.last_reply)
                if session.is_over:
                    break
                segment = await interaction.turn([_message(chat_results(outcome.observation))])
        if interaction.trace.errors:
            # A failure of the run is no reply of the model: verifiers retries or drops it.
            return
        if not session.is_over:
            # A limit of the run ended the exchange.
            session.episode.end_full_context()
        _record(interaction.trace, session)


def _message(content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _record(trace: Any, session: Session) -> None:
    assert session.result is not None
    trace.record_reward("vt_env", session.result.reward)
    trace.record_metrics(session.measures)
