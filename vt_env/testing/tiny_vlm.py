"""A vision-language model and scripted conversations, small enough to test a multimodal agent loop on a CPU.

    from vt_env.testing import tiny_vlm

    tiny = tiny_vlm()
    processor = AutoProcessor.from_pretrained(tiny.folder)
    expected = processor.apply_chat_template(tiny.messages("fake/0"), tools=tiny.tool_schemas, tokenize=True)

Loops that render, sample and call tools turn by turn should end with these very token ids. Loads no deep learning
library; the checkpoint is Qwen2.5-VL's architecture with 2.5 million parameters, the one that this project ships.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vt_env.actions.parse import render_action
from vt_env.errors import ConfigError
from vt_env.session import SessionSource
from vt_env.tasks.task_set import TaskSet
from vt_env.testing.fakes import FakeLibrary, FakeVideo, fake_task
from vt_env.types import Answer, ToolCall

if TYPE_CHECKING:
    from vt_env.episode.messages import Message

_CHECKPOINT = "experiments.tiny_model"
"""Package whose folder `base` holds the checkpoint."""
_SEARCH = ToolCall("subtitle_retrieval", {"query": "code"})
_LOOK = ToolCall("frame_zoom", {"start_s": 322.0, "end_s": 326.0})
_REPLIES: Mapping[str, tuple[str, ...]] = {
    "fake/0": (render_action(_LOOK), render_action(Answer("B"))),
    "fake/1": (render_action(_SEARCH), render_action(_LOOK), render_action(Answer("A"))),
    "fake/2": ("It may be 47.", render_action(Answer("B"))),
    "fake/3": (render_action(_LOOK), render_action(_SEARCH), "No.", render_action(_SEARCH)),
}
_REWARDS: Mapping[str, float] = {"fake/0": 1.0, "fake/1": 0.0, "fake/2": 1.0, "fake/3": 0.0}


@dataclass(frozen=True, slots=True)
class TinyVlm:
    """A checkpoint, four questions about a video in memory, and what a scripted policy writes."""

    folder: Path
    """Model and processor for `from_pretrained`; a picture of 112 x 112 pixels is 16 image tokens."""
    source: SessionSource
    """Tasks `fake/0` to `fake/3` with their rules; opens sessions."""
    replies: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _REPLIES)
    """Replies by task: a look and the right answer; a search, a look and a wrong one; a reply that is no action; and
    calls until none is left."""
    rewards: Mapping[str, float] = field(default_factory=lambda: _REWARDS)
    """Reward of each task after its replies."""

    @property
    def tool_schemas(self) -> list[dict[str, Any]]:
        """JSON schemas of the tools, for chat templates."""
        return [tool.schema for tool in self.source.tools]

    def messages(self, task_id: str) -> "list[Message]":
        """Return the whole conversation of a task, results and PIL images included, as chat templates take it.

        Raises:
            ConfigError: There is no such task.
        """
        session = self.source.open(task_id=task_id)
        observations = [session.opening, *(session.act(text).observation for text in self.replies[task_id])]
        # Pictures are only loaded by those who look.
        from vt_env.episode.messages import conversation_messages

        return conversation_messages(self.source.config.prompts.system_text(), observations, self.replies[task_id])


def tiny_vlm() -> TinyVlm:
    """Return the checkpoint and its conversations.

    Raises:
        ConfigError: The checkpoint is not installed.
    """
    found = find_spec(_CHECKPOINT)
    folder = Path((found.origin if found else None) or "missing").parent / "base"
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder}: no checkpoint; install vt-env from its repository")
    tasks = TaskSet(tuple(fake_task(task_id=task_id) for task_id in _REPLIES))
    library = FakeLibrary((FakeVideo(frame_px=112),))
    tools = ["subtitle_retrieval", "frame_zoom"]
    return TinyVlm(
        folder, SessionSource(tasks, budget="default,max_calls=3", tools=tools, prompts="tiny", library=library)
    )
