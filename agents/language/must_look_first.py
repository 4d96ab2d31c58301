"""Baseline of the confidence gate: a policy that must inspect a clip before it answers."""

from collections.abc import Sequence

from agents.base import BatchPolicy, Conversation, Reply, ask, forget
from vt_env.actions.parse import ActionReader, render_action
from vt_env.types import Answer, ToolCall


class AlwaysTools:
    """Replace an answer given before any zoom call by a retrieval call, then by a zoom into the best clip.

    Args:
        policy: Wrapped policy.
        zoom_tool: Name of the perception's interval zoom.
    """

    def __init__(self, policy: BatchPolicy, zoom_tool: str = "frame_zoom") -> None:
        self._policy = policy
        self._zoom_tool = zoom_tool
        self._reader = ActionReader(zoom_tool=zoom_tool)

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        """Ask the policy and replace early answers."""
        replies = ask(self._policy, conversations)
        return [self._checked(it, reply) for it, reply in zip(conversations, replies, strict=True)]

    def forget(self, episode_idx: int) -> None:
        """Drop the policy's state of an episode."""
        forget(self._policy, episode_idx)

    def _checked(self, conversation: Conversation, reply: Reply) -> Reply:
        is_early = isinstance(self._reader.read(reply.text).action, Answer) and not self._has_looked(conversation)
        if not is_early or not conversation.observations[-1].remaining.calls:
            return reply
        # The conversation holds the replacement, so a cache of the policy's own reply would be wrong.
        forget(self._policy, conversation.episode_idx)
        return Reply(render_action(self._look(conversation)), reply.record)

    def _has_looked(self, conversation: Conversation) -> bool:
        calls = [call for reply in conversation.replies for call in self._reader.read(reply).calls]
        return any(call.name == self._zoom_tool for call in calls)

    def _look(self, conversation: Conversation) -> ToolCall:
        if not conversation.replies:
            return ToolCall("clip_retrieval", {"query": conversation.task.question})
        clips = conversation.observations[-1].lines
        if clips:
            interval = clips[0].interval
            return ToolCall(self._zoom_tool, {"start_s": interval.start_s, "end_s": interval.end_s})
        return ToolCall(self._zoom_tool, {"start_s": 0.0, "end_s": float(int(conversation.task.duration_s))})
