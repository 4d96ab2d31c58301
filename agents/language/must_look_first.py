"""Policy that must look before it answers: the baseline of the confidence gate."""

from collections.abc import Sequence

from agents.base import BatchPolicy, Conversation, Reply, ask, forget
from vt_env.actions.parse import ActionReader, render_action
from vt_env.types import Answer, ToolCall


class AlwaysTools:
    """Makes a look of an answer that comes before any: first a search for the question, then the best clip of it.

    Args:
        policy: Who plays.
        zoom_tool: The perception's tool that looks at an interval.
    """

    def __init__(self, policy: BatchPolicy, zoom_tool: str = "frame_zoom") -> None:
        self._policy = policy
        self._zoom_tool = zoom_tool
        self._reader = ActionReader(zoom_tool=zoom_tool)

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        """Let the policy act, and hold back an early answer."""
        replies = ask(self._policy, conversations)
        return [self._checked(it, reply) for it, reply in zip(conversations, replies, strict=True)]

    def forget(self, episode_idx: int) -> None:
        """Drop what the policy keeps about an episode."""
        forget(self._policy, episode_idx)

    def _checked(self, conversation: Conversation, reply: Reply) -> Reply:
        is_early = isinstance(self._reader.read(reply.text).action, Answer) and not self._has_looked(conversation)
        if not is_early or not conversation.observations[-1].remaining.calls:
            return reply
        # The policy goes on from what stands in the conversation, and not from what it wrote.
        forget(self._policy, conversation.episode_idx)
        return Reply(render_action(self._look(conversation)), reply.record)

    def _has_looked(self, conversation: Conversation) -> bool:
        actions = [self._reader.read(reply).action for reply in conversation.replies]
        return any(isinstance(action, ToolCall) and action.name == self._zoom_tool for action in actions)

    def _look(self, conversation: Conversation) -> ToolCall:
        if not conversation.replies:
            return ToolCall("clip_retrieval", {"query": conversation.task.question})
        clips = conversation.observations[-1].lines
        if clips:
            interval = clips[0].interval
            return ToolCall(self._zoom_tool, {"start_s": interval.start_s, "end_s": interval.end_s})
        return ToolCall(self._zoom_tool, {"start_s": 0.0, "end_s": float(int(conversation.task.duration_s))})
