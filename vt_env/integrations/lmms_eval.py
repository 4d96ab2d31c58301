"""lmms-eval (0.7.3): episodes as an agentic task, so that any of its model classes plays them.

`vt-env export lmms-eval` writes the folder of the task, whose functions are those of an `AgenticTask`. lmms-eval keeps
no state between two rounds and gives a model one turn of a user each: the conversation is folded into its text, all
pictures before it, and each round replays the calls before (episodes are deterministic). This is not the chat that a
tool-calling checkpoint was trained on; figures differ from those of `vt-env eval`. Imports no lmms-eval.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vt_env.episode.serialisers import pictures
from vt_env.episode.tools_text import tools_text
from vt_env.integrations.shared_source import session_source
from vt_env.session import Session
from vt_env.types import Observation

TASK = "vt_env_long_video"
"""Name of the task in lmms-eval."""
METRICS = ("accuracy", "answered", "calls", "frames", "reward")
Round = tuple[list[Image.Image], str, bool, list[str] | None, dict[str, Any]]
"""Pictures, text, whether the episode is over, outputs with the result as the last one, and counts for lmms-eval."""


class AgenticTask:
    """Functions of a task, named as in its YAML file.

    Args:
        config: Keyword arguments of `vt_env.SessionSource`, or a JSON file that holds them.

    Raises:
        ConfigError: An argument is not allowed.
        DataError: The tasks cannot be read.
    """

    def __init__(self, config: Mapping[str, Any] | Path) -> None:
        plain = json.loads(config.read_text(encoding="utf-8")) if isinstance(config, Path) else config
        self._source = session_source(plain)

    def doc_to_visual(self, doc: Mapping[str, Any]) -> list[Image.Image]:
        """Return the pictures beside the question."""
        return pictures(self._source.open(task_id=doc["task_id"]).opening)

    def doc_to_text(
        self,
        doc: Mapping[str, Any],
        lmms_eval_specific_kwargs: Any = None,
        previous_output: Sequence[str] | None = None,
        round_idx: int | None = None,
        previous_round_info: Any = None,
    ) -> str | Round:
        """Return the text of the first round, or apply the model's last reply and return the next round."""
        session = self._source.open(task_id=doc["task_id"])
        observations = [session.opening]
        replies = list(previous_output or ())
        for reply in replies:
            observations.append(session.act(reply).observation)
        text = self._text(session, observations, replies)
        if previous_output is None:
            return text
        shown = [picture for it in observations for picture in _pictures(it)]
        counts = _measures(session)
        info = {"state": {}, "tool_calls": counts["calls"], "valid_tool_calls": counts["calls"]}
        if not session.is_over:
            return shown, text, False, None, info
        return [], "", True, [*replies, json.dumps(_payload(session))], info

    def doc_to_target(self, doc: Mapping[str, Any]) -> str:
        """Return the id of the task: the answer stays in the episode."""
        return doc["task_id"]

    def process_results(self, doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
        """Return the measures of an episode; one that ran out of rounds ended without an answer."""
        payload = json.loads(results[0])
        if payload.get("task_id") == doc["task_id"]:
            return {name: payload[name] for name in METRICS}
        session = self._source.open(task_id=doc["task_id"])
        for reply in payload.get("trace", ()):
            session.act(reply)
        session.finish("")
        return _measures(session)

    def _text(self, session: Session, observations: Sequence[Observation], replies: Sequence[str]) -> str:
        prompts = self._source.config.prompts
        system = prompts.system_text(has_tools=bool(session.tools))
        parts = [f"{system}{tools_text(prompts.shown_schemas(it.schema for it in session.tools))}"]
        shown = 0
        for number, observation in enumerate(observations):
            if number:
                parts.append(f"Your reply {number}:\n{replies[number - 1]}")
            for one in observation.parts:
                count = 0 if one.frames is None else len(one.frames.data)
                names = f" (pictures {shown + 1} to {shown + count})" if count else ""
                parts.append(f"{'Result' if number else 'Question'}{names}:\n{one.text}")
                shown += count
        return "\n\n".join([*parts, "Write your next reply."])


def _pictures(observation: Observation) -> list[Image.Image]:
    return [picture for part in observation.parts for picture in pictures(part)]


def _measures(session: Session) -> dict[str, float]:
    return {**session.measures, "reward": 0.0 if session.result is None else session.result.reward}


def _payload(session: Session) -> dict[str, Any]:
    assert session.result is not None
    return {"task_id": session.episode.item.task_id, "stop": str(session.result.stop), **_measures(session)}
