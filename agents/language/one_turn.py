"""Answering at once: no call is left, and what was seen so far stands beside the question.

VideoThinker's first stage (arXiv 2601.15724) is this: frames spread over a short video, or those of the clips that
retrieval finds in a long one, and a direct answer. The clips are looked at by calls like any other, written by a
script, so that budgets count them and a record of them can be replayed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.base import BatchPolicy, Conversation, Reply, ask, forget
from vt_env.actions.parse import render_action
from vt_env.config import BudgetConfig
from vt_env.prompts import PromptSet
from vt_env.types import FrameBatch, Item, Observation, Remaining, ToolCall


class OneTurnPolicy:
    """Lets a policy answer at once, from whatever was shown; asked again it repeats its reply.

    Args:
        policy: Who answers. It is shown one observation: the question, and all frames so far in the order of time.
        looks: What is looked at first; `None` looks at nothing.
    """

    def __init__(self, policy: BatchPolicy, looks: "RetrievedClips | None" = None) -> None:
        self._policy = policy
        self._looks = looks
        self._given: dict[int, Reply] = {}

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        """Look, then answer."""
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
            # What a repetition costs nobody is charged for, since no model is asked.
            return Reply(given.text)
        call = None if self._looks is None else self._looks.next_call(conversation)
        return None if call is None else Reply(call)


def spread_frames(count: int) -> BudgetConfig:
    """Make the budget of an episode that shows so many frames, spread over the video, with its question."""
    return BudgetConfig(max_calls=1, max_frames=count + 1, frames_per_zoom=1, global_frames=count)


@dataclass(frozen=True)
class RetrievedClips:
    """Looks at the clips that match the question best, the best first, as far as frames and calls reach."""

    top_k: int
    """Clips to look at."""
    zoom_tool: str = "frame_zoom"
    """The perception's tool that looks at an interval."""

    @property
    def calls(self) -> int:
        """Calls that the looking takes."""
        return 1 + self.top_k

    def next_call(self, conversation: Conversation) -> str | None:
        """Write the next call; `None` once all is looked at."""
        number, results = len(conversation.replies), conversation.observations[1:]
        latest = conversation.observations[-1].remaining
        if number == 0:
            query = {"query": conversation.task.question, "top_k": self.top_k}
            return render_action(ToolCall("clip_retrieval", query))
        clips = results[0].lines[: self.top_k]
        if number > len(clips) or not latest.calls or not latest.frames:
            return None
        clip = clips[number - 1].interval
        return render_action(ToolCall(self.zoom_tool, {"start_s": clip.start_s, "end_s": clip.end_s}))


def seen_so_far(conversation: Conversation) -> Conversation:
    """Gather a conversation into one observation: the question, no call left, and every frame shown, by time."""
    batches = [it.frames for it in conversation.observations if it.frames is not None]
    task = replace(conversation.task, budget=Remaining(0, 0))
    opening = _opening(task, _by_time(batches), conversation.prompts)
    return Conversation(conversation.episode_idx, task, [opening], prompts=conversation.prompts)


def since(conversation: Conversation, calls: int) -> Conversation:
    """Leave out what the first calls led to: the question with what they have left of the budget, and what follows."""
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
    # Neighbouring clips may share a frame; a picture twice says nothing more.
    times_s, first = np.unique(times_s, return_index=True)
    return FrameBatch(np.concatenate([batch.data for batch in batches])[first], times_s)
