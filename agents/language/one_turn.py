"""Single-turn answering: the question, all frames seen so far, and no remaining call.

This is the first stage of VideoThinker (arXiv 2601.15724): a direct answer from uniformly sampled frames of a short
video, or from retrieved clips of a long video. Clips are inspected by ordinary tool calls, written by a script, so that
they count against the budget and their trajectories can be replayed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.base import BatchPolicy, Conversation, Reply, ask, forget
from vt_env.actions.parse import render_action
from vt_env.budget.remaining import Remaining
from vt_env.config import BudgetConfig
from vt_env.prompts import PromptSet
from vt_env.types import FrameBatch, Item, Observation, ToolCall


class OneTurnPolicy:
    """Ask a policy for one direct answer; later turns repeat that reply.

    Args:
        policy: Answering policy. It receives one observation: the question and all frames so far, in order of time.
        looks: Clips inspected before the answer; `None` inspects nothing.
    """

    def __init__(self, policy: BatchPolicy, looks: "RetrievedClips | None" = None) -> None:
        self._policy = policy
        self._looks = looks
        self._given: dict[int, Reply] = {}

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        """Inspect the next clip, or answer."""
        replies = {it.episode_idx: self._scripted(it) for it in conversations}
        open_ones = [it for it in conversations if replies[it.episode_idx] is None]
        answers = ask(self._policy, [seen_so_far(it) for it in open_ones])
        for conversation, answer in zip(open_ones, answers, strict=True):
            forget(self._policy, conversation.episode_idx)
            replies[conversation.episode_idx] = self._given[conversation.episode_idx] = answer
        return [reply for it in conversations if (reply := replies[it.episode_idx]) is not None]

    def forget(self, episode_idx: int) -> None:
        """Drop the reply of an episode."""
        self._given.pop(episode_idx, None)
        forget(self._policy, episode_idx)

    def _scripted(self, conversation: Conversation) -> Reply | None:
        given = self._given.get(conversation.episode_idx)
        if given is not None:
            # Without a record: no model is asked, so the repetition has no cost.
            return Reply(given.text)
        call = None if self._looks is None else self._looks.next_call(conversation)
        return None if call is None else Reply(call)


def spread_frames(count: int) -> BudgetConfig:
    """Build the budget of a single-turn episode with `count` uniformly sampled frames beside the question."""
    return BudgetConfig(max_calls=1, max_frames=count + 1, frames_per_zoom=1, global_frames=count)


@dataclass(frozen=True)
class RetrievedClips:
    """Inspect the clips that match the question best, in order of rank, within the budget."""

    top_k: int
    """Number of clips to inspect."""
    zoom_tool: str = "frame_zoom"
    """Name of the perception's interval zoom."""

    @property
    def calls(self) -> int:
        """Number of calls: one retrieval and one zoom per clip."""
        return 1 + self.top_k

    def next_call(self, conversation: Conversation) -> str | None:
        """Write the next call; `None` after the last clip or without budget."""
        number, results = len(conversation.replies), conversation.observations[1:]
        latest = conversation.observations[-1].remaining
        if number == 0:
            query = {"query": conversation.task.question, "top_k": self.top_k}
            return render_action(ToolCall("clip_retrieval", query))
        clips = results[0].lines[: self.top_k]
        if number > len(clips) or not latest.calls or not latest.can_look:
            return None
        clip = clips[number - 1].interval
        return render_action(ToolCall(self.zoom_tool, {"start_s": clip.start_s, "end_s": clip.end_s}))


def seen_so_far(conversation: Conversation) -> Conversation:
    """Merge a conversation into one observation: the question, all frames in order of time, no remaining call."""
    batches = [it.frames for it in conversation.observations if it.frames is not None]
    task = replace(conversation.task, budget=Remaining(0, 0))
    opening = _opening(task, _by_time(batches), conversation.prompts)
    return Conversation(conversation.episode_idx, task, [opening], prompts=conversation.prompts)


def since(conversation: Conversation, calls: int) -> Conversation:
    """Drop the first `calls` turns of a conversation.

    The question then states the budget that remained after them.
    """
    task = replace(conversation.task, budget=conversation.observations[calls].remaining)
    later = conversation.observations[calls + 1 :]
    observations = [_opening(task, None, conversation.prompts), *later]
    return replace(conversation, task=task, observations=observations, replies=conversation.replies[calls:])


def _opening(task: Item, frames: FrameBatch | None, prompts: PromptSet) -> Observation:
    times_s = [] if frames is None else frames.pts_s.tolist()
    text = prompts.opening_text(task, task.duration_s, task.budget, "frames", times_s)
    return Observation(text, task.budget, frames)


def _by_time(batches: Sequence[FrameBatch]) -> FrameBatch | None:
    if not batches:
        return None
    times_s = np.concatenate([batch.pts_s for batch in batches])
    # Neighbouring clips may share a frame.
    times_s, first = np.unique(times_s, return_index=True)
    return FrameBatch(np.concatenate([batch.data for batch in batches])[first], times_s)
